//! What [`crate::bookkeeping`] remembers of events, packed: all of it is written, and read, with
//! every event, and its size was found to cost more than anything else does.
//!
//! Digests are cut to eight bytes and what belongs together is one string in base64.

use std::collections::VecDeque;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::digest;
use crate::wire;

/// The first bytes of a digest: enough to tell the few things apart that an object remembers.
pub type Short = [u8; 8];

/// A short digest of an id or of an idempotency key.
pub fn short(text: &str) -> Short {
    cut(&digest(&[text.as_bytes()]))
}

/// A digest made short.
pub fn cut(digest: &[u8; 32]) -> Short {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    [a, b, c, d, e, f, g, h]
}

/// Digests of the ids of events accepted last; the oldest comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window(VecDeque<Short>);

impl Window {
    /// Whether nothing was accepted yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Remembers an id and forgets the oldest beyond `size`; false when it is known.
    pub fn accept(&mut self, id: &str, size: usize) -> bool {
        let id = short(id);
        if self.0.contains(&id) {
            return false;
        }
        self.0.push_back(id);
        while self.0.len() > size {
            self.0.pop_front();
        }
        true
    }

    /// Forgets the id accepted last.
    pub fn forget_last(&mut self) {
        self.0.pop_back();
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flatten().copied().collect();
        serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = unpack(deserializer)?;
        let (digests, rest) = bytes.as_chunks::<8>();
        if rest.is_empty() {
            Ok(Self(digests.iter().copied().collect()))
        } else {
            Err(de::Error::custom("a window of digests has a broken length"))
        }
    }
}

/// An idempotency key and the request with it: digests of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Digest of the idempotency key.
    pub key: Short,
    /// Digest of the request.
    pub request: Short,
}

impl IdempotentRequest {
    /// Of this key, and of a request with this digest.
    pub fn new(key: &str, request: &[u8; 32]) -> Self {
        let (key, request) = (short(key), cut(request));
        Self { key, request }
    }
}

impl Serialize for IdempotentRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = [self.key, self.request].concat();
        serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for IdempotentRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = unpack(deserializer)?;
        match bytes.as_chunks::<8>() {
            ([key, request], []) => Ok(Self {
                key: *key,
                request: *request,
            }),
            _ => Err(de::Error::custom("an idempotent request is 16 bytes")),
        }
    }
}

/// A command with an idempotency key, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Which.
    pub of: IdempotentRequest,
    /// When the command was recorded; that which let it be answered, if it was answered later.
    pub timestamp_ms: i64,
    /// The first result's id, which is 16 bytes in hexadecimal.
    result_id: [u8; 16],
    /// The first result in Confluent's wire format, without the leading byte 0.
    value: Vec<u8>,
}

/// Bytes of the fields before the result.
const FIXED: usize = 8 + 8 + 8 + 16;

impl Remembered {
    /// `value` is the result in Confluent's wire format with `meta` null. `None` when id or value
    /// is not of the form that the pipeline gives them.
    pub fn new(
        of: IdempotentRequest,
        timestamp_ms: i64,
        result_id: &str,
        value: &[u8],
    ) -> Option<Self> {
        let result_id = u128::from_str_radix(result_id, 16).ok()?.to_be_bytes();
        wire::split(value).ok()?;
        let value = value.get(1..)?.to_vec();
        Some(Self {
            of,
            timestamp_ms,
            result_id,
            value,
        })
    }

    /// The first result's id.
    pub fn result_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.result_id))
    }

    /// The first result in Confluent's wire format with `meta` null.
    pub fn value(&self) -> Vec<u8> {
        [&[0], &self.value[..]].concat()
    }
}

impl Serialize for Remembered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(FIXED + self.value.len());
        bytes.extend_from_slice(&self.of.key);
        bytes.extend_from_slice(&self.of.request);
        bytes.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        bytes.extend_from_slice(&self.result_id);
        bytes.extend_from_slice(&self.value);
        serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Remembered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = unpack(deserializer)?;
        let mut rest = &bytes[..];
        let (Some(key), Some(request), Some(time), Some(result_id)) = (
            take(&mut rest),
            take(&mut rest),
            take(&mut rest),
            take(&mut rest),
        ) else {
            return Err(de::Error::custom(
                "what is remembered of a command is too short",
            ));
        };
        let (timestamp_ms, value) = (i64::from_be_bytes(time), rest.to_vec());
        Ok(Self {
            of: IdempotentRequest { key, request },
            timestamp_ms,
            result_id,
            value,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    BASE64_STANDARD_NO_PAD
        .decode(text.as_bytes())
        .map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            key: Short, request: Short, time: i64, id: [u8; 16], body: Vec<u8>, ids: Vec<String>,
        ) {
            let value = [&wire::header(7)[..], &body].concat();
            let id = format!("{:032x}", u128::from_be_bytes(id));
            let of = IdempotentRequest { key, request };
            let text = serde_json::to_string(&of).unwrap();
            prop_assert_eq!(serde_json::from_str::<IdempotentRequest>(&text).unwrap(), of);
            let entry = Remembered::new(of, time, &id, &value).unwrap();
            prop_assert_eq!(entry.result_id(), id);
            prop_assert_eq!(entry.value(), value);
            let text = serde_json::to_string(&entry).unwrap();
            prop_assert_eq!(serde_json::from_str::<Remembered>(&text).unwrap(), entry);

            let mut window = Window::default();
            for id in &ids {
                window.accept(id, 5);
            }
            let text = serde_json::to_string(&window).unwrap();
            prop_assert_eq!(serde_json::from_str::<Window>(&text).unwrap(), window);
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let text = serde_json::to_string(&text).unwrap();
            let _ = serde_json::from_str::<Remembered>(&text);
            let _ = serde_json::from_str::<IdempotentRequest>(&text);
            let _ = serde_json::from_str::<Window>(&text);
        }
    }

    #[test]
    fn a_window_knows_the_last_ids_alone() {
        let mut window = Window::default();
        assert!(window.accept("a", 2) && window.accept("b", 2));
        assert!(!window.accept("a", 2));
        assert!(window.accept("c", 2) && window.accept("a", 2));
        window.forget_last();
        assert!(!window.accept("c", 2) && window.accept("a", 2));
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["\"AAAA\"", "\"*\"", "1"] {
            assert!(serde_json::from_str::<Remembered>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<Window>(text).is_err(), "{text}");
        }
    }
}
