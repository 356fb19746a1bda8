//! What an object remembers so that no event is handled twice and no result is counted twice.
//!
//! It lies beside the business fields in the object's one state entry, under `_m`.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use millstream_events::Declaration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::record::digest::{digest, hex};
use crate::record::source_offset::SourceOffset;
use crate::state::idempotency::{
    Answers, IdempotentRequest, Limits, Remembered, Short, short, unpack,
};

/// The object's bookkeeping. Field names are short: it is written with every event.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookkeeping {
    /// Changes when the numbers in `seq` start again.
    #[serde(rename = "e")]
    pub epoch: String,
    /// The last offset handled, by `topic/partition`.
    #[serde(rename = "o", default)]
    offsets: BTreeMap<String, Mark>,
    /// Digests of the ids of events accepted last.
    #[serde(rename = "w", default, skip_serializing_if = "Window::is_empty")]
    window: Window,
    /// The last number given to an event emitted under the object's own key, by topic.
    #[serde(rename = "s", default, skip_serializing_if = "BTreeMap::is_empty")]
    seq: BTreeMap<String, i64>,
    /// Commands with an idempotency key, and their results.
    #[serde(rename = "k", default, skip_serializing_if = "Answers::is_empty")]
    idempotency: Answers,
    /// When the latest event was recorded, in milliseconds since 1970-01-01 UTC.
    #[serde(rename = "t", default, skip_serializing_if = "is_zero")]
    time: i64,
}

impl Clone for Bookkeeping {
    fn clone(&self) -> Self {
        let mut same = Self::default();
        same.clone_from(self);
        same
    }

    /// Takes the place of another one without new memory: a batch remembers with each event how its
    /// object was before.
    fn clone_from(&mut self, other: &Self) {
        let Self {
            epoch,
            offsets,
            window: Window(window),
            seq,
            idempotency,
            time,
        } = other;
        self.epoch.clone_from(epoch);
        self.offsets.clone_from(offsets);
        self.window.0.clone_from(window);
        self.idempotency.clone_from(idempotency);
        self.time = *time;
        if self.seq.keys().eq(seq.keys()) {
            let numbers = self.seq.values_mut().zip(seq.values());
            numbers.for_each(|(mine, other)| *mine = *other);
        } else {
            self.seq.clone_from(seq);
        }
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark(u32, i64);

/// Digests of the ids of events accepted last; the oldest comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Window(VecDeque<Short>);

impl Window {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// What the input rule says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Not seen before.
    New,
    /// This very record was handled before: it was delivered again.
    Redelivered,
    /// The topic is of an older generation than the object has seen.
    OldGeneration,
}

/// What is remembered of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing: carry the command out.
    Unknown,
    /// The same request: answer this again.
    Repeated(Remembered<'static>),
    /// Another request: refuse it.
    Mismatch,
}

impl Bookkeeping {
    /// The bookkeeping of an object whose first event stands at `position`, of a topic in this
    /// generation and in a shard that was rewound so often. The same event in a later one may be another,
    /// or be decided otherwise: its numbers are no copies of the earlier ones.
    pub fn begin(position: &SourceOffset, (generation, rewound): (u32, u32)) -> Self {
        let (position, generation) = (position.to_string(), generation.to_string());
        let rewound = rewound.to_string();
        let epoch = match (&generation[..], &rewound[..]) {
            // As it was before generations were in it, and before rewinding was.
            ("1", "0") => digest(&[position.as_bytes()]),
            (generation, "0") => digest(&[position.as_bytes(), generation.as_bytes()]),
            (generation, rewound) => digest(&[&position, generation, rewound].map(str::as_bytes)),
        };
        Self {
            epoch: hex::<8>(&epoch),
            ..Self::default()
        }
    }

    /// Bytes that it takes in memory, about.
    pub fn size(&self) -> usize {
        self.window.0.len() * size_of::<Short>() + self.idempotency.size()
    }

    /// Checks a record against the last one handled of its partition, and makes it the last.
    pub fn accept_position(&mut self, position: &SourceOffset, generation: u32) -> Input {
        let partition = format!("{}/{}", position.topic, position.partition);
        match self.offsets.get(&partition) {
            Some(Mark(known, _)) if *known > generation => return Input::OldGeneration,
            Some(Mark(known, last)) if *known == generation && position.offset <= *last => {
                return Input::Redelivered;
            }
            _ => {}
        }
        self.offsets
            .insert(partition, Mark(generation, position.offset));
        Input::New
    }

    /// The object's time at an event that was recorded at `recorded_ms`. It never goes back: a
    /// producer whose clock is behind must not make anything look younger than it is.
    pub fn advance(&mut self, recorded_ms: i64) -> i64 {
        self.time = self.time.max(recorded_ms);
        self.time
    }

    /// Remembers an event's id and forgets the oldest beyond `window`; false when it is known: a copy of
    /// an event handled before.
    pub fn accept_id(&mut self, id: &str, window: usize) -> bool {
        let (id, Window(ids)) = (short(id), &mut self.window);
        if ids.contains(&id) {
            return false;
        }
        ids.push_back(id);
        while ids.len() > window {
            ids.pop_front();
        }
        true
    }

    /// Forgets the id accepted last: its event was kept as a dead letter and may come again.
    pub fn forget_id(&mut self) {
        self.window.0.pop_back();
    }

    /// The number of the next event to `topic` under the object's own key.
    pub fn next_seq(&mut self, topic: &str) -> i64 {
        if let Some(seq) = self.seq.get_mut(topic) {
            *seq += 1;
            return *seq;
        }
        self.seq.insert(topic.to_owned(), 1);
        1
    }

    /// Takes the last number back: its event was not published.
    pub fn give_back_seq(&mut self, topic: &str) {
        if let Some(seq) = self.seq.get_mut(topic) {
            *seq -= 1;
        }
    }

    /// Looks an idempotency key up.
    pub fn idempotency(&self, asked: &IdempotentRequest, now_ms: i64) -> Idempotency {
        match self.idempotency.get(&asked.key, now_ms) {
            None => Idempotency::Unknown,
            Some(entry) if entry.of == *asked => Idempotency::Repeated(entry.into_owned()),
            Some(_) => Idempotency::Mismatch,
        }
    }

    /// Remembers what a command with an idempotency key was answered: `result` in Confluent's wire
    /// format with `meta` null. It is kept from `taken_ms` on, when the command came: its own time may
    /// be long past, and it may be repeated all the same.
    pub fn remember(
        &mut self,
        declaration: &Declaration,
        asked: IdempotentRequest,
        (now_ms, taken_ms): (i64, i64),
        (result_id, result): (&str, &[u8]),
    ) {
        if let Some(new) = Remembered::new(asked, taken_ms, result_id, result) {
            let limits = Limits {
                count: declaration.idempotency_window,
                bytes: declaration.idempotency_bytes,
            };
            self.idempotency.insert(new, now_ms, limits);
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_events::Topic;
    use millstream_topics::ProductReservations;
    use proptest::prelude::*;

    use super::*;
    use crate::record::wire;

    /// Every layout of an object's bookkeeping that was ever written, with all its parts. Nothing here
    /// is changed: a new part is a new line.
    const LAYOUTS: [&str; 2] = [
        concat!(
            r#"{"e":"0011223344556677","o":{"orders/3":[1,41]},"w":"AQEBAQEBAQECAgICAgICAg","#,
            r#""s":{"orders-results":7},"#,
            r#""k":"AwUBAgMEBQYHCAECAwRpHzgAAAECAwQFBgcICQoLDA0OD/8AAQ"}"#
        ),
        concat!(
            r#"{"e":"0011223344556677","o":{"orders/3":[1,41]},"w":"AQEBAQEBAQECAgICAgICAg","#,
            r#""s":{"orders-results":7},"#,
            r#""k":"AwUBAgMEBQYHCAECAwRpHzgAAAECAwQFBgcICQoLDA0OD/8AAQ","t":1763686800000}"#
        ),
    ];

    fn position(offset: i64) -> SourceOffset {
        SourceOffset {
            topic: "orders".into(),
            partition: 3,
            offset,
            timestamp_ms: 0,
            taken_ms: None,
        }
    }

    #[test]
    fn every_released_layout_is_read_and_nothing_of_it_is_lost() {
        let asked = IdempotentRequest {
            key: [1, 2, 3, 4, 5, 6, 7, 8],
            request: [1, 2, 3, 4],
        };
        // 2025-11-20 at 15:47:12 UTC, as it is in there.
        let answered = 1_763_653_632_000;
        for layout in LAYOUTS {
            let mut read: Bookkeeping = serde_json::from_str(layout).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), layout);
            assert_eq!(read.epoch, "0011223344556677");
            assert_eq!(read.accept_position(&position(41), 1), Input::Redelivered);
            assert_eq!(read.accept_position(&position(42), 1), Input::New);
            assert_eq!(read.next_seq("orders-results"), 8);
            let Idempotency::Repeated(before) = read.idempotency(&asked, answered + 1000) else {
                panic!("{layout}");
            };
            assert_eq!(before.result_id(), "000102030405060708090a0b0c0d0e0f");
            let value = [&wire::header(5)[..], &[255, 0, 1]].concat();
            assert_eq!(before.value(), Some(value));
        }
    }

    #[test]
    fn what_is_decided_anew_has_a_numbering_of_its_own() {
        let epoch =
            |offset, generation| Bookkeeping::begin(&position(offset), (generation, 0)).epoch;
        assert_eq!(epoch(41, 1), "56505c2a0c798551", "as it always was");
        assert_eq!(epoch(41, 2), epoch(41, 2), "the same at every attempt");
        let all = [
            (41, 1),
            (41, 2),
            (41, 3),
            (42, 1),
            (42, 2),
            (4, 12),
            (412, 2),
        ];
        let mut all = all
            .map(|(offset, generation)| epoch(offset, generation))
            .to_vec();
        for rewound in [(1, 1), (1, 2), (2, 1), (11, 1), (1, 11)] {
            all.push(Bookkeeping::begin(&position(41), rewound).epoch);
        }
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }

    #[test]
    fn a_window_knows_the_last_ids_alone() {
        let mut bookkeeping = Bookkeeping::begin(&position(0), (1, 0));
        let mut accept = |id| bookkeeping.accept_id(id, 2);
        assert!(accept("a") && accept("b"));
        assert!(!accept("a"));
        assert!(accept("c") && accept("a"));
        bookkeeping.forget_id();
        let mut accept = |id| bookkeeping.accept_id(id, 2);
        assert!(!accept("c") && accept("a"));
        let text = serde_json::to_string(&bookkeeping.window).unwrap();
        let read: Window = serde_json::from_str(&text).unwrap();
        assert_eq!(read, bookkeeping.window);
        for text in ["\"AAAA\"", "\"AAAAAA\"", "\"*\"", "1"] {
            assert!(serde_json::from_str::<Window>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_window_or_refused(text: String) {
            let text = serde_json::to_string(&text).unwrap();
            let _ = serde_json::from_str::<Window>(&text);
        }
    }

    #[test]
    fn the_time_of_an_object_never_goes_back() {
        let mut bookkeeping = Bookkeeping::begin(&position(0), (1, 0));
        let times = [5, 3, 9, 0, -1, 9].map(|recorded| bookkeeping.advance(recorded));
        assert_eq!(times, [5, 5, 9, 9, 9, 9]);
        let text = serde_json::to_string(&bookkeeping).unwrap();
        let mut read: Bookkeeping = serde_json::from_str(&text).unwrap();
        assert_eq!(read.advance(7), 9, "nor by being written");
    }

    #[test]
    fn a_key_is_remembered_for_a_day_whatever_its_event_says() {
        const NOW: i64 = 1_763_686_800_000;
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let declaration = ProductReservations::DECLARATION;
        let asked = IdempotentRequest::new("m1", &[7; 32]);
        let value = [&wire::header(1)[..], &[0]].concat();
        let known = |bookkeeping: &Bookkeeping, now| {
            bookkeeping.idempotency(&asked, now) != Idempotency::Unknown
        };
        for (recorded, why) in [
            (NOW, "a right clock"),
            (NOW - 20 * DAY, "one that is behind"),
            (NOW + DAY / 30, "one that is ahead"),
        ] {
            let mut bookkeeping = Bookkeeping::begin(&position(0), (1, 0));
            let first = bookkeeping.advance(recorded);
            let times = (first, first.max(NOW));
            bookkeeping.remember(declaration, asked, times, ("0f", &value));
            let other = IdempotentRequest::new("m2", &[8; 32]);
            let now = bookkeeping.advance(NOW + 1);
            bookkeeping.remember(declaration, other, (now, now), ("0e", &value));
            let now = bookkeeping.advance(NOW + 2);
            assert!(known(&bookkeeping, now), "{why}");
            assert!(known(&bookkeeping, NOW + DAY - 2000), "{why}");
            assert!(!known(&bookkeeping, NOW + 2 * DAY), "{why}");
        }
    }
}
