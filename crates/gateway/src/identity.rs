//! What makes a request the same request: its nonce, and the ids made of it.

use axum::http::HeaderMap;

use super::principal::Principal;
use super::problem::Problem;
use millstream_pipeline::record::digest::{digest, hex};

/// Longer idempotency keys are refused.
pub const MAX_KEY: usize = 255;

/// Digest of a route and of what its path holds.
pub type Place = [u8; 32];

/// The identity of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What event id and request id are made of; see [`super::request_id`].
    pub nonce: [u8; 16],
    /// For `meta.idempotency_key`: the client's key, within principal and route.
    pub idempotency_key: Option<String>,
    /// For templates with `$id`.
    pub made_id: String,
}

impl Identity {
    /// The identity of a principal's request: random, or with `Idempotency-Key` the same for the
    /// same principal, place (route and path) and request, which are asked for only then.
    pub fn of(
        principal: &Principal,
        headers: &HeaderMap,
        request: impl FnOnce() -> (Place, Vec<u8>),
    ) -> Result<Self, Problem> {
        let Some(key) = idempotency_key(headers)? else {
            let nonce = uuid::Uuid::new_v4().into_bytes();
            return Ok(Self {
                nonce,
                idempotency_key: None,
                // Sorts by time, as keys of new entities should.
                made_id: uuid::Uuid::now_v7().to_string(),
            });
        };
        let (place, request) = request();
        Ok(Self::repeatable(
            principal,
            &place,
            key.as_bytes(),
            &request,
        ))
    }

    /// The identity of a signed request: the same for the same body, so that a copy does nothing
    /// more. Headers do not count: they are not signed.
    pub fn of_signed(principal: &Principal, place: &Place, body: &[u8]) -> Self {
        let key = digest(&[b"body", body]);
        Self::repeatable(principal, place, &key, b"")
    }

    fn repeatable(principal: &Principal, place: &Place, key: &[u8], request: &[u8]) -> Self {
        let of = |what: &[u8], request: &[u8]| {
            let parts = [what, principal.as_bytes(), place, key];
            digest(&[&parts[..], &[request]].concat())
        };
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&of(b"nonce", request)[..16]);
        Self {
            nonce,
            idempotency_key: Some(hex::<16>(&of(b"idempotency-key", b""))),
            // The same for another body: it must meet the first request at its entity.
            made_id: hex::<16>(&of(b"made-id", b"")),
        }
    }

    /// Whether the request may have been sent before.
    pub fn is_repeatable(&self) -> bool {
        self.idempotency_key.is_some()
    }
}

/// The header's value, which may stand in quotes.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim();
    let key = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    match key.len() {
        1..=MAX_KEY if values.next().is_none() => Ok(Some(key)),
        _ => Err(Problem::bad_request(format!(
            "Idempotency-Key must be one text of 1 to {MAX_KEY} ASCII characters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(principal: &str, key: Option<&str>, place: &str, request: &str) -> Identity {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("idempotency-key", key.parse().unwrap());
        }
        let principal = Principal::named(principal);
        let request = || (digest(&[place.as_bytes()]), request.as_bytes().to_vec());
        Identity::of(&principal, &headers, request).unwrap()
    }

    #[test]
    fn the_same_request_is_the_same_everywhere() {
        let first = identity("alice", Some("k"), "POST /a/1", "{}");
        assert_eq!(first, identity("alice", Some("\"k\""), "POST /a/1", "{}"));
        let other_body = identity("alice", Some("k"), "POST /a/1", "{\"x\":1}");
        assert_ne!(first.nonce, other_body.nonce, "the handler is to see both");
        assert_eq!(first.idempotency_key, other_body.idempotency_key);
        assert_eq!(first.made_id, other_body.made_id);
        for other in [
            identity("bob", Some("k"), "POST /a/1", "{}"),
            identity("alice", Some("l"), "POST /a/1", "{}"),
            identity("alice", Some("k"), "POST /a/2", "{}"),
        ] {
            assert_ne!(first.nonce, other.nonce);
            assert_ne!(first.idempotency_key, other.idempotency_key);
            assert_ne!(first.made_id, other.made_id);
        }
        let random = identity("alice", None, "POST /a/1", "{}");
        assert!(!random.is_repeatable());
        assert_ne!(
            random.nonce,
            identity("alice", None, "POST /a/1", "{}").nonce
        );
    }

    #[test]
    fn keys_are_of_bounded_length() {
        let long = "k".repeat(256);
        for key in ["", "\"\"", long.as_str()] {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", key.parse().unwrap());
            assert!(Identity::of(&Principal::anonymous(), &headers, Default::default).is_err());
        }
    }
}
