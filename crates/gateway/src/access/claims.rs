//! What a token says of who has it, and what can be wrong with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use serde_json::{Map, Value};

use super::Scope;
use crate::principal;

/// Claims that may hold the scopes, the first that is there: OAuth's own, and that of Azure and Okta.
const SCOPE_CLAIMS: [&str; 2] = ["scope", "scp"];
/// Letters of a claim that are shown.
const SHOWN: usize = 200;
/// Pause between two lines about tokens with the same fault.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// What a valid token says.
#[derive(Debug)]
pub struct Claims {
    /// Who has it.
    pub subject: String,
    /// What it allows; scopes that mean something elsewhere mean nothing here.
    pub scopes: Arc<[Scope]>,
    /// When it ends, in seconds since 1970-01-01 UTC.
    pub expires_at: i64,
}

/// What is wrong with a token: for whoever runs the gateway. Never holds the token or its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read.
    Form,
    /// Nobody known has signed it.
    Key(Option<String>),
    /// It is not signed in the way of its key.
    Algorithm(String),
    /// The signature is another one.
    Signature,
    /// A claim is missing, or is not what it should be.
    Claim {
        /// Its name.
        claim: String,
        /// What is there, as JSON.
        found: Option<String>,
        /// What should be.
        expected: String,
    },
}

impl Fault {
    /// A fault of this claim.
    pub fn of_claim(claims: &Map<String, Value>, claim: &str, expected: impl Into<String>) -> Self {
        let found = claims.get(claim).map(|value| shortened(&value.to_string()));
        Self::Claim {
            claim: claim.to_owned(),
            found,
            expected: expected.into(),
        }
    }

    /// Why a token is not taken whose key is known. The claims are those of a token whose signature
    /// is good: that is checked first.
    pub fn of_error(error: &ErrorKind, token: &str, audience: &str, issuer: &str) -> Self {
        let claims = payload(token).unwrap_or_default();
        let of = |claim: &str, expected: String| Self::of_claim(&claims, claim, expected);
        match error {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => of("exp", "a time to come".into()),
            ErrorKind::ImmatureSignature => of("nbf", "a time that has come".into()),
            ErrorKind::InvalidAudience => of("aud", format!("{audience:?} (--audience)")),
            ErrorKind::InvalidIssuer => of("iss", format!("{issuer:?} (--issuer)")),
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                let expected = match claim.as_str() {
                    "exp" | "nbf" => "seconds since 1970".to_owned(),
                    "aud" => format!("{audience:?} (--audience)"),
                    "iss" => format!("{issuer:?} (--issuer)"),
                    _ => "a text".to_owned(),
                };
                of(claim, expected)
            }
            _ => Self::Form,
        }
    }

    /// What lines about it are counted under: few, whatever tokens say.
    fn kind(&self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Key(_) => "key",
            Self::Algorithm(_) => "alg",
            Self::Signature => "signature",
            Self::Claim { claim, .. } => {
                let known = ["exp", "nbf", "aud", "iss", "sub"];
                known.into_iter().find(|it| it == claim).unwrap_or("scope")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                f.write_str("it is no JWT, or its header names no algorithm that is known")
            }
            Self::Key(None) => f.write_str("it has no `kid`, and the set has not one key alone"),
            Self::Key(Some(kid)) => write!(f, "its `kid` is {kid}, which no key of the set has"),
            Self::Algorithm(alg) => write!(f, "its header has {alg}, which its key does not allow"),
            Self::Signature => f.write_str("its signature is not that of the key which it names"),
            Self::Claim {
                claim,
                found,
                expected,
            } => match found {
                Some(found) => write!(f, "its claim `{claim}` is {found}; it must be {expected}"),
                None => write!(f, "it has no claim `{claim}`; it must be {expected}"),
            },
        }
    }
}

impl Claims {
    /// Reads the claims of a valid token; `named`: the one that holds the scopes.
    pub fn read(claims: &Map<String, Value>, named: Option<&str>) -> Result<Self, Fault> {
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !principal::is_allowed(subject) {
            return Err(Fault::of_claim(claims, "sub", principal::RULE));
        }
        let (claim, texts) = scopes(claims, named)?;
        let words = texts.iter().flat_map(|text| text.split_ascii_whitespace());
        let scopes: Arc<[Scope]> = words.filter_map(|word| word.parse().ok()).collect();
        if scopes.is_empty() {
            let expected = "scopes of the gateway, such as \"send:orders\": until then the token allows nothing";
            let fault = Fault::of_claim(claims, claim, expected);
            FAULTS.say("a token allows nothing", &fault);
        }
        // It may have a fraction. That it is there and to come was checked.
        let expires_at = claims.get("exp").and_then(Value::as_f64);
        Ok(Self {
            subject: subject.to_owned(),
            scopes,
            expires_at: expires_at.unwrap_or_default() as i64,
        })
    }
}

/// The claim that holds the scopes, and its texts.
fn scopes<'c>(
    claims: &'c Map<String, Value>,
    named: Option<&'c str>,
) -> Result<(&'c str, Vec<&'c str>), Fault> {
    let is_there = |name: &&str| claims.get(*name).is_some_and(|value| !value.is_null());
    let known = || SCOPE_CLAIMS.into_iter().find(is_there);
    let claim = named.or_else(known).unwrap_or(SCOPE_CLAIMS[0]);
    let wrong = || {
        let expected = "a text with spaces between the scopes, or a list of texts";
        Fault::of_claim(claims, claim, expected)
    };
    let texts = match claims.get(claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Array(items)) => {
            let texts: Option<_> = items.iter().map(Value::as_str).collect();
            texts.ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    Ok((claim, texts))
}

/// A token's claims, whether or not they are true.
fn payload(token: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1)?)
        .ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// What somebody else wrote, for one line of a log.
pub fn shortened(text: &str) -> String {
    let letters = text.chars().filter(|letter| !letter.is_control());
    let short: String = letters.take(SHOWN).collect();
    match short.len() < text.len() {
        true => format!("{short}..."),
        false => short,
    }
}

/// What was said of tokens; strangers can send any number of bad ones.
pub static FAULTS: Sparing = Sparing(Mutex::new(None));

/// Says the same at most so often.
pub struct Sparing(Mutex<Option<Said>>);

/// When what was said last, and how often it was left out since.
type Said = HashMap<&'static str, (Instant, u64)>;

impl Sparing {
    /// Logs a fault, unless one of its kind was logged just now.
    pub fn say(&self, what: &'static str, fault: &Fault) {
        if let Some(left_out) = self.turn(fault.kind(), Instant::now()) {
            tracing::warn!(left_out, "{what}: {fault}");
        }
    }

    /// How many were left out before this one; `None`: it is left out, too.
    fn turn(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = said.get_or_insert_default();
        match said.get_mut(kind) {
            Some((at, left_out)) if now.duration_since(*at) < SAY_AGAIN => {
                *left_out += 1;
                None
            }
            before => {
                let left_out = before.map_or(0, |(_, left_out)| *left_out);
                said.insert(kind, (now, 0));
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: &Value, named: Option<&str>) -> Result<Vec<String>, String> {
        let claims = Claims::read(claims.as_object().unwrap(), named);
        let claims = claims.map_err(|fault| fault.to_string())?;
        Ok(claims.scopes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn scopes_are_text_or_a_list_under_any_of_their_names() {
        let both = ["send:orders", "read:*"];
        for claims in [
            json!({ "sub": "a", "scope": "openid send:orders  read:*" }),
            json!({ "sub": "a", "scope": ["openid", "send:orders", "read:*"] }),
            json!({ "sub": "a", "scope": ["send:orders read:*"] }),
            // Azure's, and Okta's.
            json!({ "sub": "a", "scp": "send:orders read:*" }),
            json!({ "sub": "a", "scp": ["send:orders", "read:*"] }),
            json!({ "sub": "a", "scope": null, "scp": ["send:orders", "read:*"] }),
            // OAuth's own comes first.
            json!({ "sub": "a", "scope": "send:orders read:*", "scp": "*:*" }),
        ] {
            assert_eq!(read(&claims, None).unwrap(), both, "{claims}");
        }
        let named = json!({ "sub": "a", "scope": "*:*", "https://x/roles": ["send:a"] });
        assert_eq!(read(&named, Some("https://x/roles")).unwrap(), ["send:a"]);
        for nothing in [json!({ "sub": "a" }), json!({ "sub": "a", "scope": [] })] {
            assert!(read(&nothing, None).unwrap().is_empty());
        }
        assert!(
            read(&json!({ "sub": "a", "scope": "*:*" }), Some("roles"))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong_is_said_by_the_claim_s_name() {
        for (claims, said) in [
            (
                json!({ "sub": "a", "scope": 7 }),
                "its claim `scope` is 7; it must be a text",
            ),
            (
                json!({ "sub": "a", "scp": ["a", 1] }),
                "its claim `scp` is [\"a\",1]; it must be",
            ),
            (
                json!({ "sub": "a", "scope": {} }),
                "its claim `scope` is {}",
            ),
            (json!({ "scope": "*:*" }), "it has no claim `sub`"),
            (
                json!({ "sub": "webhook:x" }),
                "its claim `sub` is \"webhook:x\"; it must be",
            ),
        ] {
            let fault = read(&claims, None).unwrap_err();
            assert!(fault.starts_with(said), "{fault}");
        }
        let claims = json!({ "aud": "others", "iss": ["x"], "exp": 5, "sub": 7 });
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = format!("head.{payload}.sign");
        let of = |kind: ErrorKind| Fault::of_error(&kind, &token, "mine", "me").to_string();
        let missing = |claim: &str| of(ErrorKind::MissingRequiredClaim(claim.into()));
        let audience = "its claim `aud` is \"others\"; it must be \"mine\" (--audience)";
        assert_eq!(of(ErrorKind::InvalidAudience), audience);
        let issuer = "its claim `iss` is [\"x\"]; it must be \"me\" (--issuer)";
        assert_eq!(of(ErrorKind::InvalidIssuer), issuer);
        let expired = "its claim `exp` is 5; it must be a time to come";
        assert_eq!(of(ErrorKind::ExpiredSignature), expired);
        assert_eq!(missing("sub"), "its claim `sub` is 7; it must be a text");
        assert_eq!(
            missing("nbf"),
            "it has no claim `nbf`; it must be seconds since 1970"
        );
    }

    #[test]
    fn what_strangers_write_is_cut_to_one_short_line() {
        let long = json!({ "aud": format!("a\n{}", "ä".repeat(1_000)) });
        let fault = Fault::of_claim(long.as_object().unwrap(), "aud", "x").to_string();
        assert!(fault.len() < 500 && !fault.contains('\n'), "{fault}");
        assert_eq!(shortened("a\u{1b}[31m\nb"), "a[31mb...");
    }

    #[test]
    fn the_same_is_said_now_and_then() {
        let (sparing, begun) = (Sparing(Mutex::new(None)), Instant::now());
        assert_eq!(sparing.turn("aud", begun), Some(0));
        assert_eq!(sparing.turn("aud", begun), None);
        assert_eq!(sparing.turn("aud", begun + SAY_AGAIN / 2), None);
        assert_eq!(sparing.turn("iss", begun), Some(0), "another one");
        assert_eq!(sparing.turn("aud", begun + SAY_AGAIN), Some(2));
        assert_eq!(sparing.turn("aud", begun + SAY_AGAIN), None);
    }
}
