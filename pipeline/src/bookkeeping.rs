//! What an object remembers so that no event is handled twice and no result is counted twice.
//!
//! It lies beside the business fields in the object's one state entry, under `_m`.

use std::collections::BTreeMap;

use millstream_topics::Declaration;
use serde::{Deserialize, Serialize};

use crate::digest::{digest, hex};
use crate::position::Position;
use crate::remembered::{Answers, IdempotentRequest, Remembered, Window};

/// The object's bookkeeping. Field names are short: it is written with every event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark(u32, i64);

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
    /// The bookkeeping of an object whose first event stands at `position`.
    pub fn begin(position: &Position) -> Self {
        Self {
            epoch: hex::<8>(&digest(&[position.to_string().as_bytes()])),
            ..Self::default()
        }
    }

    /// Checks a record against the last one handled of its partition, and makes it the last.
    pub fn accept_position(&mut self, position: &Position, generation: u32) -> Input {
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

    /// Remembers an event's id; false when it is known: a copy of an event handled before.
    pub fn accept_id(&mut self, id: &str, window: usize) -> bool {
        self.window.accept(id, window)
    }

    /// Forgets the id accepted last: its event was kept as a dead letter and may come again.
    pub fn forget_id(&mut self) {
        self.window.forget_last();
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
    /// format with `meta` null.
    pub fn remember(
        &mut self,
        declaration: &Declaration,
        asked: IdempotentRequest,
        now_ms: i64,
        (result_id, result): (&str, &[u8]),
    ) {
        if let Some(new) = Remembered::new(asked, now_ms, result_id, result) {
            let size = declaration.idempotency_window;
            self.idempotency.insert(&new, now_ms, size);
        }
    }
}
