//! The turn of a workflow's shared handler or of a service: it reads no state of its own and ends
//! with an answer.
//!
//! It keeps no bookkeeping, so a record that is delivered twice is answered twice, with the same
//! id: readers drop the copy. Its answers have no `seq`.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use bytes::Bytes;
use millstream_events::{EventMeta, Topic};
use restate_sdk::context::HeaderMap;
use restate_sdk::prelude::*;

use crate::codec::Digested;
use crate::failure::Failure;
use crate::lane::context::Journal;
use crate::lane::keyed::position;
use crate::lane::{Handled, Handling};
use crate::process::outputs::Outputs;
use crate::process::{Decided, End, Stateless, Verdict, check};
use crate::record::source_offset::SourceOffset;
use crate::service::Service;
use crate::steps::{StepError, StepResult, Steps};

/// An event that is to be handled now by a shared handler or a service.
pub struct SharedTurn<'a, T: Topic> {
    /// The event.
    pub event: T::Event,
    ctx: &'a dyn Journal<'a>,
    pub(crate) handled: Handled,
    outputs: Option<Outputs>,
}

impl Service {
    /// Takes one record of `T` in a shared handler; `None` when it was refused, kept as a dead letter
    /// or passed over.
    pub async fn receive_shared<'a, T: Topic>(
        &self,
        ctx: &'a SharedWorkflowContext<'_>,
        record: Bytes,
    ) -> HandlerResult<Option<SharedTurn<'a, T>>> {
        let position = position(ctx.headers(), ctx.invocation_id())?;
        self.shared_turn(ctx, (ctx.key(), position), record, Digested::WithKey)
            .await
    }

    /// The same in a handler of a service. A service has no keys: the record's own counts.
    pub async fn receive_in_service<'a, T: Topic>(
        &self,
        ctx: &'a Context<'_>,
        record: Bytes,
    ) -> HandlerResult<Option<SharedTurn<'a, T>>> {
        let key = record_key(ctx.headers());
        let position = position(ctx.headers(), ctx.invocation_id())?;
        self.shared_turn(ctx, (&key, position), record, Digested::WithKey)
            .await
    }

    pub(crate) async fn shared_turn<'a, T: Topic>(
        &self,
        ctx: &'a dyn Journal<'a>,
        (key, position): (&str, SourceOffset),
        record: Bytes,
        digested: Digested,
    ) -> HandlerResult<Option<SharedTurn<'a, T>>> {
        let received = self.received::<T>(key, position, record);
        let handling = Handling::begin(&self.pipeline.shared);
        // There is no state that would have to come first.
        let facts = handling.facts(ctx, &received, digested, true).await?;
        let (checked, verdict) = check(handling.shared.rules(), Arc::new(received), facts, None);
        let handled = Handled::new(handling, checked);
        let end = match verdict {
            Verdict::Handle(event) => {
                return Ok(Some(SharedTurn {
                    event,
                    ctx,
                    handled,
                    outputs: None,
                }));
            }
            Verdict::Skip(reason) => End::Skip(reason),
            Verdict::Repeat(before) => End::Repeat(before),
            Verdict::Refuse(failure) => End::Refuse(failure),
        };
        handled.end(Some(ctx), &mut Stateless, end).await?;
        Ok(None)
    }
}

/// The record's key, as the engine hands it over where handlers have none of their own.
pub(crate) fn record_key(headers: &HeaderMap) -> String {
    let key = headers.get("kafka.key").map(String::as_str);
    of_base64(key.unwrap_or_default())
}

/// A key in the engine's form of base64; what is no text is empty.
pub(crate) fn of_base64(key: &str) -> String {
    let key = BASE64_URL_SAFE.decode(key).ok();
    let key = key.and_then(|key| String::from_utf8(key).ok());
    key.unwrap_or_default()
}

impl<'a, T: Topic> SharedTurn<'a, T> {
    /// The event's `meta`, or what stands in for it.
    pub fn meta(&self) -> &EventMeta {
        &self.handled.checked.meta
    }

    /// When the event was recorded, in milliseconds since 1970-01-01 UTC: the same at every attempt.
    pub fn recorded_ms(&self) -> i64 {
        self.handled.checked.recorded_ms
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

    /// Ends the turn with a result.
    pub async fn answer(mut self, result: impl Into<T::Result>) -> HandlerResult<()> {
        let decided = Decided::of((Some(result.into()), self.outputs.take()));
        self.end(decided.map_or_else(End::Refuse, End::Answer))
            .await
    }

    /// Ends the turn with a result that is encoded already, with `meta` null.
    pub(crate) async fn answer_encoded(self, name: String, value: Vec<u8>) -> HandlerResult<()> {
        match self.handled.checked.reply {
            Some(_) => self.end(End::Encoded(name, value)).await,
            None => Ok(()),
        }
    }

    /// Ends the turn with a failure: `RequestFailed` for a command, a dead letter for a fact.
    pub async fn fail(self, failure: Failure) -> HandlerResult<()> {
        self.end(End::Refuse(failure)).await
    }

    /// Ends the turn with what its steps came to.
    pub async fn finish(self, result: StepResult<impl Into<T::Result>>) -> HandlerResult<()> {
        match result {
            Ok(result) => self.answer(result).await,
            Err(StepError::Failed(failure)) => self.fail(failure).await,
            Err(StepError::Attempt(error)) => Err(error),
        }
    }

    async fn end(self, end: End) -> HandlerResult<()> {
        self.handled.end(Some(self.ctx), &mut Stateless, end).await
    }
}
