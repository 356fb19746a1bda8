//! A keyed handler's turn: from the raw record to the published answer and the written state.
//!
//! ```text
//! record ─ decode ─ input rule ─ reply_to, expires_at ─ idempotency key ─ decide ─ publish ─ state
//!             └ dead letter          └────────── RequestFailed ──────────────┘
//! ```
//!
//! From top to bottom it is read here, in `codec/decode.rs`, `process/check.rs`, `process/decide.rs`,
//! `process/ending.rs`, `process/draft.rs` and `lane/handled.rs`; how a request of Restate's comes to
//! the handler, in `lane/attempt.rs`.
//!
//! The result is acknowledged by Kafka before the state is written, so a crash in between repeats
//! the event with the same state and publishes the same bytes again, which readers drop by `seq`.
//!
//! What Restate writes to its log per event: the invocation, its deployment, `set`, output and end:
//! five records, one of them ours. Where a turn may journal more than its state, it reads it by `get`,
//! a sixth. An event with `expires_at` costs that and two more: the time it is compared with is
//! journaled.

use std::sync::Arc;

use bytes::Bytes;
use millstream_events::{EventMeta, Topic};
use restate_sdk::context::HeaderMap;
use restate_sdk::prelude::*;

use crate::codec::Digested;
use crate::failure::{self, Failure};
use crate::lane::context::Journal;
use crate::lane::protocol::EagerState;
use crate::lane::{Handled, Handling, attempt, skip};
use crate::process::outputs::Outputs;
use crate::process::{Decide, Decided, End, Kept, Object, Received, Verdict, check, decided};
use crate::record::source_offset::SourceOffset;
use crate::service::Service;
use crate::state::State;
use crate::state::dedup::Input;
use crate::steps::{StepError, StepResult, Steps};

/// An event that is to be handled now, with the state of its object.
pub struct Turn<'a, T: Topic, S: State> {
    /// The event.
    pub event: T::Event,
    ctx: &'a dyn Journal<'a>,
    object: Object<S>,
    outputs: Option<Outputs>,
    handled: Handled,
}

/// What a turn journals.
#[derive(Clone, Copy)]
pub(crate) enum Journals {
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
        decide: impl FnOnce(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure>,
    ) -> HandlerResult<()> {
        match self.receive::<T, S>(ctx, record).await? {
            Some(turn) => turn.decide_with(decide).await,
            None => Ok(()),
        }
    }

    /// Takes one record of `T`; `None` when nothing is left to do with it: it was handled before,
    /// answered from memory, refused, kept as a dead letter or passed over.
    pub async fn receive<'a, T: Topic, S: State>(
        &'a self,
        ctx: &'a ObjectContext<'_>,
        record: Bytes,
    ) -> HandlerResult<Option<Turn<'a, T, S>>> {
        self.turn(ctx, record, Journals::Steps).await
    }

    /// As [`Self::receive`], for a turn that journals this.
    pub(crate) async fn turn<'a, T: Topic, S: State>(
        &'a self,
        ctx: &'a ObjectContext<'_>,
        record: Bytes,
        journals: Journals,
    ) -> HandlerResult<Option<Turn<'a, T, S>>> {
        let beginning = attempt::eager_state();
        let handling = Handling::begin(&self.pipeline.shared);
        let received = || {
            let position = position(ctx.headers(), ctx.invocation_id())?;
            Ok(self.received::<T>(ctx.key(), position, record))
        };
        begin(handling, ctx, beginning, received, journals).await
    }

    /// A record of `T` for this service.
    pub(crate) fn received<T: Topic>(
        &self,
        key: &str,
        position: SourceOffset,
        record: Bytes,
    ) -> Received {
        Received {
            declaration: T::DECLARATION,
            service: self.name,
            handler: self.handler::<T>(),
            key: key.into(),
            position,
            shard_epoch: 0,
            record,
        }
    }
}

/// Begins a turn; `None` when nothing is left to do with the record, all of which is done then.
pub(crate) async fn begin<'a, T: Topic, S: State>(
    handling: Handling,
    ctx: &'a dyn Journal<'a>,
    beginning: EagerState,
    received: impl FnOnce() -> HandlerResult<Received>,
    journals: Journals,
) -> HandlerResult<Option<Turn<'a, T, S>>> {
    let mut cancelled = None;
    let (entry, is_journaled) = match (journals, beginning) {
        (_, EagerState::AlreadySet(entry)) => {
            // All is published; only the end is missing. What is journaled is said again.
            ctx.write_state(entry);
            return Ok(None);
        }
        (Journals::State, EagerState::Eager(entry)) => (entry, false),
        // A cancellation comes once, in place of what is waited for. Its answer needs the state.
        _ => loop {
            match ctx.entry().await {
                Ok(entry) => break (entry, true),
                Err(error) => match Failure::of_terminal(&error) {
                    failure if failure.code == failure::CANCELLED => cancelled = Some(failure),
                    _ => return Err(error.into()),
                },
            }
        },
    };
    let received = received()?;
    let mut object = Object::<S>::parse(entry)?;
    match object.accept(&received) {
        Input::New => {}
        Input::Redelivered => {
            skip(&received, "redelivered");
            return Ok(None);
        }
        Input::OldGeneration => {
            let why = format!(
                "{}: the object has seen a later generation of this topic; raise `generation` in \
                 its topic file",
                received.position
            );
            return Err(handling.retry(&received, None, why));
        }
    }
    let facts = handling.facts(ctx, &received, Digested::WithKey, is_journaled);
    let facts = facts.await?;
    let bookkeeping = object.bookkeeping(&received);
    let (checked, verdict) = check(
        handling.shared.rules(),
        Arc::new(received),
        facts,
        bookkeeping,
    );
    let handled = Handled::new(handling, checked);
    let verdict = match (verdict, cancelled) {
        (Verdict::Handle(_), Some(failure)) => Verdict::Refuse(failure),
        (verdict, _) => verdict,
    };
    let end = match verdict {
        Verdict::Handle(event) => {
            return Ok(Some(Turn {
                event,
                ctx,
                object,
                outputs: None,
                handled,
            }));
        }
        Verdict::Skip(reason) => End::Skip(reason),
        Verdict::Repeat(before) => End::Repeat(before),
        Verdict::Refuse(failure) => End::Refuse(failure),
    };
    handled.end(Some(ctx), &mut object, end).await?;
    Ok(None)
}

/// Where the record of this invocation stands, and when it was recorded.
pub(crate) fn position(
    headers: &HeaderMap,
    invocation: &str,
) -> Result<SourceOffset, TerminalError> {
    SourceOffset::from_headers(invocation, |name| headers.get(name).map(String::as_str))
        .map_err(|error| TerminalError::new_with_code(400, error.to_string()))
}

impl<'a, T: Topic, S: State> Turn<'a, T, S> {
    /// The object's state. It is written when the turn ends with a result.
    pub fn state(&mut self) -> &mut S {
        &mut self.object.stored.state
    }

    /// The event's `meta`, or what stands in for it.
    pub fn meta(&self) -> &EventMeta {
        &self.handled.checked.meta
    }

    /// When the event was recorded, in milliseconds since 1970-01-01 UTC: the same at every attempt,
    /// and never before another event that the object has handled.
    pub fn recorded_ms(&self) -> i64 {
        self.handled.checked.recorded_ms
    }

    /// Refuses an event that was sent by anybody else than `owner`, as far as that is proven.
    pub fn owned_by(&self, owner: &str) -> Result<(), Failure> {
        let proofs = &self.handled.handling.shared.proofs;
        proofs.owned_by(self.meta(), owner)
    }

    /// Where the event stands.
    pub(crate) fn position(&self) -> &SourceOffset {
        &self.handled.checked.received.position
    }

    /// An attempt that is to be repeated.
    pub(crate) fn retry(&self, error: impl Into<HandlerError> + std::fmt::Display) -> HandlerError {
        self.handled.again(error)
    }

    /// Gives no number to what this turn publishes, because it depends on something outside that is
    /// not journaled: a repeated attempt may publish other bytes under the same id. Readers drop the
    /// second by its id, as they do with events of services; under one number they would take it for
    /// a conflict.
    pub fn without_seq(&mut self) {
        self.handled.is_sequenced = false;
    }

    /// What is done before the turn ends: journaled emits, requests and waits.
    pub fn steps(&self) -> Steps<'a> {
        Steps::new(self.ctx, self.handled.origin())
    }

    /// What happens when the turn ends with a result, before the result is published.
    pub fn outputs(&mut self) -> &mut Outputs {
        let checked = &self.handled.checked;
        self.outputs.get_or_insert_with(|| Outputs::of(checked))
    }

    /// Decides by a plain function of state and event, and ends the turn.
    pub async fn decide(
        self,
        decide: impl FnOnce(&mut S, T::Event) -> Result<T::Result, Failure>,
    ) -> HandlerResult<()> {
        let decide =
            |state: &mut S, event: T::Event, _: &mut Outputs| decide(state, event).map(Some);
        self.decide_by(decide).await
    }

    /// Decides by a plain function of state and event with outputs, and ends the turn.
    pub async fn decide_with(
        self,
        decide: impl FnOnce(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure>,
    ) -> HandlerResult<()> {
        self.decide_by(decide).await
    }

    /// As [`Self::decide_with`], by a decision of any type.
    pub async fn decide_by(mut self, decide: impl Decide<T, S>) -> HandlerResult<()> {
        let state = &mut self.object.stored.state;
        let (outputs, checked) = (self.outputs.take(), &self.handled.checked);
        let decided = decided::<T, S>(state, self.event, outputs, checked, decide);
        let end = decided.map_or_else(End::Refuse, End::Answer);
        self.handled
            .end(Some(self.ctx), &mut self.object, end)
            .await
    }

    /// Ends the turn with a result.
    pub async fn answer(self, result: impl Into<T::Result>) -> HandlerResult<()> {
        self.end(Ok(Some(result.into()))).await
    }

    /// Ends the turn without a result: a later event answers the command at its
    /// [`Outputs::return_address`].
    pub async fn answer_later(self) -> HandlerResult<()> {
        self.end(Ok(None)).await
    }

    /// Ends the turn with a failure: `RequestFailed` for a command, a dead letter for a fact. The
    /// state stays as it was before the event, and there are no outputs.
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

    async fn end(mut self, result: Result<Option<T::Result>, Failure>) -> HandlerResult<()> {
        let outputs = self.outputs.take();
        let decided = result.and_then(|result| Decided::of((result, outputs)));
        let end = decided.map_or_else(End::Refuse, End::Answer);
        self.handled
            .end(Some(self.ctx), &mut self.object, end)
            .await
    }
}
