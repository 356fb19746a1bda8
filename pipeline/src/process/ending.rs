//! The end of an event: what is published under which ids and numbers, what is remembered, and the
//! state to write.

use std::borrow::Cow;

use millstream_events::{EventMeta, EventSchema, RequestFailed};

use super::outputs::{Action, Emission};
use super::{Address, Checked, Code, Decided, Emitter, Kept, Outcome, Output, Rules, Timing};
use crate::codec::{EncodedBody, Need, Payload, damaged, join, with_meta};
use crate::failure::{self, Failure};
use crate::record::cloudevents;
use crate::record::wire;
use crate::state::UnreadableState;
use crate::state::dedup::Bookkeeping;
use crate::state::idempotency::{IdempotentRequest, Remembered};

/// How an event ends.
pub(crate) struct Ending<'a> {
    pub rules: Rules<'a>,
    pub checked: &'a Checked,
    pub emitter: &'a Emitter,
    pub numbers: Numbers,
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

/// What an event has come to.
#[derive(Debug)]
pub(crate) enum End {
    Answer(Decided),
    /// An answer that is encoded already, with `meta` null; and its full name.
    Encoded(String, Vec<u8>),
    Skip(&'static str),
    Repeat(Remembered<'static>),
    Refuse(Failure),
}

/// Why there is no outcome.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It takes something that is not known yet: have it fetched, and try again.
    Need(Need),
    /// It can never be; the event is to be refused.
    Never(Failure),
    /// The object's state cannot be read.
    Unreadable(UnreadableState),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Never(failure)
    }
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

impl From<UnreadableState> for Stop {
    fn from(error: UnreadableState) -> Self {
        Self::Unreadable(error)
    }
}

/// The body of an event to publish.
#[derive(Clone, Copy)]
enum Body<'b> {
    New(&'b EncodedBody),
    /// A whole value with `meta` null, and its full name.
    Whole(&'b str, &'b [u8]),
}

impl Ending<'_> {
    /// What is to be done.
    pub fn outcome(&self, kept: &mut dyn Kept, end: &End) -> Result<Outcome, Stop> {
        match end {
            End::Answer(decided) => self.answered(kept, decided),
            End::Encoded(name, value) => self.answered_with(kept, name, value),
            End::Skip(reason) => Ok(Outcome::of(Code::Skipped(reason), kept.fields(None)?)),
            End::Repeat(before) => self.repeated(kept, before),
            End::Refuse(failure) => self.refused(kept, failure, &[]),
        }
    }

    /// The event was handled: what it causes, and its result if that is known now.
    fn answered(&self, kept: &mut dyn Kept, decided: &Decided) -> Result<Outcome, Stop> {
        let fields = kept.fields(Some(self.checked.received.declaration.state_limit))?;
        let mut bodies: Vec<_> = decided.result.iter().collect();
        for action in &decided.actions {
            match action {
                Action::Emit(Emission { body, .. }) | Action::Answer(_, body) => {
                    bodies.push(body.as_ref().map_err(Failure::clone)?);
                }
                Action::Cancel(_) => {}
            }
        }
        bodies.iter().try_for_each(|body| self.known(body.schema))?;
        let mut draft = Draft::of(self, kept.bookkeeping(&self.checked.received), &[])?;
        for action in &decided.actions {
            draft.act(action)?;
        }
        let answer = match (&decided.result, &self.checked.reply) {
            (Some(body), Some(reply)) => {
                let request = self.checked.idempotent;
                Some(draft.output(reply, Body::New(body), request, |_| {})?)
            }
            _ => None,
        };
        let (records, timers) = (draft.records, draft.timers);
        Ok(Outcome {
            records,
            timers,
            answer,
            ..Outcome::of(Code::OK, fields)
        })
    }

    /// The event was handled, and its answer is encoded already, with `meta` null.
    fn answered_with(
        &self,
        kept: &mut dyn Kept,
        name: &str,
        value: &[u8],
    ) -> Result<Outcome, Stop> {
        let mut draft = Draft::of(self, kept.bookkeeping(&self.checked.received), &[])?;
        let reply = self.checked.reply.as_ref();
        let answer = reply.map(|to| draft.output(to, Body::Whole(name, value), None, |_| {}));
        let answer = answer.transpose()?;
        Ok(Outcome {
            answer,
            ..Outcome::of(Code::OK, kept.fields(None)?)
        })
    }

    /// The answer that the same request was given before. Where only its digest is remembered, a
    /// refusal that names it: the command is not carried out again.
    fn repeated(&self, kept: &mut dyn Kept, before: &Remembered<'_>) -> Result<Outcome, Stop> {
        let first = before.result_id();
        let value = before.value();
        let failed;
        let name;
        let body = match &value {
            Some(value) => {
                name = self.name_of(value)?;
                Body::Whole(&name, value)
            }
            None => {
                failed = too_large_to_repeat(&first)?;
                self.known(failed.schema)?;
                Body::New(&failed)
            }
        };
        let mut draft = Draft::of(self, kept.bookkeeping(&self.checked.received), &[])?;
        let repeats = |meta: &mut EventMeta| meta.original_id = Some(first);
        let reply = self.checked.reply.as_ref();
        let answer = reply.map(|to| draft.output(to, body, None, repeats));
        let answer = answer.transpose()?;
        Ok(Outcome {
            answer,
            is_repeated: true,
            ..Outcome::of(Code::OK, kept.fields(None)?)
        })
    }

    /// As [`Self::outcome`]; what can never be is refused.
    pub fn ended(&self, kept: &mut dyn Kept, end: &End) -> Result<Outcome, Stop> {
        match self.outcome(kept, end) {
            Err(Stop::Never(failure)) => self.refused(kept, &failure, &[]),
            outcome => outcome,
        }
    }

    /// A failure, with `RequestFailed` for a command and a dead letter for a fact; a command that was
    /// not refused but could not be handled gets both. The state is as it was before the event, but
    /// for what was `published` meanwhile.
    pub fn refused(
        &self,
        kept: &mut dyn Kept,
        failure: &Failure,
        published: &[Output],
    ) -> Result<Outcome, Stop> {
        let failure = failure.shortened();
        let is_kept = self.checked.reply.is_none() || failure.keeps_dead_letter();
        // The same request may come to something else, or this is not the same request.
        let is_final = !failure.may_be_repeated && failure.code != failure::IDEMPOTENCY_MISMATCH;
        let request = self.checked.idempotent.filter(|_| is_final);
        let answer = match &self.checked.reply {
            None => None,
            Some(reply) => {
                let body = encoded(&failure).and_then(|body| {
                    self.known(body.schema)?;
                    Ok((reply, body))
                });
                match body {
                    Err(Stop::Never(why)) => {
                        return self.unanswered(kept, &failure, published, why);
                    }
                    body => Some(body?),
                }
            }
        };
        let mut draft = self.taken_back(kept, is_kept, published)?;
        let answer = answer.map(|(to, body)| draft.output(to, Body::New(&body), request, |_| {}));
        let answer = answer.transpose()?;
        let fields = kept.fields(None)?;
        Ok(Outcome {
            dead_letter: is_kept.then(|| failure.clone()),
            answer,
            ..Outcome::of(Code::Ended(failure.code), fields)
        })
    }

    /// A failure that the sender cannot be told of, nor could be at the next attempt, which must not go
    /// on for ever: the record is kept.
    fn unanswered(
        &self,
        kept: &mut dyn Kept,
        failure: &Failure,
        published: &[Output],
        why: Failure,
    ) -> Result<Outcome, Stop> {
        self.taken_back(kept, true, published)?;
        let dead_letter = match self.checked.reply.is_none() || failure.keeps_dead_letter() {
            true => failure.clone(),
            false => why,
        };
        let fields = kept.fields(None)?;
        Ok(Outcome {
            dead_letter: Some(dead_letter),
            ..Outcome::of(Code::Ended(failure.code.clone()), fields)
        })
    }

    /// What comes instead of an outcome of which Kafka, or a lane that looks before, never takes one
    /// record. `published` are all that it has taken, also of an outcome that this one came for.
    pub fn unpublished(
        &self,
        kept: &mut dyn Kept,
        outcome: &Outcome,
        published: &[Output],
        error: &dyn std::fmt::Display,
    ) -> Result<Outcome, Stop> {
        let message = format!("the result cannot be published: {error}");
        let why = Failure::new(failure::HANDLER_FAILED, message);
        match &outcome.code {
            Code::Ended(code) if outcome.code != Code::OK => {
                let failure = Failure::with_code(code.clone(), String::new());
                let instead = self.unanswered(kept, &failure, published, why)?;
                // A lane that has kept it already does not keep it twice.
                let dead_letter = outcome.dead_letter.clone().or(instead.dead_letter);
                Ok(Outcome {
                    dead_letter,
                    ..instead
                })
            }
            _ => {
                // The numbers of outputs are not used again, but those of `seq` are. Timers have some too.
                let timers = outcome.timers.iter();
                let set = timers.filter(|timer| matches!(timer, Timing::Set { .. }));
                let outputs = outcome.published().count() + set.count();
                let outputs = u32::try_from(outputs).unwrap_or(u32::MAX);
                let numbers = Numbers {
                    outputs: self.numbers.outputs.saturating_add(outputs),
                    ..self.numbers
                };
                let later = Ending { numbers, ..*self };
                later.refused(kept, &why, published)
            }
        }
    }

    /// The object as it was before the event, except for what was published.
    fn taken_back<'k>(
        &self,
        kept: &'k mut dyn Kept,
        forgets_id: bool,
        published: &[Output],
    ) -> Result<Draft<'_, 'k>, Stop> {
        let received = &self.checked.received;
        kept.revert(received)?;
        let mut bookkeeping = kept.bookkeeping(received);
        if let Some(bookkeeping) = &mut bookkeeping {
            self.checked.accept_again(bookkeeping, forgets_id);
        }
        Draft::of(self, bookkeeping, published)
    }

    /// Whether the id of a schema is known.
    fn known(&self, schema: &'static EventSchema) -> Result<(), Stop> {
        self.id(schema).map(|_| ())
    }

    fn id(&self, schema: &'static EventSchema) -> Result<u32, Stop> {
        let id = self.rules.codec.known_id(schema)?;
        id.ok_or(Stop::Need(Need::Id(schema)))
    }

    /// The full name of a value that is remembered.
    fn name_of(&self, value: &[u8]) -> Result<String, Stop> {
        let (schema_id, body) = wire::split(value).map_err(damaged)?;
        let writer = self.rules.codec.known_writer(schema_id);
        let writer = writer.ok_or(Stop::Need(Need::Writer(schema_id)))?;
        let writer = writer.map_err(damaged)?;
        Ok(Payload::new(&writer, body)?.full_name().to_owned())
    }
}

/// Events in the order in which they get their numbers.
struct Draft<'e, 'k> {
    ending: &'e Ending<'e>,
    bookkeeping: Option<&'k mut Bookkeeping>,
    next: u32,
    records: Vec<Output>,
    timers: Vec<Timing>,
}

impl<'e, 'k> Draft<'e, 'k> {
    /// Goes on behind what was published already.
    fn of(
        ending: &'e Ending<'_>,
        bookkeeping: Option<&'k mut Bookkeeping>,
        published: &[Output],
    ) -> Result<Self, Stop> {
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
        Ok(draft)
    }

    fn act(&mut self, action: &Action) -> Result<(), Stop> {
        match action {
            Action::Emit(Emission {
                topic,
                key,
                body: Ok(body),
                due,
                name,
                ..
            }) => {
                let to = Address {
                    topic: (*topic).to_owned(),
                    key: key.clone(),
                };
                let principal = self.ending.emitter.principal(self.ending.rules.proofs);
                match due {
                    None => {
                        let on_behalf = |meta: &mut EventMeta| meta.principal = principal;
                        let output = self.output(&to, Body::New(body), None, on_behalf)?;
                        self.records.push(output);
                    }
                    Some(due) => {
                        let mut meta = self.meta();
                        (meta.principal, meta.time) = (principal, *due);
                        let event = Box::new(self.encoded(&to, Body::New(body), meta)?);
                        let name = name.clone();
                        self.timers.push(Timing::Set { name, event });
                    }
                }
            }
            Action::Answer(to, Ok(body)) => {
                let request = to.idempotent();
                let address = to.address();
                let to_the_command = |meta: &mut EventMeta| to.clone().mark(meta);
                let output = self.output(&address, Body::New(body), request, to_the_command)?;
                self.records.push(output);
            }
            Action::Cancel(name) => self.timers.push(Timing::Cancel { name: name.clone() }),
            Action::Emit(_) | Action::Answer(..) => {}
        }
        Ok(())
    }

    fn meta(&mut self) -> EventMeta {
        let output = self.next;
        self.next = self.next.saturating_add(1);
        self.ending.emitter.meta(output, self.ending.numbers.time)
    }

    /// An event with the next numbers. `adapt` changes its `meta` before it gets a `seq`. What it
    /// answers to `request` is remembered.
    fn output(
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
        if let (Some(request), Some(_), Body::New(body)) = (request, &self.bookkeeping, body) {
            let value = join(ending.id(body.schema)?, &body.bytes, None)?;
            self.remember(request, &output.meta.id, &value);
            output.remembered = Some((request, value));
        }
        Ok(output)
    }

    fn encoded(&self, to: &Address, body: Body<'_>, meta: EventMeta) -> Result<Output, Stop> {
        let (meta, name, value) = match body {
            Body::New(body) => {
                let address = (to.topic.as_str(), to.key.as_str());
                let proofs = self.ending.rules.proofs;
                let signed = match proofs.signed(address, body, &meta) {
                    Cow::Owned(signed) => Some(signed),
                    Cow::Borrowed(_) => None,
                };
                let meta = signed.unwrap_or(meta);
                let id = self.ending.id(body.schema)?;
                let value = join(id, &body.bytes, Some(&meta))?;
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

fn encoded(failure: &Failure) -> Result<EncodedBody, Stop> {
    let failed = RequestFailed {
        code: failure.code.clone().into_owned(),
        message: failure.message.clone(),
    };
    Ok(EncodedBody::of_event(&failed)?)
}

/// What a command is told whose answer is remembered by its digest alone.
fn too_large_to_repeat(first: &str) -> Result<EncodedBody, Failure> {
    EncodedBody::of_event(&RequestFailed {
        code: failure::TOO_LARGE.to_owned(),
        message: format!(
            "this command was carried out before and is not carried out again; its answer, the event \
             {first}, is too large to be remembered: look for that event, or ask how things are now"
        ),
    })
}
