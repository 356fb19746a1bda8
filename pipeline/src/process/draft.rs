//! Events on their way out: whose they are and what caused them, their ids and numbers, and the record
//! that each becomes.

use std::borrow::Cow;
use std::sync::Arc;

use millstream_events::EventMeta;

use super::outputs::Action;
use super::{Address, Checked, Ending, Output, Received, Stop, Timing};
use crate::codec::{EncodedBody, join, with_meta};
use crate::identity::Proofs;
use crate::observe::trace::TraceContext;
use crate::record::cloudevents;
use crate::record::digest::derived_id;
use crate::state::dedup::Bookkeeping;
use crate::state::idempotency::IdempotentRequest;

/// One handling of an event as the source of others.
#[derive(Debug, Clone)]
pub(crate) struct Emitter {
    /// `Service/key`.
    pub source: String,
    /// `Service/handler`.
    pub handler: Arc<str>,
    /// What ids are derived from, such as the workflow's `Service/key`; `None`: the event's id.
    pub id_base: Option<String>,
    /// `meta` of the event that is handled.
    pub cause: Arc<EventMeta>,
    /// Where that event stands in its trace.
    pub trace: TraceContext,
}

impl Emitter {
    /// An event that is handled, as the source of others.
    pub fn of(received: &Received, meta: &Arc<EventMeta>) -> Self {
        Self {
            source: received.source(),
            handler: Arc::clone(&received.handler),
            id_base: None,
            cause: Arc::clone(meta),
            trace: TraceContext::of(meta.traceparent.as_deref(), &meta.id),
        }
    }

    /// `meta` of the event that is emitted as this one's output of this number, at `time` in
    /// microseconds since 1970-01-01 UTC: the same at every attempt.
    pub fn meta(&self, output: u32, time: i64) -> EventMeta {
        let cause = &*self.cause;
        let base = self.id_base.as_deref().unwrap_or(&cause.id);
        let id = derived_id(base, &self.handler, output);
        EventMeta {
            source: self.source.clone(),
            time,
            correlation_id: cause.correlation_id.clone(),
            causation_id: Some(cause.id.clone()),
            traceparent: Some(self.trace.sending(&id).to_string()),
            tracestate: cause.tracestate.clone(),
            id,
            ..EventMeta::default()
        }
    }

    /// On whose behalf events are sent: that of the cause's principal, if it was proven and can be
    /// proven to others.
    pub fn principal(&self, proofs: &Proofs) -> Option<String> {
        let signer = proofs.signer.as_ref();
        signer.and(self.cause.principal.clone())
    }
}

/// What the events of an ending are numbered and dated from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    /// How many events were emitted before.
    pub outputs: u32,
    /// The latest time that is known from a record or the journal, in microseconds since 1970-01-01
    /// UTC.
    pub time: i64,
    /// Whether events under the object's own key get a `seq`.
    pub sequenced: bool,
}

impl Numbers {
    /// Of an event that has emitted nothing yet.
    pub fn from(checked: &Checked) -> Self {
        Self {
            outputs: 0,
            time: checked.recorded_ms.saturating_mul(1000),
            sequenced: true,
        }
    }
}

/// The body of an event to publish.
#[derive(Clone, Copy)]
pub(super) enum Body<'b> {
    /// With the id of its schema.
    New(u32, &'b EncodedBody),
    /// A whole value with `meta` null, and its full name.
    Whole(&'b str, &'b [u8]),
}

/// Events in the order in which they get their numbers.
pub(super) struct Draft<'e, 'k> {
    ending: &'e Ending<'e>,
    bookkeeping: Option<&'k mut Bookkeeping>,
    next: u32,
    pub records: Vec<Output>,
    pub timers: Vec<Timing>,
}

impl<'e, 'k> Draft<'e, 'k> {
    /// Goes on behind what was published already.
    pub fn of(
        ending: &'e Ending<'_>,
        bookkeeping: Option<&'k mut Bookkeeping>,
        published: &[Output],
    ) -> Self {
        let mut draft = Self {
            ending,
            bookkeeping,
            next: ending.numbers.outputs,
            records: Vec::new(),
            timers: Vec::new(),
        };
        for output in published {
            if let (Some(_), Some(bookkeeping)) = (output.meta.seq, &mut draft.bookkeeping) {
                bookkeeping.next_seq(&output.record.topic);
            }
            if let Some((request, value)) = &output.remembered {
                draft.remember(*request, &output.meta.id, value);
            }
        }
        draft
    }

    /// Does one thing that was asked for; `body` is its event, if it is one.
    pub fn act(&mut self, action: &Action, body: Option<Body<'_>>) -> Result<(), Stop> {
        match (action, body) {
            (Action::Emit(emission), Some(body)) => {
                let to = Address {
                    topic: emission.topic.into(),
                    key: emission.key.as_str().into(),
                };
                let (checked, rules) = (self.ending.checked, self.ending.rules);
                let principal = checked.emitter.principal(rules.proofs);
                match emission.due {
                    None => {
                        let on_behalf = |meta: &mut EventMeta| meta.principal = principal;
                        let output = self.output(&to, body, None, on_behalf)?;
                        self.records.push(output);
                    }
                    Some(due) => {
                        let mut meta = self.meta();
                        (meta.principal, meta.time) = (principal, due);
                        let event = Box::new(self.encoded(&to, body, meta)?);
                        let name = emission.name.clone();
                        self.timers.push(Timing::Set { name, event });
                    }
                }
            }
            (Action::Answer(to, _), Some(body)) => {
                let request = to.idempotent();
                let address = to.address();
                let to_the_command = |meta: &mut EventMeta| to.clone().mark(meta);
                let output = self.output(&address, body, request, to_the_command)?;
                self.records.push(output);
            }
            (Action::Cancel(name), _) => self.timers.push(Timing::Cancel { name: name.clone() }),
            (Action::Emit(_) | Action::Answer(..), None) => {}
        }
        Ok(())
    }

    fn meta(&mut self) -> EventMeta {
        let output = self.next;
        self.next = self.next.saturating_add(1);
        let emitter = &self.ending.checked.emitter;
        emitter.meta(output, self.ending.numbers.time)
    }

    /// An event with the next numbers. `adapt` changes its `meta` before it gets a `seq`. What it
    /// answers to `request` is remembered.
    pub fn output(
        &mut self,
        to: &Address,
        body: Body<'_>,
        request: Option<IdempotentRequest>,
        adapt: impl FnOnce(&mut EventMeta),
    ) -> Result<Output, Stop> {
        let mut meta = self.meta();
        adapt(&mut meta);
        // Only events under the object's own key are numbered: other keys have no end.
        let ending = self.ending;
        let is_numbered = ending.numbers.sequenced && to.key == ending.checked.received.key;
        if let Some(bookkeeping) = self.bookkeeping.as_mut().filter(|_| is_numbered) {
            meta.seq = Some(bookkeeping.next_seq(&to.topic));
            meta.epoch = Some(bookkeeping.epoch.clone());
        }
        let mut output = self.encoded(to, body, meta)?;
        if let (Some(request), Some(_), Body::New(id, body)) = (request, &self.bookkeeping, body) {
            let value = join(id, &body.bytes, None);
            self.remember(request, &output.meta.id, &value);
            output.remembered = Some((request, value));
        }
        Ok(output)
    }

    fn encoded(&self, to: &Address, body: Body<'_>, meta: EventMeta) -> Result<Output, Stop> {
        let (meta, name, value) = match body {
            Body::New(id, body) => {
                let address = (&*to.topic, &*to.key);
                let proofs = self.ending.rules.proofs;
                let signed = match proofs.signed(address, body, &meta) {
                    Cow::Owned(signed) => Some(signed),
                    Cow::Borrowed(_) => None,
                };
                let meta = signed.unwrap_or(meta);
                let value = join(id, &body.bytes, Some(&meta));
                (meta, body.schema.full_name, value)
            }
            Body::Whole(name, value) => {
                let value = with_meta(value, &meta)?;
                (meta, name, value)
            }
        };
        Ok(Output {
            record: cloudevents::record(&to.topic, &to.key, name, &meta, value),
            meta,
            remembered: None,
        })
    }

    /// Remembers what an idempotent request was answered: the event `id` with this value.
    fn remember(&mut self, request: IdempotentRequest, id: &str, value: &[u8]) {
        let checked = self.ending.checked;
        let times = (checked.recorded_ms, checked.taken_ms());
        if let Some(bookkeeping) = &mut self.bookkeeping {
            let topic = checked.received.declaration;
            bookkeeping.remember(topic, request, times, (id, value));
        }
    }
}
