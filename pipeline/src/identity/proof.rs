//! The proof that an event was sent by its principal: a signature by somebody who is trusted to have
//! asked.
//!
//! docs/security.md describes the bytes for producers in other languages; a test keeps them.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{KeyError, PublicKey, SigningKey};

/// Begins what is signed, so that no signature made for something else is a proof.
const DOMAIN: &[u8] = b"millstream-proof-v1";
/// Begins the text of a proof.
const VERSION: &str = "v1";
/// `meta` null, which ends the body that is signed.
const NULL_META: u8 = 0;

/// How long a proof holds unless a signer is told otherwise. What counts is when Kafka recorded the
/// event, so this covers retries of its producer, and dead letters that are replayed.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// What a proof is about.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The declared topic that the event is on.
    pub topic: &'a str,
    /// The record's key.
    pub key: &'a str,
    /// The event's full name: the same bytes may be another event's body.
    pub full_name: &'a str,
    /// The event's id.
    pub event_id: &'a str,
    /// Who sent it.
    pub principal: &'a str,
    /// Its fields in the writer's schema, up to `meta`.
    pub body: &'a [u8],
}

impl Claim<'_> {
    /// What is signed: each part after its length, which is of 8 bytes, the highest first.
    fn message(&self, expires_at: i64) -> Vec<u8> {
        let body = Sha256::new()
            .chain_update(self.body)
            .chain_update([NULL_META])
            .finalize();
        let mut message = Vec::with_capacity(320);
        for part in [
            DOMAIN,
            self.topic.as_bytes(),
            self.key.as_bytes(),
            self.full_name.as_bytes(),
            self.event_id.as_bytes(),
            self.principal.as_bytes(),
            &expires_at.to_be_bytes(),
            &body,
        ] {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        message
    }
}

/// Makes proofs.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    id: String,
    lifetime: i64,
}

impl Signer {
    /// One whose proofs hold for [`LIFETIME`].
    pub fn new(key: SigningKey) -> Self {
        Self::with_lifetime(key, LIFETIME)
    }

    /// One whose proofs hold for so long.
    pub fn with_lifetime(key: SigningKey, lifetime: Duration) -> Self {
        Self {
            id: key.public().id(),
            key,
            lifetime: i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// What it signs with.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The proof of this claim, which holds from `time` on, in microseconds since 1970-01-01 UTC.
    /// The same arguments give the same proof.
    pub fn proof(&self, claim: &Claim<'_>, time: i64) -> String {
        let expires_at = time.saturating_add(self.lifetime);
        let signature = self.key.sign(&claim.message(expires_at));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        format!("{VERSION}.{}.{expires_at}.{signature}", self.id)
    }
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// There is none, or no principal.
    #[error("it carries no principal with a proof; send it through the gateway")]
    Absent,
    /// It is not a proof's text.
    #[error("its proof has another form than v1.<key id>.<expiry>.<signature>")]
    Malformed,
    /// Nobody who is trusted has such a key.
    #[error("its proof is signed with a key that is not trusted here")]
    UnknownKey,
    /// It held until before Kafka recorded the event.
    #[error("its proof had expired when Kafka recorded it; send it anew")]
    Expired,
    /// It is the proof of something else.
    #[error("its proof is not of this event")]
    Wrong,
}

/// The public keys of all who may sign. Several, so that keys can be replaced.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(HashMap<String, PublicKey>);

impl TrustedKeys {
    /// These keys.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key)).collect())
    }

    /// Keys as text: `publickeyv1_...`.
    pub fn parse(keys: &[String]) -> Result<Self, KeyError> {
        let keys: Result<Vec<PublicKey>, _> = keys.iter().map(|key| key.parse()).collect();
        keys.map(Self::new)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the proof of an event that Kafka recorded at this time, in microseconds since
    /// 1970-01-01 UTC. No clock is asked, so every attempt and every rewind comes to the same.
    pub fn check(&self, claim: &Claim<'_>, proof: &str, recorded: i64) -> Result<(), Unproven> {
        let mut parts = proof.split('.');
        let mut part = || parts.next().ok_or(Unproven::Malformed);
        let (version, id, expires_at, signature) = (part()?, part()?, part()?, part()?);
        if version != VERSION || parts.next().is_some() {
            return Err(Unproven::Malformed);
        }
        let expires_at: i64 = expires_at.parse().map_err(|_| Unproven::Malformed)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.ok().and_then(|bytes| bytes.try_into().ok());
        let signature: [u8; 64] = signature.ok_or(Unproven::Malformed)?;
        let key = self.0.get(id).ok_or(Unproven::UnknownKey)?;
        if !key.verifies(&claim.message(expires_at), &signature) {
            return Err(Unproven::Wrong);
        }
        match recorded > expires_at {
            true => Err(Unproven::Expired),
            false => Ok(()),
        }
    }
}

/// What one process needs to make proofs and to check them.
#[derive(Debug, Default)]
pub struct Proofs {
    /// Signs what is sent on somebody's behalf. Without it, nobody's name is handed on.
    pub signer: Option<Signer>,
    /// Whose proofs count.
    pub trusted: TrustedKeys,
    /// Whether an event that nobody is proven to have sent passes the rules of ownership: for
    /// development alone.
    pub anonymous: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const CLAIM: Claim<'static> = Claim {
        topic: "user-sessions",
        key: "bob",
        full_name: "millstream.user_sessions.AddItem",
        event_id: "event",
        principal: "bob",
        body: b"\x0claptop",
    };
    const TIME: i64 = 1_763_686_800_000_000;

    fn signer() -> Signer {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        Signer::new(SigningKey::from(key))
    }

    fn trusting(signer: &Signer) -> TrustedKeys {
        TrustedKeys::new([signer.key.public()])
    }

    #[test]
    fn a_proof_is_of_one_event_alone() {
        let signer = signer();
        let (trusted, proof) = (trusting(&signer), signer.proof(&CLAIM, TIME));
        assert_eq!(trusted.check(&CLAIM, &proof, TIME), Ok(()));
        let others = [
            Claim {
                topic: "orders",
                ..CLAIM
            },
            Claim {
                key: "alice",
                ..CLAIM
            },
            Claim {
                full_name: "millstream.user_sessions.Checkout",
                ..CLAIM
            },
            Claim {
                event_id: "other",
                ..CLAIM
            },
            Claim {
                principal: "alice",
                ..CLAIM
            },
            Claim {
                body: b"\x0claptoq",
                ..CLAIM
            },
            // The same letters, divided in another way.
            Claim {
                topic: "user-sessionsb",
                key: "ob",
                ..CLAIM
            },
        ];
        for other in others {
            let checked = trusted.check(&other, &proof, TIME);
            assert_eq!(checked, Err(Unproven::Wrong), "{other:?}");
        }
    }

    #[test]
    fn a_proof_holds_until_its_expiry_which_is_signed() {
        let signer = signer();
        let (trusted, proof) = (trusting(&signer), signer.proof(&CLAIM, TIME));
        let end = TIME + 24 * 3600 * 1_000_000;
        assert_eq!(trusted.check(&CLAIM, &proof, end), Ok(()));
        assert_eq!(
            trusted.check(&CLAIM, &proof, end + 1),
            Err(Unproven::Expired)
        );
        let longer = proof.replace(&end.to_string(), &(end + 1).to_string());
        assert_eq!(trusted.check(&CLAIM, &longer, TIME), Err(Unproven::Wrong));
    }

    #[test]
    fn strangers_prove_nothing_and_keys_can_be_replaced() {
        let (old, new) = (signer(), Signer::new(SigningKey::generate().unwrap()));
        let proof = new.proof(&CLAIM, TIME);
        let checked = trusting(&old).check(&CLAIM, &proof, TIME);
        assert_eq!(checked, Err(Unproven::UnknownKey));
        let both = TrustedKeys::new([old.key.public(), new.key.public()]);
        for signer in [old, new] {
            let proof = signer.proof(&CLAIM, TIME);
            assert_eq!(both.check(&CLAIM, &proof, TIME), Ok(()));
        }
        for text in [
            "",
            "v1",
            "v2.a.1.b",
            "v1.a.x.b",
            "v1.a.1.b",
            &format!("{proof}."),
        ] {
            let checked = both.check(&CLAIM, text, TIME);
            assert_eq!(checked, Err(Unproven::Malformed), "{text}");
        }
    }

    /// docs/security.md shows this proof: producers in other languages are tested with it.
    #[test]
    fn the_documented_example_is_what_is_made() {
        let proof = signer().proof(&CLAIM, TIME);
        let page = include_str!("../../../docs/security.md");
        assert!(page.contains(&proof), "docs/security.md must show {proof}");
        let public = signer().key.public();
        assert!(page.contains(&public.to_string()), "and {public}");
    }

    /// `cargo test --release -p millstream-pipeline -- --ignored --nocapture what_a_proof_costs`
    #[test]
    #[ignore = "prints figures"]
    fn what_a_proof_costs() {
        let signer = signer();
        let (trusted, proof) = (trusting(&signer), signer.proof(&CLAIM, TIME));
        let micros = |work: &dyn Fn()| {
            let begun = Instant::now();
            (0..2000).for_each(|_| work());
            begun.elapsed().as_secs_f64() * 1e6 / 2000.0
        };
        let sign = micros(&|| drop(std::hint::black_box(signer.proof(&CLAIM, TIME))));
        let check = micros(&|| {
            std::hint::black_box(trusted.check(&CLAIM, &proof, TIME)).unwrap();
        });
        println!("sign {sign:.1} us, check {check:.1} us");
    }
}
