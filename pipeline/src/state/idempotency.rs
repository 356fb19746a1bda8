//! What [`crate::state::dedup`] remembers of commands with an idempotency key, packed: all of it is
//! written, and read, with every event, and its size was found to cost more than anything else does.
//!
//! Digests are cut short, numbers are as long as they are large, and what belongs together is one
//! string in base64.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use prost::{decode_length_delimiter, encode_length_delimiter, length_delimiter_len};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::digest::digest;
use crate::record::wire;

/// Results of idempotent commands are dropped after this time: 24 hours, by the object's time.
const RETENTION_SECONDS: i64 = 24 * 60 * 60;

/// The first bytes of a digest: enough to tell the few things apart that an object remembers.
pub type Short = [u8; 8];

/// A short digest of an id or of an idempotency key.
pub fn short(text: &str) -> Short {
    let [a, b, c, d, e, f, g, h, ..] = digest(&[text.as_bytes()]);
    [a, b, c, d, e, f, g, h]
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
    /// When the command came, in seconds since 1970-01-01 UTC; that which let it be answered, if it
    /// was answered later.
    seconds: u32,
    /// The first result's id, which is 16 bytes in hexadecimal.
    result_id: [u8; 16],
    /// The schema's id and the body of the first result. A body ends with `meta`, so one without bytes
    /// is one that was dropped.
    schema_id: u32,
    body: Cow<'a, [u8]>,
}

/// Bytes of key, request, time and result id.
const FIXED: usize = 8 + 4 + 4 + 16;

/// How much an object remembers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Keys.
    pub count: usize,
    /// Bytes of all together.
    pub bytes: usize,
}

impl<'a> Remembered<'a> {
    /// `value` is the result in Confluent's wire format with `meta` null. `None` when id or value
    /// is not of the form that the pipeline gives them.
    pub fn new(
        of: IdempotentRequest,
        taken_ms: i64,
        result_id: &str,
        value: &'a [u8],
    ) -> Option<Self> {
        let result_id = u128::from_str_radix(result_id, 16).ok()?.to_be_bytes();
        let (schema_id, body) = wire::split(value).ok()?;
        Some(Self {
            of,
            seconds: seconds(taken_ms),
            result_id,
            schema_id,
            body: Cow::Borrowed(body),
        })
    }

    /// The first result's id.
    pub fn result_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.result_id))
    }

    /// The first result in Confluent's wire format with `meta` null; `None`: it was too large.
    pub fn value(&self) -> Option<Vec<u8>> {
        let header = wire::header(self.schema_id);
        (!self.body.is_empty()).then(|| [&header[..], &self.body].concat())
    }

    /// Bytes that it takes.
    fn size(&self) -> usize {
        let length = length_delimiter_len(self.body.len());
        length + length_delimiter_len(self.schema_id as usize) + FIXED + self.body.len()
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
        let length = take_number(&mut at)?;
        let schema_id = take_number(&mut at)?.try_into().ok()?;
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

/// A time in whole seconds: what is remembered for a day needs no more.
fn seconds(time_ms: i64) -> u32 {
    u32::try_from((time_ms / 1000).max(0)).unwrap_or(u32::MAX)
}

/// As long as the number is large: a byte for each seven bits, as Protobuf has it.
fn put_number(number: usize, bytes: &mut Vec<u8>) {
    // It fails only where there is no room, which a vector always has.
    let _ = encode_length_delimiter(number, bytes);
}

/// Reads it. Nearly all are small, and all of them are read with each event.
#[inline]
fn take_number(rest: &mut &[u8]) -> Option<usize> {
    match *rest {
        [number @ 0..=0x7f, left @ ..] => {
            *rest = left;
            Some(usize::from(*number))
        }
        _ => decode_length_delimiter(rest).ok(),
    }
}

#[inline]
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

/// What is remembered of commands with an idempotency key, one behind the other; the oldest comes
/// first. They stay packed: an event needs none of them, or one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers(Vec<u8>);

impl Clone for Answers {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn clone_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }
}

impl Answers {
    /// Bytes that all take.
    pub fn size(&self) -> usize {
        self.0.len()
    }

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
    /// old and the oldest beyond the limits: first their answers and then the keys themselves, so that
    /// as many commands as may be are not carried out twice. An answer that would leave no room for any
    /// other is not kept.
    pub fn insert(&mut self, mut new: Remembered<'_>, now_ms: i64, limits: Limits) {
        if new.size() > limits.bytes {
            new.body = Cow::default();
        }
        if !self.append(&new, now_ms, limits) {
            self.rebuild(new, now_ms, limits);
        }
    }

    fn rebuild(&mut self, new: Remembered<'_>, now_ms: i64, limits: Limits) {
        let kept = |it: &Remembered<'_>| it.of.key != new.of.key && it.is_kept(now_ms);
        let mut all: VecDeque<_> = self.iter().filter(kept).collect();
        all.push_back(new);
        while all.len() > limits.count.max(1) {
            all.pop_front();
        }
        let mut bytes: usize = all.iter().map(Remembered::size).sum();
        for oldest in &mut all {
            if bytes <= limits.bytes {
                break;
            }
            bytes -= oldest.size();
            oldest.body = Cow::default();
            bytes += oldest.size();
        }
        while bytes > limits.bytes && all.len() > 1 {
            bytes -= all.pop_front().map_or(0, |oldest| oldest.size());
        }
        let mut packed = Vec::with_capacity(bytes);
        for entry in &all {
            entry.pack(&mut packed);
        }
        self.0 = packed;
    }

    /// The usual case of [`Self::insert`]: one more in the place of the oldest, the others as they are.
    fn append(&mut self, new: &Remembered<'_>, now_ms: i64, limits: Limits) -> bool {
        let (mut count, mut oldest) = (0, 0);
        for it in self.iter() {
            if it.of.key == new.of.key || !it.is_kept(now_ms) {
                return false;
            }
            if count == 0 {
                oldest = it.size();
            }
            count += 1;
        }
        let goes = if count < limits.count { 0 } else { oldest };
        if count > limits.count || self.0.len() - goes + new.size() > limits.bytes {
            return false;
        }
        self.0.drain(..goes);
        new.pack(&mut self.0);
        true
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
pub(super) fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
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

    const ROOM: Limits = Limits {
        count: 9,
        bytes: 1 << 20,
    };

    /// What is remembered of the command `key`, whose answer has so many bytes.
    fn answer(key: u8, bytes: usize) -> Remembered<'static> {
        let of = IdempotentRequest {
            key: [key; 8],
            request: [key; 4],
        };
        let value = [&wire::header(1)[..], &vec![key; bytes]].concat();
        Remembered::new(of, 5000, "0f", &value)
            .unwrap()
            .into_owned()
    }

    /// Of each of these keys: whether it is known, and whether its answer is.
    fn known(answers: &Answers, keys: &[u8]) -> Vec<Option<bool>> {
        let each = keys.iter().map(|key| answers.get(&[*key; 8], 5000));
        each.map(|it| it.map(|it| it.value().is_some())).collect()
    }

    #[test]
    fn the_oldest_answers_make_room_and_their_keys_stay() {
        let limits = Limits {
            count: 4,
            bytes: 1000,
        };
        let mut answers = Answers::default();
        for key in 1..=3 {
            answers.insert(answer(key, 400), 5000, limits);
        }
        assert!(answers.0.len() <= 1000);
        let expected = [Some(false), Some(true), Some(true)];
        assert_eq!(known(&answers, &[1, 2, 3]), expected);
        // One that is larger than everything together costs nobody else its place.
        answers.insert(answer(4, 5000), 5000, limits);
        let expected = [Some(false), Some(true), Some(true), Some(false)];
        assert_eq!(known(&answers, &[1, 2, 3, 4]), expected);
        answers.insert(answer(5, 1), 5000, limits);
        let expected = [None, Some(true), Some(true), Some(false), Some(true)];
        assert_eq!(known(&answers, &[1, 2, 3, 4, 5]), expected, "four keys");
        let text = serde_json::to_string(&answers).unwrap();
        assert_eq!(serde_json::from_str::<Answers>(&text).unwrap(), answers);
    }

    #[test]
    fn keys_go_when_nothing_else_is_left_to_go() {
        let mut answers = Answers::default();
        for key in 1..=9 {
            let limits = Limits { bytes: 100, ..ROOM };
            answers.insert(answer(key, 50), 5000, limits);
        }
        let known = known(&answers, &[7, 8, 9]);
        assert_eq!(known, [None, Some(false), Some(false)]);
        let none = Limits { count: 0, bytes: 0 };
        answers.insert(answer(1, 50), 5000, none);
        assert_eq!(answers.iter().count(), 1, "the last one always");
    }

    proptest! {
        #[test]
        fn what_is_remembered_never_outgrows_its_limits(
            sizes in prop::collection::vec((0_u8..20, 0_usize..300), 0..40),
            count in 1_usize..8, bytes in 40_usize..600,
        ) {
            let mut answers = Answers::default();
            for (key, size) in sizes {
                answers.insert(answer(key, size), 5000, Limits { count, bytes });
                prop_assert!(answers.0.len() <= bytes && answers.iter().count() <= count);
                prop_assert!(answers.get(&[key; 8], 5000).is_some(), "the last one is known");
            }
        }

        #[test]
        fn what_is_appended_is_what_would_have_been_made_anew(
            sizes in prop::collection::vec((0_u8..20, 0_usize..300, 0_i64..3), 0..40),
            count in 0_usize..8, bytes in 40_usize..2000,
        ) {
            let (mut answers, mut anew) = (Answers::default(), Answers::default());
            let limits = Limits { count, bytes };
            for (key, size, days) in sizes {
                let now = days * RETENTION_SECONDS * 500;
                let mut new = answer(key, size);
                new.seconds = seconds(now);
                answers.insert(new.clone(), now, limits);
                if new.size() > bytes {
                    new.body = Cow::default();
                }
                anew.rebuild(new, now, limits);
                prop_assert_eq!(&answers, &anew);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            key: Short, request: [u8; 4], time: i64, id: [u8; 16], schema: u32, body: Vec<u8>,
        ) {
            let value = [&wire::header(schema)[..], &body].concat();
            let id = format!("{:032x}", u128::from_be_bytes(id));
            let of = IdempotentRequest { key, request };
            let text = serde_json::to_string(&of).unwrap();
            prop_assert_eq!(serde_json::from_str::<IdempotentRequest>(&text).unwrap(), of);
            let entry = Remembered::new(of, time, &id, &value).unwrap();
            prop_assert_eq!(entry.result_id(), id);
            prop_assert_eq!(entry.value(), (!body.is_empty()).then_some(value.clone()));
            let mut answers = Answers::default();
            answers.insert(entry.clone(), time, ROOM);
            prop_assert_eq!(answers.0.len(), entry.size());
            prop_assert_eq!(answers.get(&key, time), Some(entry));
            let text = serde_json::to_string(&answers).unwrap();
            prop_assert_eq!(serde_json::from_str::<Answers>(&text).unwrap(), answers);
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let text = serde_json::to_string(&text).unwrap();
            let _ = serde_json::from_str::<Answers>(&text);
            let _ = serde_json::from_str::<IdempotentRequest>(&text);
        }
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
            answers.insert(entry(key, request, 5000), 5000, Limits { count: 2, ..ROOM });
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
        answers.insert(entry(2, 1, now), now, ROOM);
        assert_eq!(answers.iter().count(), 1, "what is too old is gone");
        assert!(!answers.is_empty());
    }

    #[test]
    fn broken_text_is_refused() {
        // The second has the length of a field, a whole one.
        for text in ["\"AAAA\"", "\"AAAAAA\"", "\"*\"", "1"] {
            assert!(serde_json::from_str::<Answers>(text).is_err(), "{text}");
        }
    }
}
