//! Request ids: all that a replica needs to find a result, bound to the principal that asked.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::principal::Principal;
use millstream_pipeline::record::digest::{digest, hex};

/// The form of ids; another one gets another number.
const VERSION: u8 = 1;
/// Flag: the request has an idempotency key, so an earlier one may have been answered.
const REPEATABLE: u8 = 0x80;
const FIELDS: usize = 29;
const TAG: usize = 8;

/// A request, as its id holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// Whether it has an idempotency key.
    pub repeatable: bool,
    /// Digest of the result topic's name; see [`topic_digest`].
    pub topic: [u8; 4],
    /// Partition of the result.
    pub partition: u16,
    /// When it was received, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// What the event id is made of.
    pub nonce: [u8; 16],
}

/// The short form of a topic's name in ids.
pub fn topic_digest(topic: &str) -> [u8; 4] {
    let [a, b, c, d, ..] = digest(&[b"topic", topic.as_bytes()]);
    [a, b, c, d]
}

/// The event id that a principal's request with this nonce has.
pub fn event_id(principal: &Principal, nonce: &[u8; 16]) -> String {
    hex::<16>(&digest(&[b"request", principal.as_bytes(), nonce]))
}

impl RequestId {
    /// The id as its principal is given it.
    pub fn encode(&self, principal: &Principal) -> String {
        let fields = self.fields();
        let tag = tag(principal, &fields);
        BASE64_URL_SAFE_NO_PAD.encode([&fields[..], &tag[..]].concat())
    }

    /// Reads an id; `None` when it is none, or another principal's.
    pub fn decode(text: &str, principal: &Principal) -> Option<Self> {
        let (fields, theirs) = split(text)?;
        match theirs == tag(principal, &fields) {
            true => Self::read(&fields),
            false => None,
        }
    }

    /// What an id says, whoever's it is. It proves nothing: for those who may read all requests.
    pub fn unproven(text: &str) -> Option<Self> {
        Self::read(&split(text)?.0)
    }

    fn read(fields: &[u8; FIELDS]) -> Option<Self> {
        let (&[version], rest) = fields.split_first_chunk()?;
        let (topic, rest) = rest.split_first_chunk()?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk::<6>()?;
        let mut time_ms = [0; 8];
        time_ms[2..].copy_from_slice(time);
        (version & !REPEATABLE == VERSION).then_some(Self {
            repeatable: version & REPEATABLE != 0,
            topic: *topic,
            partition: u16::from_be_bytes(*partition),
            time_ms: u64::from_be_bytes(time_ms),
            nonce: *rest.first_chunk()?,
        })
    }

    fn fields(&self) -> [u8; FIELDS] {
        let mut fields = [0; FIELDS];
        fields[0] = VERSION | if self.repeatable { REPEATABLE } else { 0 };
        fields[1..5].copy_from_slice(&self.topic);
        fields[5..7].copy_from_slice(&self.partition.to_be_bytes());
        fields[7..13].copy_from_slice(&self.time_ms.to_be_bytes()[2..]);
        fields[13..].copy_from_slice(&self.nonce);
        fields
    }
}

/// The fields of an id, and its tag.
fn split(text: &str) -> Option<([u8; FIELDS], [u8; TAG])> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (fields, tag) = bytes.split_first_chunk()?;
    Some((*fields, tag.try_into().ok()?))
}

fn tag(principal: &Principal, fields: &[u8; FIELDS]) -> [u8; TAG] {
    let [a, b, c, d, e, f, g, h, ..] = digest(&[b"tag", principal.as_bytes(), fields]);
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_read_by_its_principal_alone(
            repeatable: bool, topic: [u8; 4], partition: u16, time_ms in 0u64..1 << 48, nonce: [u8; 16],
        ) {
            let id = RequestId { repeatable, topic, partition, time_ms, nonce };
            let (alice, bob) = (Principal::named("alice"), Principal::named("bob"));
            let text = id.encode(&alice);
            prop_assert_eq!(RequestId::decode(&text, &alice), Some(id.clone()));
            prop_assert_eq!(RequestId::unproven(&text), Some(id.clone()));
            prop_assert_eq!(RequestId::decode(&text, &bob), None);
            prop_assert_eq!(RequestId::decode(&text, &Principal::anonymous()), None);
            // With an id of his own for the same nonce he would ask for an event of his own.
            prop_assert!(RequestId::decode(&id.encode(&bob), &bob).is_some());
            prop_assert_ne!(event_id(&alice, &nonce), event_id(&bob, &nonce));
        }

        #[test]
        fn no_text_is_taken_for_an_id(text in ".{0,80}") {
            prop_assert_eq!(RequestId::decode(&text, &Principal::anonymous()), None);
        }
    }
}
