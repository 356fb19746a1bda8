//! Webhooks: requests that the provider's signature vouches for, instead of a key.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use millstream_events::{Declaration, Signature};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Gateway;
use super::access::{Caller, Refusal, Watched};
use super::principal::Principal;
use super::problem::Problem;

/// Seconds that a signature's time may differ from ours.
const TOLERANCE: u64 = 300;
/// The header of Stripe's scheme.
pub const STRIPE_HEADER: &str = "stripe-signature";

/// Where the secrets of webhooks are: JSON, `{"<topic>": ["<secret>", ...]}`. All secrets of a
/// topic count, so that one can be replaced while the other is in use.
#[derive(Clone, Default)]
pub enum WebhookSecrets {
    /// There are none.
    #[default]
    None,
    /// In a file; read again when it changes.
    File(PathBuf),
    /// This text.
    Text(String),
}

impl std::fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::File(_) => "File",
            Self::Text(_) => "Text(***)",
        })
    }
}

/// Why the secrets of webhooks cannot be used. Says nothing of what they are.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The file cannot be read.
    #[error("the secrets of webhooks {}: {source}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "the secrets of webhooks in {0} (line {1}) are not of the form {{\"topic\": [\"secret\"]}}, \
         none of them empty"
    )]
    Content(String, usize),
}

type ByTopic = HashMap<String, Vec<String>>;

impl WebhookSecrets {
    /// A secret of a topic's webhooks, to sign with.
    pub fn of(&self, topic: &str) -> Result<Option<String>, WebhookError> {
        let secrets = Secrets::new(self)?.get();
        let secret = secrets.get(topic).and_then(|secrets| secrets.first());
        Ok(secret.cloned())
    }
}

/// The secrets in force.
pub enum Secrets {
    File(Watched<ByTopic>),
    Fixed(Arc<ByTopic>),
}

impl Secrets {
    /// Reads them.
    pub fn new(secrets: &WebhookSecrets) -> Result<Self, WebhookError> {
        Ok(match secrets {
            WebhookSecrets::None => Self::Fixed(Arc::default()),
            WebhookSecrets::Text(text) => {
                Self::Fixed(Arc::new(parse("the environment", text.as_bytes())?))
            }
            WebhookSecrets::File(path) => Self::File(Watched::read(path.clone(), load)?),
        })
    }

    fn get(&self) -> Arc<ByTopic> {
        match self {
            Self::File(file) => file.get(),
            Self::Fixed(fixed) => Arc::clone(fixed),
        }
    }

    /// Keeps them up to date; never ends.
    pub async fn follow(&self) {
        match self {
            Self::File(file) => file.follow().await,
            Self::Fixed(_) => std::future::pending().await,
        }
    }

    /// Warns of routes that nobody can sign for.
    pub fn warn_of_missing<'d>(&self, declarations: impl Iterator<Item = &'d Declaration>) {
        let known = self.get();
        for declaration in declarations {
            let is_signed = declaration
                .http
                .iter()
                .any(|route| route.signature.is_some());
            if is_signed && !known.contains_key(declaration.name) {
                let topic = declaration.name;
                tracing::warn!(topic, "its webhooks have no secret (--webhook-secrets)");
            }
        }
    }
}

fn load(path: &Path, bytes: io::Result<&[u8]>) -> Result<ByTopic, WebhookError> {
    let bytes = bytes.map_err(|source| WebhookError::File {
        path: path.to_owned(),
        source,
    })?;
    parse(&path.display().to_string(), bytes)
}

fn parse(place: &str, bytes: &[u8]) -> Result<ByTopic, WebhookError> {
    // The error's own text may quote a secret.
    let content = |line| WebhookError::Content(place.to_owned(), line);
    let secrets: ByTopic = serde_json::from_slice(bytes).map_err(|error| content(error.line()))?;
    match secrets.values().flatten().any(String::is_empty) {
        true => Err(content(0)),
        false => Ok(secrets),
    }
}

impl Gateway {
    /// Checks the signature over the body as it came; the provider that signed it. It is told no
    /// result: a provider takes a failure for a lost delivery and sends the same again.
    pub(super) fn check_signature(
        &self,
        signature: Signature,
        topic: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Caller, Problem> {
        let secrets = self.secrets.get();
        let secrets = secrets.get(topic).map(Vec::as_slice).unwrap_or_default();
        if secrets.is_empty() && self.access.is_open() {
            return Ok(Caller::sender(Principal::anonymous()));
        }
        let now = jiff::Timestamp::now().as_second();
        let is_valid = match signature {
            Signature::Stripe => {
                let mut values = headers.get_all(STRIPE_HEADER).iter();
                let header = values.next().and_then(|value| value.to_str().ok());
                let is_one = values.next().is_none();
                header.is_some_and(|header| is_one && is_signed(header, body, secrets, now))
            }
        };
        if !is_valid {
            return Err(Refusal::Signature.unauthenticated());
        }
        let principal = Principal::webhook(topic);
        let name = principal.name().unwrap_or_default();
        self.access.take(name, self.access.limit())?;
        Ok(Caller::sender(principal))
    }
}

/// The value of Stripe's header for a body: what a provider sends, and tests.
pub fn stripe_signature(secret: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let signature = stripe_hmac(secret, &seconds.to_string(), body)?;
    Some(format!("t={seconds},v1={signature}"))
}

fn stripe_hmac(secret: &str, time: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    Some(millstream_pipeline::record::digest::hex::<32>(&digest))
}

/// Stripe's scheme: `t=<seconds>,v1=<hex>[,v1=<hex>...]`, HMAC-SHA256 over `<t>.<body>`.
fn is_signed(header: &str, body: &[u8], secrets: &[String], now: i64) -> bool {
    let items = || {
        header
            .split(',')
            .filter_map(|item| item.trim().split_once('='))
    };
    let mut times = items().filter(|(name, _)| *name == "t");
    let (Some((_, time)), None) = (times.next(), times.next()) else {
        return false;
    };
    let is_recent = time
        .parse::<i64>()
        .is_ok_and(|time| time.abs_diff(now) <= TOLERANCE);
    if !is_recent {
        return false;
    }
    let mut is_signed = false;
    for secret in secrets {
        let Some(expected) = stripe_hmac(secret, time, body) else {
            continue;
        };
        for (_, theirs) in items().filter(|(name, _)| *name == "v1") {
            is_signed |= bool::from(expected.as_bytes().ct_eq(theirs.as_bytes()));
        }
    }
    is_signed
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_255_050;
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn sign(secret: &str, time: i64, body: &[u8]) -> String {
        stripe_hmac(secret, &time.to_string(), body).unwrap()
    }

    #[test]
    fn the_scheme_is_stripe_s() {
        // Made with `printf '1795255050.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_a`.
        let known = "b257f346346c960ef026f721e9791a2e78ba3c115e8254bf24cc32ab71cc44f0";
        assert_eq!(sign("whsec_a", NOW, BODY), known);
        let ours = stripe_signature("whsec_a", NOW, BODY).unwrap();
        assert_eq!(ours, format!("t={NOW},v1={known}"));
        let header = format!("{ours},v0=ignored");
        assert!(is_signed(&header, BODY, &["whsec_a".into()], NOW));
    }

    #[test]
    fn one_signature_of_one_secret_is_enough_and_needed() {
        let secrets = ["old".to_owned(), "new".to_owned()];
        let is = |header: &str| is_signed(header, BODY, &secrets, NOW);
        let (old, new) = (sign("old", NOW, BODY), sign("new", NOW, BODY));
        assert!(is(&format!("t={NOW},v1={old}")));
        assert!(is(&format!("t={NOW}, v1=00, v1={new}")));
        for wrong in [
            String::new(),
            format!("t={NOW}"),
            format!("v1={old}"),
            format!("t={NOW},v0={old}"),
            format!("t={NOW},v1={}", sign("other", NOW, BODY)),
            format!("t={NOW},v1={}", sign("old", NOW, b"{}")),
            format!("t={NOW},v1={}", &old[..63]),
            format!("t={},v1={old}", NOW - 1),
            format!("t={NOW},t={NOW},v1={old}"),
            format!("t=now,v1={old}"),
        ] {
            assert!(!is(&wrong), "{wrong}");
        }
        assert!(!is_signed(&format!("t={NOW},v1={old}"), BODY, &[], NOW));
    }

    #[test]
    fn a_signature_is_good_for_five_minutes() {
        let secrets = ["s".to_owned()];
        for (time, is_good) in [
            (NOW - 300, true),
            (NOW - 301, false),
            (NOW + 300, true),
            (NOW + 301, false),
            (i64::MIN, false),
        ] {
            let header = format!("t={time},v1={}", sign("s", time, BODY));
            assert_eq!(is_signed(&header, BODY, &secrets, NOW), is_good, "{time}");
        }
    }

    #[test]
    fn errors_do_not_quote_secrets() {
        for bad in [r#"{"t": "whsec_a"}"#, r#"{"t": [""]}"#, r#"["whsec_a"]"#] {
            let error = parse("f", bad.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("whsec"), "{error}");
        }
        let text = WebhookSecrets::Text("whsec_a".into());
        assert!(!format!("{text:?}").contains("whsec"));
    }
}
