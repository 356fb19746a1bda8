//! Who may ask for what: keys, and the proofs that are made with them.
//!
//! - [`keys`]: Ed25519 keys, in the forms that Restate's request identity has.
//! - [`proof`]: the field `proof` of an event's `meta`, which proves its `principal`.

pub(crate) mod events;
pub mod keys;
pub mod proof;

use millstream_events::EventMeta;

pub use keys::{KeyError, PublicKey, SigningKey};
pub use proof::{Claim, Proofs, Signer, TrustedKeys, Unproven};

use crate::failure::{self, Failure};

/// Refuses an event that somebody else sent than the owner of its key, or that nobody is proven to
/// have sent.
pub fn owned_by(meta: &EventMeta, owner: &str) -> Result<(), Failure> {
    let refusal = match meta.principal.as_deref() {
        Some(principal) if principal == owner => return Ok(()),
        Some(_) => "this belongs to somebody else; send the event under your own key",
        None => {
            "this belongs to somebody, and nobody is proven to have sent the event; send it through \
             the gateway"
        }
    };
    Err(Failure::new(failure::FORBIDDEN, refusal))
}

impl Proofs {
    /// As [`owned_by`]; but where [`Proofs::anonymous`] says so, whoever is nobody may do everything.
    pub fn owned_by(&self, meta: &EventMeta, owner: &str) -> Result<(), Failure> {
        match self.anonymous && meta.principal.is_none() {
            true => Ok(()),
            false => owned_by(meta, owner),
        }
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
        for other in [Some("alice"), Some(""), None] {
            let refused = owned_by(&sent_by(other), "bob").unwrap_err();
            assert_eq!(refused.code, failure::FORBIDDEN, "{other:?}");
        }
        let open = Proofs {
            anonymous: true,
            ..Proofs::default()
        };
        for proofs in [Proofs::default(), open] {
            let nobody = proofs.owned_by(&sent_by(None), "bob");
            assert_eq!(nobody.is_ok(), proofs.anonymous);
            assert!(proofs.owned_by(&sent_by(Some("alice")), "bob").is_err());
            assert!(proofs.owned_by(&sent_by(Some("bob")), "bob").is_ok());
        }
    }
}
