//! What a handler causes besides its result: further events, now or later, and answers to commands
//! that came before.
//!
//! All of it is published when the handler ends, before its result and before its state is
//! written. A crash in between publishes the same bytes again.

use std::sync::Arc;
use std::time::Duration;

use millstream_events::{EventMeta, EventSet, RequestFailed, Topic};
use serde::{Deserialize, Serialize};

use super::{Address, Checked};
use crate::codec::EncodedBody;
use crate::failure::Failure;
use crate::observe::trace::TraceContext;
use crate::state::idempotency::IdempotentRequest;

/// Where a command is answered, to be kept in the state until somebody can answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnAddress {
    #[serde(rename = "t")]
    topic: String,
    #[serde(rename = "k")]
    key: String,
    /// The command's id.
    #[serde(rename = "c")]
    causation_id: String,
    #[serde(rename = "r")]
    correlation_id: String,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// The command's idempotency key: what it is answered is remembered for it.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    idempotent: Option<IdempotentRequest>,
}

impl ReturnAddress {
    /// Makes an answer belong to the command that it answers: to its request and to its trace, and
    /// not to those of the event that is handled.
    pub(crate) fn mark(self, meta: &mut EventMeta) {
        let parent = self.traceparent.as_deref();
        let parent = TraceContext::of(parent, &self.causation_id);
        meta.traceparent = Some(parent.sending(&meta.id).to_string());
        meta.tracestate = None;
        meta.causation_id = Some(self.causation_id);
        meta.correlation_id = self.correlation_id;
    }

    /// Topic and key.
    pub(crate) fn address(&self) -> Address {
        Address {
            topic: self.topic.clone().into(),
            key: self.key.as_str().into(),
        }
    }

    /// What the answer is remembered for.
    pub(crate) fn idempotent(&self) -> Option<IdempotentRequest> {
        self.idempotent
    }
}

/// What a handler causes besides its result.
#[derive(Debug)]
pub struct Outputs {
    key: Arc<str>,
    meta: Arc<EventMeta>,
    recorded_ms: i64,
    taken_ms: i64,
    answers_to: AnswersTo,
    /// What was asked for, in order.
    pub(super) actions: Vec<Action>,
}

/// Where the command is answered that is handled.
#[derive(Debug)]
enum AnswersTo {
    Nobody,
    /// Whoever the event itself names, so.
    Sender(Address, Option<IdempotentRequest>),
    Address(ReturnAddress),
}

#[derive(Debug)]
pub(crate) enum Action {
    Emit(Emission),
    Answer(ReturnAddress, Result<EncodedBody, Failure>),
    Cancel(String),
}

/// An event to be emitted.
#[derive(Debug)]
pub struct Emission {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) body: Result<EncodedBody, Failure>,
    /// Microseconds since 1970-01-01 UTC.
    pub(crate) due: Option<i64>,
    pub(crate) name: Option<String>,
    recorded_ms: i64,
}

impl Emission {
    /// Emits it at this time, in microseconds since 1970-01-01 UTC; at once if that is past.
    pub fn at(&mut self, micros: i64) -> &mut Self {
        self.due = Some(micros);
        self
    }

    /// Emits it this long after the event that is handled was recorded.
    pub fn after(&mut self, delay: Duration) -> &mut Self {
        let micros = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        self.at(self.recorded_ms.saturating_mul(1000).saturating_add(micros))
    }

    /// Names the timer, among those of this object. Another one of the name takes its place, and
    /// [`Outputs::cancel`] takes it away.
    pub fn cancellable(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self
    }

    /// Whether it holds this event, goes to this key and is due at this time.
    pub fn is<T: Topic>(&self, key: &str, event: impl Into<T::Event>, due: Option<i64>) -> bool {
        let event = EncodedBody::of(&event.into());
        let same_body = match (&self.body, event) {
            (Ok(body), Some(Ok(event))) => {
                body.schema.full_name == event.schema.full_name && body.bytes == event.bytes
            }
            _ => false,
        };
        same_body && self.topic == T::DECLARATION.name && self.key == key && self.due == due
    }
}

impl Outputs {
    /// Of an event with this `meta`, recorded and taken at this time in milliseconds.
    pub fn new(key: &str, meta: EventMeta, recorded_ms: i64) -> Self {
        Self {
            key: key.into(),
            meta: Arc::new(meta),
            recorded_ms,
            taken_ms: recorded_ms,
            answers_to: AnswersTo::Nobody,
            actions: Vec::new(),
        }
    }

    /// Of a command that is to be answered at this address.
    pub fn answering(mut self, address: ReturnAddress) -> Self {
        self.answers_to = AnswersTo::Address(address);
        self
    }

    /// Of an event that was checked.
    pub(crate) fn of(checked: &Checked) -> Self {
        Self {
            key: Arc::clone(&checked.received.key),
            meta: Arc::clone(&checked.meta),
            recorded_ms: checked.recorded_ms,
            taken_ms: checked.taken_ms(),
            answers_to: match &checked.reply {
                Some(reply) => AnswersTo::Sender(reply.clone(), checked.idempotent),
                None => AnswersTo::Nobody,
            },
            actions: Vec::new(),
        }
    }

    /// Key of the object.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The event's `meta`, or what stands in for it.
    pub fn meta(&self) -> &EventMeta {
        &self.meta
    }

    /// When the event was recorded, in milliseconds since 1970-01-01 UTC: the same at every attempt,
    /// and never before another event that the object has handled.
    pub fn recorded_ms(&self) -> i64 {
        self.recorded_ms
    }

    /// When the event came, in milliseconds since 1970-01-01 UTC: the same at every attempt, and not
    /// before [`Self::recorded_ms`]. What is kept for some time in case an event comes again is kept
    /// from then on: the event may have been recorded long ago, or by a clock that is behind.
    pub fn taken_ms(&self) -> i64 {
        self.taken_ms
    }

    /// Where this command is answered if not now; `None` for a fact.
    pub fn return_address(&self) -> Option<ReturnAddress> {
        match &self.answers_to {
            AnswersTo::Nobody => None,
            AnswersTo::Address(address) => Some(address.clone()),
            AnswersTo::Sender(reply, idempotent) => Some(ReturnAddress {
                topic: reply.topic.clone().into_owned(),
                key: reply.key.as_ref().to_owned(),
                causation_id: self.meta.id.clone(),
                correlation_id: self.meta.correlation_id.clone(),
                traceparent: self.meta.traceparent.clone(),
                idempotent: *idempotent,
            }),
        }
    }

    /// Emits an event to `T`; what is returned can delay it.
    pub fn emit<T: Topic>(
        &mut self,
        key: impl Into<String>,
        event: impl Into<T::Event>,
    ) -> &mut Emission {
        let body = EncodedBody::of(&event.into()).unwrap_or_else(|| {
            Err(Failure::new(
                crate::failure::HANDLER_FAILED,
                format!("{} has no events to emit", T::DECLARATION.name),
            ))
        });
        let emission = Emission {
            topic: T::DECLARATION.name,
            key: key.into(),
            body,
            due: None,
            name: None,
            recorded_ms: self.recorded_ms,
        };
        self.actions.push(Action::Emit(emission));
        match self.actions.last_mut() {
            Some(Action::Emit(emission)) => emission,
            _ => unreachable!("it was pushed right now"),
        }
    }

    /// Takes away a timer that was set under this name, if it is not due yet.
    pub fn cancel(&mut self, name: impl Into<String>) {
        self.actions.push(Action::Cancel(name.into()));
    }

    /// Answers a command that came before.
    pub fn answer(&mut self, to: ReturnAddress, result: &impl EventSet) {
        if let Some(body) = EncodedBody::of(result) {
            self.actions.push(Action::Answer(to, body));
        }
    }

    /// Refuses a command that came before.
    pub fn refuse(&mut self, mut to: ReturnAddress, failure: &Failure) {
        let failure = failure.shortened();
        if failure.may_be_repeated {
            // The same request may come to something else.
            to.idempotent = None;
        }
        let body = RequestFailed {
            code: failure.code.into_owned(),
            message: failure.message,
        };
        self.answer(to, &body);
    }

    /// The events emitted so far.
    pub fn emitted(&self) -> impl Iterator<Item = &Emission> {
        self.actions.iter().filter_map(|action| match action {
            Action::Emit(emission) => Some(emission),
            _ => None,
        })
    }

    /// How many commands that came before are answered.
    pub fn answered(&self) -> usize {
        self.answers().count()
    }

    /// Where commands that came before are answered, and the full names of the answers.
    pub fn answers(&self) -> impl Iterator<Item = (&ReturnAddress, Option<&str>)> {
        self.actions.iter().filter_map(|action| match action {
            Action::Answer(to, body) => {
                let name = body.as_ref().ok().map(|body| body.schema.full_name);
                Some((to, name))
            }
            _ => None,
        })
    }

    /// Names of timers that are taken away.
    pub fn cancelled(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().filter_map(|action| match action {
            Action::Cancel(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_answer_goes_on_with_the_trace_of_its_command() {
        let span = "00f067aa0ba902b7";
        let traceparent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01");
        let address = ReturnAddress {
            topic: "replies".into(),
            key: "key".into(),
            causation_id: "command".into(),
            correlation_id: "request".into(),
            traceparent: Some(traceparent),
            idempotent: None,
        };
        let mut meta = EventMeta {
            id: "answer".into(),
            correlation_id: "another".into(),
            traceparent: Some("00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01".into()),
            tracestate: Some("another=1".into()),
            ..EventMeta::default()
        };
        address.mark(&mut meta);
        let traceparent = meta.traceparent.unwrap();
        assert!(traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(!traceparent.contains(span), "a span of its own");
        assert_eq!(meta.tracestate, None);
        assert_eq!(meta.causation_id.as_deref(), Some("command"));
        assert_eq!(meta.correlation_id, "request");
    }
}
