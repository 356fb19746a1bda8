//! What is to be done about an event.

use std::borrow::Cow;

use millstream_events::EventMeta;

use crate::failure::Failure;
use crate::record::Record;
use crate::state::Fields;
use crate::state::idempotency::IdempotentRequest;

/// What was decided. Nothing of it has happened yet. A lane keeps the dead letter, publishes the
/// records and then the answer, sets the timers, and writes the state last: a crash in between makes
/// all of it again, in the same bytes.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Why the record is to be kept as a dead letter, if it is: see [`super::letter`].
    pub dead_letter: Option<Failure>,
    /// Events to publish.
    pub records: Vec<Output>,
    /// The answer to the event. It goes last: whoever sees it may rely on the rest, and where the rest
    /// cannot be published there is another answer.
    pub answer: Option<Output>,
    pub timers: Vec<Timing>,
    /// The object's business fields, to be written together with its bookkeeping; `None`: nothing is
    /// kept.
    pub fields: Option<Fields>,
    /// Whether the answer is one that was given before.
    pub is_repeated: bool,
    /// What is said of it in metrics and in the log.
    pub code: Code,
}

/// What an event has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Code {
    /// It was not handled, or not again.
    Skipped(&'static str),
    /// `ok`, or the code of a failure.
    Ended(Cow<'static, str>),
}

impl Code {
    pub const OK: Self = Self::Ended(Cow::Borrowed("ok"));
}

/// An event to publish.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Its value is in Confluent's wire format, with `meta`; it has the headers that tools look for.
    pub record: Record,
    pub meta: EventMeta,
    /// A command whose answer it is, to be remembered with this value, which has `meta` null.
    pub remembered: Option<(IdempotentRequest, Vec<u8>)>,
}

/// A timer of the object to set or to take away.
#[derive(Debug)]
pub(crate) enum Timing {
    /// An event that is due at `meta.time`.
    Set {
        name: Option<String>,
        event: Box<Output>,
    },
    Cancel {
        name: String,
    },
}

impl Outcome {
    /// Nothing but a state.
    pub fn of(code: Code, fields: Option<Fields>) -> Self {
        Self {
            dead_letter: None,
            records: Vec::new(),
            answer: None,
            timers: Vec::new(),
            fields,
            is_repeated: false,
            code,
        }
    }

    /// All that is published, in order.
    pub fn published(&self) -> impl Iterator<Item = &Output> {
        self.records.iter().chain(&self.answer)
    }
}
