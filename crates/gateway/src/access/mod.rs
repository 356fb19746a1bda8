//! Who may do what: API keys, tokens, their scopes, and how often.

mod claims;
pub mod keys;
mod pass;
mod rate;
mod scopes;
mod tokens;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::principal::Principal;
use super::problem::Problem;
use millstream_pipeline::observe::metrics::metrics;

use keys::{KeyError, Keys};
pub use pass::Pass;
use rate::Buckets;
pub use rate::Limit;
pub use scopes::{Scope, ScopeError, Verb};
use tokens::Tokens;
pub use tokens::{JwksSource, TokenError, TokenSettings};
pub(super) use watched::Watched;

/// Who may use a gateway. The default lets nobody in.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings {
    /// Ask nobody: everybody may do everything. For development alone.
    pub open: bool,
    /// The file of API keys; read again when it changes.
    pub keys: Option<PathBuf>,
    /// Tokens that are taken as well.
    pub tokens: Option<TokenSettings>,
    /// How often a key, or a token's principal, may ask, unless the key says otherwise.
    pub limit: Limit,
}

impl AccessSettings {
    /// Whether those who may use the gateway have names.
    pub fn knows_principals(&self) -> bool {
        self.keys.is_some() || self.tokens.is_some()
    }
}

/// Why a gateway cannot tell who sends.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The source of token keys.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

/// Why a request is refused: for metrics, never for clients, who are all told the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no key and no token, or more than one.
    Missing,
    /// No such key, or another secret.
    UnknownKey,
    /// The key's time is over.
    ExpiredKey,
    /// The key was revoked.
    RevokedKey,
    /// The token is not valid here.
    Token,
    /// Key or token do not allow this.
    Scope,
    /// Too many requests.
    Rate,
    /// A webhook's signature is missing, wrong or old.
    Signature,
    /// The ticket is for something else, over, or none.
    Ticket,
    /// A page of another origin, at a gateway that asks nobody for a key.
    Origin,
}

impl Refusal {
    fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::UnknownKey => "unknown-key",
            Self::ExpiredKey => "expired-key",
            Self::RevokedKey => "revoked-key",
            Self::Token => "token",
            Self::Scope => "scope",
            Self::Rate => "rate",
            Self::Signature => "signature",
            Self::Ticket => "ticket",
            Self::Origin => "origin",
        }
    }

    /// The problem that the client is told, counted.
    pub fn unauthenticated(self) -> Problem {
        self.count();
        Problem::unauthenticated()
    }

    /// The same of somebody who was known: what was shown may no longer allow it.
    pub fn problem(self) -> Problem {
        match self {
            Self::Scope => {
                self.count();
                Problem::forbidden()
            }
            _ => self.unauthenticated(),
        }
    }

    /// Counts it.
    pub fn count(self) {
        let refused = &metrics().gateway_refused;
        refused.with_label_values(&[self.label()]).inc();
    }
}

/// Somebody who may send requests.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its identity.
    pub principal: Principal,
    /// What it has shown.
    pub pass: Pass,
    /// What it may do; `None`: everything.
    scopes: Option<Arc<[Scope]>>,
}

impl Caller {
    /// One who may do everything that it can reach.
    pub fn unlimited(principal: Principal, pass: Pass) -> Self {
        Self {
            principal,
            pass,
            scopes: None,
        }
    }

    /// One who may send, and is told no result.
    pub fn sender(principal: Principal) -> Self {
        Self {
            principal,
            pass: Pass::Nothing,
            scopes: Some(Arc::new([Scope::sending()])),
        }
    }

    /// Whether it may do this to a topic, which need not exist.
    pub fn may(&self, verb: Verb, topic: &str) -> bool {
        let scopes = self.scopes.as_ref();
        scopes.is_none_or(|scopes| scopes.iter().any(|scope| scope.allows(verb, topic)))
    }

    /// The same as a refusal in words that do not say whether the topic exists.
    pub fn check(&self, verb: Verb, topic: &str) -> Result<(), Problem> {
        if self.may(verb, topic) {
            return Ok(());
        }
        Refusal::Scope.count();
        Err(Problem::forbidden())
    }
}

/// Tells who sends a request.
pub struct Access {
    open: bool,
    keys: Option<Watched<Keys>>,
    tokens: Option<Tokens>,
    limit: Limit,
    buckets: Buckets,
}

impl Access {
    /// Reads the files; an address is asked later.
    pub fn new(settings: &AccessSettings) -> Result<Self, AccessError> {
        let keys = settings.keys.as_ref();
        let keys = keys.map(|path| Watched::read(path.clone(), keys::load));
        let tokens = settings.tokens.clone();
        Ok(Self {
            open: settings.open,
            keys: keys.transpose()?,
            tokens: tokens.map(Tokens::new).transpose()?,
            limit: settings.limit,
            buckets: Buckets::default(),
        })
    }

    /// Whether nobody is asked.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Keeps keys up to date; never ends.
    pub async fn follow(&self) {
        let keys = async {
            match &self.keys {
                Some(keys) => keys.follow().await,
                None => std::future::pending().await,
            }
        };
        let tokens = async {
            match &self.tokens {
                Some(tokens) => tokens.follow().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(keys, tokens);
    }

    /// Who sends a request with these headers.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.open {
            return Ok(Caller::unlimited(Principal::anonymous(), Pass::Nothing));
        }
        let credential = credential(headers).ok_or_else(|| Refusal::Missing.unauthenticated())?;
        if credential.starts_with(keys::PREFIX) {
            return self.by_key(credential);
        }
        let Some(tokens) = &self.tokens else {
            return Err(Refusal::UnknownKey.unauthenticated());
        };
        let claims = tokens.verify(credential).await?;
        self.take(&format!("token {}", claims.subject), self.limit)?;
        Ok(Caller {
            principal: Principal::named(claims.subject),
            pass: Pass::Token(claims.expires_at),
            scopes: Some(claims.scopes),
        })
    }

    fn by_key(&self, credential: &str) -> Result<Caller, Problem> {
        let keys = self.keys.as_ref().map(Watched::get).unwrap_or_default();
        let known = keys
            .verify(credential, jiff::Timestamp::now())
            .map_err(Refusal::unauthenticated)?;
        let key = &known.key;
        self.take(&key.id, key.limit(self.limit))?;
        Ok(Caller {
            principal: Principal::named(&key.principal),
            pass: Pass::Key(key.id.as_str().into()),
            scopes: Some(Arc::clone(&known.scopes)),
        })
    }

    /// Counts a request of this name against its limit.
    pub fn take(&self, name: &str, limit: Limit) -> Result<(), Problem> {
        let now = std::time::Instant::now();
        self.buckets.take(name, limit, now).map_err(|wait| {
            Refusal::Rate.count();
            Problem::rate_limited(wait)
        })
    }

    /// The limit of whoever has none of its own.
    pub fn limit(&self) -> Limit {
        self.limit
    }
}

/// Whether a request shows a key or token, or what is meant as one.
pub fn shows_credential(headers: &HeaderMap) -> bool {
    headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION)
}

/// The one key or token of a request: `X-API-Key`, or `Authorization: Bearer`.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let keys = headers.get_all("x-api-key").iter();
    let mut all = keys.chain(headers.get_all(header::AUTHORIZATION));
    let one = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    if headers.contains_key("x-api-key") {
        return Some(one.trim());
    }
    let (scheme, credential) = one.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(credential.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_credential() {
        let of = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            credential(&map).map(str::to_owned)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&[("x-api-key", "k")]), some("k"));
        assert_eq!(of(&[("authorization", "Bearer k")]), some("k"));
        assert_eq!(of(&[("authorization", "bearer  k")]), some("k"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("authorization", "Basic k")]), None);
        assert_eq!(of(&[("authorization", "k")]), None);
        assert_eq!(of(&[("x-api-key", "k"), ("x-api-key", "k")]), None);
        let both = [("x-api-key", "k"), ("authorization", "Bearer k")];
        assert_eq!(of(&both), None);
    }
}
