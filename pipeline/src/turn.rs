//! A keyed handler's turn: from the raw record to the published answer and the written state.
//!
//! ```text
//! record ─ decode ─ input rule ─ reply_to, expires_at ─ idempotency key ─ decide ─ publish ─ state
//!             └ dead letter          └────────── RequestFailed ──────────────┘
//! ```
//!
//! The result is acknowledged by Kafka before the state is written, so a crash in between repeats
//! the event with the same state and publishes the same bytes again, which readers drop by `seq`.
//!
//! What Restate writes to its log per event: the invocation, its deployment, `set`, output and end:
//! five records, one of them ours. Where a turn may journal more than its state, it reads it by `get`,
//! a sixth. An event with `expires_at` costs that and two more: the time it is compared with is
//! journaled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use millstream_schemas::EventMeta;
use millstream_topics::Topic;
use restate_sdk::context::HeaderMap;
use restate_sdk::prelude::*;

use crate::admission::Admitted;
use crate::beginning::{self, Beginning};
use crate::bookkeeping::{Bookkeeping, Input};
use crate::code::{self, Failure};
use crate::delivery::{Delivery, Unpublished};
use crate::effects::{self, Effects};
use crate::metrics::metrics;
use crate::position::Position;
use crate::service::Service;
use crate::state::{STATE_ENTRY, State, Stored};
use crate::step::{StepError, StepResult, Steps};

/// An event that is to be handled now, with the state of its object.
pub struct Turn<'a, T: Topic, S: State> {
    /// The event.
    pub event: T::Event,
    ctx: &'a ObjectContext<'a>,
    stored: Stored<S>,
    entry: Option<Bytes>,
    delivery: Delivery,
    effects: Option<Effects>,
}

/// What a turn journals.
#[derive(Clone, Copy)]
enum Journals {
    /// The state that it writes, and the time if it is asked for.
    State,
    /// What it reads, before anything else, and whatever it does.
    Steps,
}

impl Service {
    /// Handles one record of `T` with a plain function of state and event.
    ///
    /// `decide` changes the state and returns the result, or refuses; then the state stays as it
    /// was. It runs again with the same arguments when an attempt is repeated, so it must depend
    /// on nothing else.
    pub async fn handle<T: Topic, S: State>(
        &self,
        ctx: &ObjectContext<'_>,
        record: Bytes,
        decide: impl FnOnce(&mut S, T::Event) -> Result<T::Result, Failure>,
    ) -> HandlerResult<()> {
        match self.turn::<T, S>(ctx, record, Journals::State).await? {
            Some(turn) => turn.decide(decide).await,
            None => Ok(()),
        }
    }

    /// As [`Self::handle`], for decisions that emit events, set timers or answer other commands
    /// too. `None`: this command is answered by a later event.
    pub async fn handle_with<T: Topic, S: State>(
        &self,
        ctx: &ObjectContext<'_>,
        record: Bytes,
        decide: impl FnOnce(&mut S, T::Event, &mut Effects) -> Result<Option<T::Result>, Failure>,
    ) -> HandlerResult<()> {
        match self.receive::<T, S>(ctx, record).await? {
            Some(turn) => turn.decide_with(decide).await,
            None => Ok(()),
        }
    }

    /// Takes one record of `T`; `None` when nothing is left to do with it: it was handled before,
    /// answered from memory, refused or kept as a dead letter.
    pub async fn receive<'a, T: Topic, S: State>(
        &'a self,
        ctx: &'a ObjectContext<'_>,
        record: Bytes,
    ) -> HandlerResult<Option<Turn<'a, T, S>>> {
        self.turn(ctx, record, Journals::Steps).await
    }

    async fn turn<'a, T: Topic, S: State>(
        &'a self,
        ctx: &'a ObjectContext<'_>,
        record: Bytes,
        journals: Journals,
    ) -> HandlerResult<Option<Turn<'a, T, S>>> {
        let beginning = beginning::take();
        if let Beginning::Written(entry) = beginning {
            // All is published; only the end is missing. What is journaled is said again.
            ctx.set(STATE_ENTRY, entry);
            return Ok(None);
        }
        let to = (T::DECLARATION, self.handler::<T>());
        let position = position(ctx.headers())?;
        let mut delivery = Delivery::new(self, to, ctx.key(), position, record);
        let mut cancelled = None;
        let entry = match (journals, beginning) {
            (Journals::State, Beginning::Sent(entry)) => {
                delivery.state_is_journaled = false;
                entry
            }
            // A cancellation comes once, in place of what is waited for. Its answer needs the state.
            _ => loop {
                match ctx.get(STATE_ENTRY).await {
                    Ok(entry) => break entry,
                    Err(error) => match Failure::of_terminal(&error) {
                        failure if failure.code == code::CANCELLED => cancelled = Some(failure),
                        _ => return Err(error.into()),
                    },
                }
            },
        };
        let mut stored = Stored::<S>::parse(entry.as_ref())?;
        let mut bookkeeping = stored
            .bookkeeping
            .take()
            .unwrap_or_else(|| Bookkeeping::begin(&delivery.position));
        match bookkeeping.accept_position(&delivery.position, T::DECLARATION.generation) {
            Input::New => delivery.bookkeeping = Some(bookkeeping),
            Input::Redelivered => {
                skip(&delivery, "redelivered");
                return Ok(None);
            }
            Input::OldGeneration => {
                return Err(delivery.retry(format!(
                    "{}: the object has seen a later generation of this topic; raise \
                     `generation` in its topic file",
                    delivery.position
                )));
            }
        }
        let admitted = match (delivery.admit::<T>(ctx).await?, cancelled) {
            (Admitted::Event(_), Some(failure)) => Admitted::Refused(failure),
            (admitted, _) => admitted,
        };
        let outcome = match admitted {
            Admitted::Event(event) => {
                return Ok(Some(Turn {
                    event,
                    ctx,
                    stored,
                    entry,
                    delivery,
                    effects: None,
                }));
            }
            Admitted::Known => {
                skip(&delivery, "duplicate-id");
                None
            }
            Admitted::Answered => Some("ok".into()),
            Admitted::Refused(failure) => {
                delivery.refuse(&failure).await?;
                Some(failure.code)
            }
        };
        write(ctx, stored, &mut delivery)?;
        if let Some(outcome) = outcome {
            delivery.finished(&outcome);
        }
        Ok(None)
    }
}

/// Where the record of this invocation stands.
pub(crate) fn position(headers: &HeaderMap) -> Result<Position, TerminalError> {
    Position::from_headers(|name| headers.get(name).map(String::as_str))
        .map_err(|error| TerminalError::new_with_code(400, error.to_string()))
}

/// Writes the state with its bookkeeping.
fn write<S: State>(
    ctx: &ObjectContext<'_>,
    mut stored: Stored<S>,
    delivery: &mut Delivery,
) -> HandlerResult<()> {
    stored.bookkeeping = delivery.bookkeeping.take();
    ctx.set(STATE_ENTRY, stored.to_bytes()?);
    Ok(())
}

/// Counts a record that is not handled again.
fn skip(delivery: &Delivery, reason: &str) {
    let labels = [delivery.declaration.name, reason];
    metrics().events_skipped.with_label_values(&labels).inc();
    tracing::debug!(position = %delivery.position, reason, "event skipped");
}

impl<'a, T: Topic, S: State> Turn<'a, T, S> {
    /// The object's state. It is written when the turn ends with a result.
    pub fn state(&mut self) -> &mut S {
        &mut self.stored.state
    }

    /// The event's `meta`, or what stands in for it.
    pub fn meta(&self) -> &EventMeta {
        &self.delivery.meta
    }

    /// When the event was recorded, in milliseconds since 1970-01-01 UTC: the same at every attempt.
    pub fn recorded_ms(&self) -> i64 {
        self.delivery.position.timestamp_ms
    }

    /// Gives no number to what this turn publishes, because it depends on something outside that is
    /// not journaled: a repeated attempt may publish other bytes under the same id. Readers drop the
    /// second by its id, as they do with events of services; under one number they would take it for
    /// a conflict.
    pub fn without_seq(&mut self) {
        self.delivery.numbered = false;
    }

    /// What is done before the turn ends: journaled emits, requests and waits.
    pub fn steps(&self) -> Steps<'a> {
        Steps::new(self.ctx, Arc::clone(self.delivery.origin()))
    }

    /// What happens when the turn ends with a result, before the result is published.
    pub fn effects(&mut self) -> &mut Effects {
        let delivery = &self.delivery;
        self.effects.get_or_insert_with(|| Effects::of(delivery))
    }

    /// Decides by a plain function of state and event, and ends the turn.
    pub async fn decide(
        self,
        decide: impl FnOnce(&mut S, T::Event) -> Result<T::Result, Failure>,
    ) -> HandlerResult<()> {
        self.decided(|state, event, _| decide(state, event).map(Some))
            .await
    }

    /// Decides by a plain function of state and event with effects, and ends the turn.
    pub async fn decide_with(
        mut self,
        decide: impl FnOnce(&mut S, T::Event, &mut Effects) -> Result<Option<T::Result>, Failure>,
    ) -> HandlerResult<()> {
        self.effects();
        self.decided(|state, event, effects| match effects {
            Some(effects) => decide(state, event, effects),
            None => Ok(None),
        })
        .await
    }

    async fn decided(
        mut self,
        decide: impl FnOnce(
            &mut S,
            T::Event,
            Option<&mut Effects>,
        ) -> Result<Option<T::Result>, Failure>,
    ) -> HandlerResult<()> {
        let (state, event) = (&mut self.stored.state, self.event.clone());
        let effects = self.effects.as_mut();
        // A panic is the handler's fault and would only happen again.
        let decided = catch_unwind(AssertUnwindSafe(|| decide(state, event, effects)));
        let outcome = decided.unwrap_or_else(|_| {
            Err(Failure::new(
                code::HANDLER_FAILED,
                "the handler panicked; see its log, mend it and replay the dead letter",
            ))
        });
        self.end(outcome).await
    }

    /// Ends the turn with a result.
    pub async fn answer(self, result: impl Into<T::Result>) -> HandlerResult<()> {
        self.end(Ok(Some(result.into()))).await
    }

    /// Ends the turn without a result: a later event answers the command at its
    /// [`Effects::return_address`].
    pub async fn answer_later(self) -> HandlerResult<()> {
        self.end(Ok(None)).await
    }

    /// Ends the turn with a failure: `RequestFailed` for a command, a dead letter for a fact. The
    /// state stays as it was before the event, and there are no effects.
    pub async fn fail(self, failure: Failure) -> HandlerResult<()> {
        self.end(Err(failure)).await
    }

    /// Ends the turn with what its steps came to.
    pub async fn finish(self, result: StepResult<impl Into<T::Result>>) -> HandlerResult<()> {
        match result {
            Ok(result) => self.answer(result).await,
            Err(StepError::Failed(failure)) => self.fail(failure).await,
            Err(StepError::Attempt(error)) => Err(error),
        }
    }

    async fn end(mut self, outcome: Result<Option<T::Result>, Failure>) -> HandlerResult<()> {
        let outcome = match outcome {
            Ok(result) => {
                let effects = self.effects.take();
                match effects::end(self.ctx, &mut self.delivery, effects, result).await {
                    Ok(()) => Ok(()),
                    Err(Unpublished::Never(failure)) => Err(failure),
                    Err(Unpublished::Retry(error)) => return Err(error),
                }
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => {
                write(self.ctx, self.stored, &mut self.delivery)?;
                self.delivery.finished("ok");
            }
            Err(failure) => {
                self.delivery.refuse(&failure).await?;
                let unchanged = Stored::<S>::parse(self.entry.as_ref())?;
                write(self.ctx, unchanged, &mut self.delivery)?;
                self.delivery.finished(&failure.code);
            }
        }
        Ok(())
    }
}
