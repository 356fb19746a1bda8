//! The turn of a workflow's shared handler or of a service: it reads no state of its own and ends
//! with an answer.
//!
//! It keeps no bookkeeping, so a record that is delivered twice is answered twice, with the same
//! id: readers drop the copy. Its answers have no `seq`.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use bytes::Bytes;
use millstream_schemas::EventMeta;
use millstream_topics::Topic;
use restate_sdk::context::HeaderMap;
use restate_sdk::prelude::*;

use crate::admission::Admitted;
use crate::code::Failure;
use crate::delivery::{Body, Delivery, Unpublished};
use crate::effects::{self, Effects};
use crate::journal::Journal;
use crate::position::Position;
use crate::service::Service;
use crate::step::{StepError, StepResult, Steps};
use crate::turn::position;

/// An event that is to be handled now by a shared handler or a service.
pub struct SharedTurn<'a, T: Topic> {
    /// The event.
    pub event: T::Event,
    ctx: &'a dyn Journal<'a>,
    pub(crate) delivery: Delivery,
    effects: Option<Effects>,
}

impl Service {
    /// Takes one record of `T` in a shared handler; `None` when it was refused or kept as a dead
    /// letter.
    pub async fn receive_shared<'a, T: Topic>(
        &self,
        ctx: &'a SharedWorkflowContext<'_>,
        record: Bytes,
    ) -> HandlerResult<Option<SharedTurn<'a, T>>> {
        let position = position(ctx.headers())?;
        self.shared_turn(ctx, (ctx.key(), position), record).await
    }

    /// The same in a handler of a service. A service has no keys: the record's own counts.
    pub async fn receive_in_service<'a, T: Topic>(
        &self,
        ctx: &'a Context<'_>,
        record: Bytes,
    ) -> HandlerResult<Option<SharedTurn<'a, T>>> {
        let (key, position) = (record_key(ctx.headers()), position(ctx.headers())?);
        self.shared_turn(ctx, (&key, position), record).await
    }

    async fn shared_turn<'a, T: Topic>(
        &self,
        ctx: &'a dyn Journal<'a>,
        (key, position): (&str, Position),
        record: Bytes,
    ) -> HandlerResult<Option<SharedTurn<'a, T>>> {
        let to = (T::DECLARATION, self.handler::<T>());
        let mut delivery = Delivery::new(self, to, key, position, record);
        match delivery.admit::<T>(ctx).await? {
            Admitted::Event(event) => Ok(Some(SharedTurn {
                event,
                ctx,
                delivery,
                effects: None,
            })),
            Admitted::Refused(failure) => {
                delivery.refuse(&failure).await?;
                delivery.finished(&failure.code);
                Ok(None)
            }
            Admitted::Known | Admitted::Answered => Ok(None),
        }
    }
}

/// The record's key, as the engine hands it over where handlers have none of their own.
pub(crate) fn record_key(headers: &HeaderMap) -> String {
    let key = headers.get("kafka.key").map(String::as_str);
    let key = BASE64_URL_SAFE.decode(key.unwrap_or_default());
    let key = key.ok().and_then(|key| String::from_utf8(key).ok());
    key.unwrap_or_default()
}

impl<'a, T: Topic> SharedTurn<'a, T> {
    /// The event's `meta`, or what stands in for it.
    pub fn meta(&self) -> &EventMeta {
        &self.delivery.meta
    }

    /// When the event was recorded, in milliseconds since 1970-01-01 UTC: the same at every attempt.
    pub fn recorded_ms(&self) -> i64 {
        self.delivery.position.timestamp_ms
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

    /// Ends the turn with a result.
    pub async fn answer(mut self, result: impl Into<T::Result>) -> HandlerResult<()> {
        let (effects, result) = (self.effects.take(), Some(result.into()));
        match effects::end(self.ctx, &mut self.delivery, effects, result).await {
            Ok(()) => self.delivery.finished("ok"),
            Err(Unpublished::Never(failure)) => return self.fail(failure).await,
            Err(Unpublished::Retry(error)) => return Err(error),
        }
        Ok(())
    }

    /// Ends the turn with a result that is encoded already, with `meta` null.
    pub(crate) async fn answer_encoded(mut self, name: &str, value: &[u8]) -> HandlerResult<()> {
        let Some(reply) = self.delivery.reply.clone() else {
            return Ok(());
        };
        let published = self
            .delivery
            .publish(&reply, name, |_| {}, Body::Encoded(value));
        match published.await {
            Ok(_) => self.delivery.finished("ok"),
            Err(Unpublished::Never(failure)) => return self.fail(failure).await,
            Err(Unpublished::Retry(error)) => return Err(error),
        }
        Ok(())
    }

    /// Ends the turn with a failure: `RequestFailed` for a command, a dead letter for a fact.
    pub async fn fail(mut self, failure: Failure) -> HandlerResult<()> {
        self.delivery.refuse(&failure).await?;
        self.delivery.finished(&failure.code);
        Ok(())
    }

    /// Ends the turn with what its steps came to.
    pub async fn finish(self, result: StepResult<impl Into<T::Result>>) -> HandlerResult<()> {
        match result {
            Ok(result) => self.answer(result).await,
            Err(StepError::Failed(failure)) => self.fail(failure).await,
            Err(StepError::Attempt(error)) => Err(error),
        }
    }
}
