//! Tokens (JWT) of an identity provider, checked against its published keys (JWKS).

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::claims::{Claims, FAULTS, Fault, shortened};
use super::{Refusal, Watched};
use crate::problem::Problem;

/// Seconds by which clocks may differ.
pub const LEEWAY: u64 = 30;
/// Keys are fetched so often, so that those that were withdrawn end.
const REFRESH: Duration = Duration::from_mins(5);
/// Pause between two fetches for keys that are not known, whoever asks.
const FETCH_AGAIN: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of a set of keys.
const MAX_BYTES: usize = 1024 * 1024;
/// Bytes of the modulus of an RSA key: 2,048 bits.
const MIN_RSA: usize = 256;

/// Where the keys are published.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// A file; read again when it changes.
    File(PathBuf),
    /// An address; asked every five minutes, and when a key is not known.
    Url(String),
}

/// Which tokens are taken.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The keys that sign them.
    pub jwks: JwksSource,
    /// What `aud` must name.
    pub audience: String,
    /// What `iss` must be.
    pub issuer: String,
    /// The claim that holds the scopes; `None`: `scope`, or else `scp`.
    pub scope_claim: Option<String>,
}

/// Why tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the keys of tokens {}: {source}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It has no key for RS256, ES256 or EdDSA.
    #[error("{0} is no JWKS with a key for RS256, ES256 or EdDSA")]
    Content(String),
    /// The address cannot be one.
    #[error("{0} is neither a file nor an http:// or https:// address")]
    Address(String),
    /// The address does not answer, or shows a certificate that is not trusted.
    #[error(
        "the keys of tokens cannot be fetched: {}; check the address, and that SSL_CERT_FILE names \
         the authority of its certificate if that is a private one",
        millstream_pipeline::http::reason(.0)
    )]
    Fetch(#[from] reqwest::Error),
}

/// Keys by their ids; the algorithm is the key's, never the token's.
#[derive(Default)]
struct KeySet(HashMap<String, (Algorithm, DecodingKey)>);

enum Source {
    File(Watched<KeySet>),
    Url(Fetched),
}

/// Keys of an address.
struct Fetched {
    url: String,
    http: reqwest::Client,
    known: RwLock<Option<Arc<KeySet>>>,
    /// When they were fetched last, whatever came of it.
    at: Mutex<Option<Instant>>,
}

/// Checks tokens.
pub struct Tokens {
    source: Source,
    audience: String,
    issuer: String,
    scope_claim: Option<String>,
}

impl Tokens {
    /// Reads a file; an address is asked later.
    pub fn new(settings: TokenSettings) -> Result<Self, TokenError> {
        let source = match settings.jwks {
            JwksSource::File(path) => Source::File(Watched::read(path, load)?),
            JwksSource::Url(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                return Err(TokenError::Address(millstream_pipeline::http::masked(&url)));
            }
            JwksSource::Url(url) => Source::Url(Fetched {
                url,
                http: millstream_pipeline::http::builder()
                    .timeout(FETCH_LIMIT)
                    .redirect(reqwest::redirect::Policy::none())
                    .build()?,
                known: RwLock::new(None),
                at: Mutex::new(None),
            }),
        };
        Ok(Self {
            source,
            audience: settings.audience,
            issuer: settings.issuer,
            scope_claim: settings.scope_claim,
        })
    }

    /// Keeps the keys up to date; never ends.
    pub async fn follow(&self) {
        match &self.source {
            Source::File(file) => file.follow().await,
            Source::Url(fetched) => loop {
                fetched.fetch(REFRESH).await;
                let known = fetched.known().is_some();
                tokio::time::sleep(if known { REFRESH } else { FETCH_AGAIN }).await;
            },
        }
    }

    /// What a token says, if it is valid. What is wrong with another one is for the log: whoever
    /// shows it is told the same as everybody.
    pub async fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let invalid = |fault: Fault| {
            FAULTS.say("a token is refused", &fault);
            Refusal::Token.unauthenticated()
        };
        // Fails for `none` and all that is not known.
        let header = decode_header(token).map_err(|_| invalid(Fault::Form))?;
        let kid = header.kid.as_deref();
        let mut keys = self.keys();
        if keys.as_ref().is_none_or(|keys| keys.find(kid).is_none())
            && let Source::Url(fetched) = &self.source
        {
            fetched.fetch(FETCH_AGAIN).await;
            keys = self.keys();
        }
        let Some(keys) = keys else {
            return Err(Problem::unavailable(
                "the keys that tokens are checked with are not there yet",
            ));
        };
        self.check(token, &header, &keys).map_err(invalid)
    }

    fn check(&self, token: &str, header: &Header, keys: &KeySet) -> Result<Claims, Fault> {
        let kid = header.kid.as_deref();
        let unknown = || Fault::Key(kid.map(|kid| shortened(&format!("{kid:?}"))));
        let (algorithm, key) = keys.find(kid).ok_or_else(unknown)?;
        if header.alg != *algorithm {
            return Err(Fault::Algorithm(format!("`alg` {:?}", header.alg)));
        }
        if header.crit.is_some() {
            return Err(Fault::Algorithm("`crit`".into()));
        }
        let mut validation = Validation::new(*algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let claims = decode::<Map<String, Value>>(token, key, &validation);
        let claims = claims
            .map_err(|error| Fault::of_error(error.kind(), token, &self.audience, &self.issuer))?;
        Claims::read(&claims.claims, self.scope_claim.as_deref())
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        match &self.source {
            Source::File(file) => Some(file.get()),
            Source::Url(fetched) => fetched.known(),
        }
    }
}

impl Fetched {
    fn known(&self) -> Option<Arc<KeySet>> {
        let known = self.known.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless that was tried within `pause`. Those who come meanwhile wait for
    /// the same answer. What cannot be fetched changes nothing.
    async fn fetch(&self, pause: Duration) {
        let mut at = self.at.lock().await;
        if at.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *at = Some(Instant::now());
        match self.get().await {
            Ok(keys) => {
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *known = Some(Arc::new(keys));
            }
            Err(error) => tracing::warn!(%error, "the keys of before stay in force"),
        }
    }

    async fn get(&self) -> Result<KeySet, TokenError> {
        let mut response = self.http.get(&self.url).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BYTES {
                break;
            }
        }
        KeySet::parse(&bytes)
            .ok_or_else(|| TokenError::Content(millstream_pipeline::http::masked(&self.url)))
    }
}

fn load(path: &Path, bytes: io::Result<&[u8]>) -> Result<KeySet, TokenError> {
    let bytes = bytes.map_err(|source| TokenError::File {
        path: path.to_owned(),
        source,
    })?;
    KeySet::parse(bytes).ok_or_else(|| TokenError::Content(path.display().to_string()))
}

impl KeySet {
    /// The keys of a JWKS that tokens may be signed with; `None`: there is none.
    fn parse(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let set: Set = serde_json::from_slice(bytes).ok()?;
        let keys = set.keys.into_iter().filter_map(|key| {
            // Keys of other kinds are other programs' business.
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            let id = jwk.common.key_id.clone().unwrap_or_default();
            Some((id, (algorithm(&jwk)?, DecodingKey::from_jwk(&jwk).ok()?)))
        });
        Some(Self(keys.collect())).filter(|set| !set.0.is_empty())
    }

    /// The key with this id; without one, the only key.
    fn find(&self, kid: Option<&str>) -> Option<&(Algorithm, DecodingKey)> {
        match kid {
            Some(kid) => self.0.get(kid),
            None if self.0.len() == 1 => self.0.values().next(),
            None => None,
        }
    }
}

/// What a key signs with. Never a shared secret: whoever can check could sign as well.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let key_use = jwk.common.public_key_use.as_ref();
    if key_use.is_some_and(|key_use| *key_use != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            (modulus.len() >= MIN_RSA).then_some(Algorithm::RS256)?
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let named = jwk.common.key_algorithm;
    named
        .is_none_or(|named| named.to_string() == format!("{algorithm:?}"))
        .then_some(algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_s_kind_says_what_it_signs_with() {
        let of = |key: Value| {
            let set = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes());
            set.and_then(|set| Some(set.find(None)?.0))
        };
        let rsa = |bytes: usize, more: Value| {
            let modulus = BASE64_URL_SAFE_NO_PAD.encode(vec![0xb5; bytes]);
            let mut key = json!({ "kty": "RSA", "n": modulus, "e": "AQAB" });
            let more = more.as_object().cloned().unwrap_or_default();
            key.as_object_mut().unwrap().extend(more);
            key
        };
        assert_eq!(of(rsa(256, json!({}))), Some(Algorithm::RS256));
        assert_eq!(
            of(rsa(256, json!({ "alg": "RS256", "use": "sig" }))),
            Some(Algorithm::RS256)
        );
        assert_eq!(of(rsa(128, json!({}))), None, "1,024 bits");
        assert_eq!(of(rsa(256, json!({ "alg": "RS512" }))), None);
        assert_eq!(of(rsa(256, json!({ "alg": "HS256" }))), None);
        assert_eq!(of(rsa(256, json!({ "use": "enc" }))), None);
        assert_eq!(of(json!({ "kty": "oct", "k": "c2VjcmV0" })), None);
        assert!(KeySet::parse(b"{}").is_none());
    }
}
