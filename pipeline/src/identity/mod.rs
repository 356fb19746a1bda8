//! Who may ask for what: keys, and the proofs that are made with them.
//!
//! - [`keys`]: Ed25519 keys, in the forms that Restate's request identity has.
//! - [`proof`]: the field `proof` of an event's `meta`, which proves its `principal`.

pub(crate) mod events;
pub mod keys;
pub mod proof;

use millstream_schemas::EventMeta;

pub use keys::{KeyError, PublicKey, SigningKey};
pub use proof::{Claim, Proofs, Signer, TrustedKeys, Unproven};

use crate::code::{self, Failure};

/// Refuses an event that somebody else sent than the owner of its key. One that nobody signed is
/// not refused: whether a topic takes such events is declared by `identity` in its file.
pub fn owned_by(meta: &EventMeta, owner: &str) -> Result<(), Failure> {
    match meta.principal.as_deref() {
        Some(principal) if principal != owner => Err(Failure::new(
            code::FORBIDDEN,
            "this belongs to somebody else; send the event under your own key",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_act_on_what_is_ones_own() {
        let sent_by = |principal: Option<&str>| EventMeta {
            principal: principal.map(str::to_owned),
            ..EventMeta::default()
        };
        assert!(owned_by(&sent_by(Some("bob")), "bob").is_ok());
        assert!(owned_by(&sent_by(None), "bob").is_ok());
        let refused = owned_by(&sent_by(Some("alice")), "bob").unwrap_err();
        assert_eq!(refused.code, code::FORBIDDEN);
    }
}
