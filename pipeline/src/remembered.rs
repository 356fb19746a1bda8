//! What [`crate::bookkeeping`] remembers of events, packed: all of it is written, and read, with
//! every event, and its size was found to cost more than anything else does.
//!
//! Digests are cut short, numbers are as long as they are large, and what belongs together is one
//! string in base64.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use prost::{decode_length_delimiter, encode_length_delimiter};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::digest;
use crate::wire;

/// Results of idempotent commands are dropped after this time, by record time: 24 hours.
const RETENTION_SECONDS: i64 = 24 * 60 * 60;

/// The first bytes of a digest: enough to tell the few things apart that an object remembers.
pub type Short = [u8; 8];

/// A short digest of an id or of an idempotency key.
pub fn short(text: &str) -> Short {
    let [a, b, c, d, e, f, g, h, ..] = digest(&[text.as_bytes()]);
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
    /// Digest of the request. It need only tell the few requests apart that come with one key.
    pub request: [u8; 4],
}

impl IdempotentRequest {
    /// Of this key, and of a request with this digest.
    pub fn new(key: &str, request: &[u8; 32]) -> Self {
        let [a, b, c, d, ..] = *request;
        Self {
            key: short(key),
            request: [a, b, c, d],
        }
    }
}

impl Serialize for IdempotentRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = [&self.key[..], &self.request].concat();
        serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for IdempotentRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = unpack(deserializer)?;
        let mut rest = &bytes[..];
        match (take(&mut rest), take(&mut rest), rest) {
            (Some(key), Some(request), []) => Ok(Self { key, request }),
            _ => Err(de::Error::custom("an idempotent request is 12 bytes")),
        }
    }
}

/// A command with an idempotency key, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered<'a> {
    /// Which.
    pub of: IdempotentRequest,
    /// When the command was recorded, in seconds since 1970-01-01 UTC; that which let it be answered,
    /// if it was answered later.
    seconds: u32,
    /// The first result's id, which is 16 bytes in hexadecimal.
    result_id: [u8; 16],
    /// The schema's id and the body of the first result.
    schema_id: u32,
    body: Cow<'a, [u8]>,
}

/// Bytes of the fields before the body, at most.
const FIXED: usize = 10 + 5 + 8 + 4 + 4 + 16;

impl<'a> Remembered<'a> {
    /// `value` is the result in Confluent's wire format with `meta` null. `None` when id or value
    /// is not of the form that the pipeline gives them.
    pub fn new(
        of: IdempotentRequest,
        timestamp_ms: i64,
        result_id: &str,
        value: &'a [u8],
    ) -> Option<Self> {
        let result_id = u128::from_str_radix(result_id, 16).ok()?.to_be_bytes();
        let (schema_id, body) = wire::split(value).ok()?;
        Some(Self {
            of,
            seconds: seconds(timestamp_ms),
            result_id,
            schema_id,
            body: Cow::Borrowed(body),
        })
    }

    /// The first result's id.
    pub fn result_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.result_id))
    }

    /// The first result in Confluent's wire format with `meta` null.
    pub fn value(&self) -> Vec<u8> {
        [&wire::header(self.schema_id)[..], &self.body].concat()
    }

    /// The same, by itself.
    pub fn into_owned(self) -> Remembered<'static> {
        Remembered {
            of: self.of,
            seconds: self.seconds,
            result_id: self.result_id,
            schema_id: self.schema_id,
            body: Cow::Owned(self.body.into_owned()),
        }
    }

    fn is_kept(&self, now_ms: i64) -> bool {
        i64::from(seconds(now_ms)) - i64::from(self.seconds) < RETENTION_SECONDS
    }

    fn pack(&self, bytes: &mut Vec<u8>) {
        put_number(self.body.len(), bytes);
        put_number(self.schema_id as usize, bytes);
        bytes.extend_from_slice(&self.of.key);
        bytes.extend_from_slice(&self.of.request);
        bytes.extend_from_slice(&self.seconds.to_be_bytes());
        bytes.extend_from_slice(&self.result_id);
        bytes.extend_from_slice(&self.body);
    }

    /// Takes the first of these bytes; `None` when there is none, or not all of it.
    fn unpack(rest: &mut &'a [u8]) -> Option<Self> {
        let mut at = *rest;
        let length = decode_length_delimiter(&mut at).ok()?;
        let schema_id = decode_length_delimiter(&mut at).ok()?.try_into().ok()?;
        let (key, request) = (take(&mut at)?, take(&mut at)?);
        let (seconds, result_id) = (u32::from_be_bytes(take(&mut at)?), take(&mut at)?);
        let (body, left) = at.split_at_checked(length)?;
        *rest = left;
        Some(Self {
            of: IdempotentRequest { key, request },
            seconds,
            result_id,
            schema_id,
            body: Cow::Borrowed(body),
        })
    }
}

/// Record time in whole seconds: what is remembered for a day needs no more.
fn seconds(timestamp_ms: i64) -> u32 {
    u32::try_from((timestamp_ms / 1000).max(0)).unwrap_or(u32::MAX)
}

/// As long as the number is large: a byte for each seven bits, as Protobuf has it.
fn put_number(number: usize, bytes: &mut Vec<u8>) {
    // It fails only where there is no room, which a vector always has.
    let _ = encode_length_delimiter(number, bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

/// What is remembered of commands with an idempotency key, one behind the other; the oldest comes
/// first. They stay packed: an event needs none of them, or one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(Vec<u8>);

impl Answers {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is remembered of this idempotency key.
    pub fn get(&self, key: &Short, now_ms: i64) -> Option<Remembered<'_>> {
        let found = self.iter().find(|it| it.of.key == *key);
        found.filter(|it| it.is_kept(now_ms))
    }

    /// Remembers one more, in place of an earlier one with its key, and forgets those that are too
    /// old and the oldest beyond `size`.
    pub fn insert(&mut self, new: &Remembered<'_>, now_ms: i64, size: usize) {
        let kept = |it: &Remembered<'_>| it.of.key != new.of.key && it.is_kept(now_ms);
        let count = self.iter().filter(kept).count() + 1;
        let mut bytes = Vec::with_capacity(self.0.len() + FIXED + new.body.len());
        let all = self.iter().filter(kept).chain([new.clone()]);
        for entry in all.skip(count.saturating_sub(size)) {
            entry.pack(&mut bytes);
        }
        self.0 = bytes;
    }

    fn iter(&self) -> impl Iterator<Item = Remembered<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || Remembered::unpack(&mut rest))
    }
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = unpack(deserializer)?;
        let mut rest = &bytes[..];
        while Remembered::unpack(&mut rest).is_some() {}
        if rest.is_empty() {
            Ok(Self(bytes))
        } else {
            Err(de::Error::custom(
                "what is remembered of a command is cut off",
            ))
        }
    }
}

/// Bytes of a string in base64.
fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string in base64")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
            BASE64_STANDARD_NO_PAD.decode(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            key: Short, request: [u8; 4], time: i64, id: [u8; 16], schema: u32, body: Vec<u8>,
            ids: Vec<String>,
        ) {
            let value = [&wire::header(schema)[..], &body].concat();
            let id = format!("{:032x}", u128::from_be_bytes(id));
            let of = IdempotentRequest { key, request };
            let text = serde_json::to_string(&of).unwrap();
            prop_assert_eq!(serde_json::from_str::<IdempotentRequest>(&text).unwrap(), of);
            let entry = Remembered::new(of, time, &id, &value).unwrap();
            prop_assert_eq!(entry.result_id(), id);
            prop_assert_eq!(entry.value(), &value[..]);
            let mut answers = Answers::default();
            answers.insert(&entry, time, 2);
            prop_assert_eq!(answers.get(&key, time), Some(entry));
            let text = serde_json::to_string(&answers).unwrap();
            prop_assert_eq!(serde_json::from_str::<Answers>(&text).unwrap(), answers);

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
            let _ = serde_json::from_str::<Answers>(&text);
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
    fn answers_are_replaced_and_forgotten() {
        let entry = |key: u8, request: u8, time| {
            let (key, request) = ([key; 8], [request; 4]);
            let of = IdempotentRequest { key, request };
            let value = [&wire::header(1)[..], &request].concat();
            Remembered::new(of, time, "0f", &value)
                .unwrap()
                .into_owned()
        };
        let day = RETENTION_SECONDS * 1000;
        let mut answers = Answers::default();
        for (key, request) in [(1, 1), (2, 1), (1, 2), (3, 1)] {
            answers.insert(&entry(key, request, 5000), 5000, 2);
        }
        let known = |answers: &Answers, now| {
            [1, 2, 3].map(|key| answers.get(&[key; 8], now).map(|it| it.of.request[0]))
        };
        assert_eq!(
            known(&answers, 5000),
            [Some(2), None, Some(1)],
            "2 was the oldest"
        );
        assert_eq!(known(&answers, 4999 + day), [Some(2), None, Some(1)]);
        assert_eq!(known(&answers, 5000 + day), [None; 3]);
        let now = 5000 + day;
        answers.insert(&entry(2, 1, now), now, 9);
        assert_eq!(answers.iter().count(), 1, "what is too old is gone");
        assert!(!answers.is_empty());
    }

    #[test]
    fn broken_text_is_refused() {
        // The second has the length of a field, a whole one.
        for text in ["\"AAAA\"", "\"AAAAAA\"", "\"*\"", "1"] {
            assert!(serde_json::from_str::<Answers>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<Window>(text).is_err(), "{text}");
        }
    }
}
