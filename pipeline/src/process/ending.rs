//! The end of an event: what is published, what is remembered, and the state to write.

use millstream_events::{EventMeta, RequestFailed};

use super::draft::{Body, Draft};
use super::outputs::{Action, Emission};
use super::{Checked, Code, Decided, Kept, Numbers, Outcome, Output, Rules, Timing};
use crate::codec::{EncodedBody, Need, Payload, damaged};
use crate::failure::{self, Failure};
use crate::record::wire;
use crate::state::UnreadableState;
use crate::state::idempotency::Remembered;

/// How an event ends.
pub(crate) struct Ending<'a> {
    pub rules: Rules<'a>,
    pub checked: &'a Checked,
    pub numbers: Numbers,
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
        // Whatever is needed for it is known before anything gets a number.
        let result = decided.result.as_ref().map(|body| self.body(body));
        let result = result.transpose()?;
        let mut actions = Vec::with_capacity(decided.actions.len());
        for action in &decided.actions {
            let body = match action {
                Action::Emit(Emission { body, .. }) | Action::Answer(_, body) => {
                    Some(self.body(body.as_ref().map_err(Failure::clone)?)?)
                }
                Action::Cancel(_) => None,
            };
            actions.push((action, body));
        }
        let mut draft = Draft::of(self, kept.bookkeeping(&self.checked.received), &[]);
        for (action, body) in actions {
            draft.act(action, body)?;
        }
        let answer = match (result, &self.checked.reply) {
            (Some(body), Some(reply)) => {
                let request = self.checked.idempotent;
                Some(draft.output(reply, body, request, |_| {})?)
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
        let mut draft = Draft::of(self, kept.bookkeeping(&self.checked.received), &[]);
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
                self.body(&failed)?
            }
        };
        let mut draft = Draft::of(self, kept.bookkeeping(&self.checked.received), &[]);
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
        let told;
        let answer = match &self.checked.reply {
            None => None,
            Some(reply) => {
                told = encoded(&failure);
                let body = told.as_ref().map_err(|why| Stop::Never(why.clone()));
                match body.and_then(|body| self.body(body)) {
                    Err(Stop::Never(why)) => {
                        return self.unanswered(kept, &failure, published, why);
                    }
                    body => Some((reply, body?)),
                }
            }
        };
        let mut draft = self.taken_back(kept, is_kept, published)?;
        let answer = answer.map(|(to, body)| draft.output(to, body, request, |_| {}));
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
        Ok(Draft::of(self, bookkeeping, published))
    }

    /// A body with the id of its schema, if that is known.
    fn body<'b>(&self, body: &'b EncodedBody) -> Result<Body<'b>, Stop> {
        let id = self.rules.codec.known_id(body.schema)?;
        let id = id.ok_or(Stop::Need(Need::Id(body.schema)))?;
        Ok(Body::New(id, body))
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

fn encoded(failure: &Failure) -> Result<EncodedBody, Failure> {
    EncodedBody::of_event(&RequestFailed {
        code: failure.code.clone().into_owned(),
        message: failure.message.clone(),
    })
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
