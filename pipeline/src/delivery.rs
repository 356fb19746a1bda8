//! One event delivered to a keyed handler: what it is answered, and where it goes if it cannot be
//! handled. The part of [`crate::turn`] that does not depend on the event's type.

use std::fmt::Display;

use bytes::Bytes;
use millstream_schemas::{EventMeta, RequestFailed};
use millstream_topics::Declaration;
use restate_sdk::prelude::*;

use crate::bookkeeping::Bookkeeping;
use crate::code::{self, Failure};
use crate::codec::{DecodeError, EncodeError, EncodedBody, Payload, with_meta};
use crate::dead_letter::{Reason, UNAVAILABLE, dead_letter};
use crate::digest::derived_id;
use crate::metrics::metrics;
use crate::outgoing;
use crate::position::Position;
use crate::publish::{PublishError, Record};
use crate::remembered::Remembered;
use crate::service::Shared;
use crate::state::{STATE_ENTRY, State, Stored};
use crate::wire;

/// Topic and key that an answer goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub topic: String,
    pub key: String,
}

/// What an idempotency key and the request with it come to.
#[derive(Debug, Clone)]
pub(crate) struct IdempotentRequest {
    pub key: String,
    pub digest: [u8; 32],
}

/// Why something could not be published.
pub(crate) enum Unpublished {
    /// It never can be.
    Never(Failure),
    /// Not now: Restate is to repeat the attempt.
    Retry(HandlerError),
}

pub(crate) struct Delivery<'a> {
    pub shared: &'a Shared,
    pub ctx: &'a ObjectContext<'a>,
    pub declaration: &'static Declaration,
    pub service: &'static str,
    /// `Service/handler`.
    pub handler: String,
    pub position: Position,
    pub record: Bytes,
    pub bookkeeping: Bookkeeping,
    /// The event's own `meta`, or what stands in for it.
    pub meta: EventMeta,
    /// Where the answer goes; `None` when there is none to give.
    pub reply: Option<Address>,
    pub idempotent: Option<IdempotentRequest>,
    /// How many events this one has caused so far.
    pub outputs: u32,
    /// Whether the event's id was accepted into the object's window.
    pub id_accepted: bool,
}

impl Delivery<'_> {
    /// Publishes the answer and, for an idempotent request, remembers it.
    pub async fn answer(&mut self, body: &EncodedBody) -> Result<(), Unpublished> {
        let Some(reply) = self.reply.clone() else {
            return Ok(());
        };
        let id = self
            .publish(&reply, body.schema.full_name, None, Body::New(body))
            .await?;
        if let Some(request) = self.idempotent.take() {
            let value = self
                .shared
                .codec
                .join(body, None)
                .await
                .map_err(|error| self.unencoded(error))?;
            self.bookkeeping.remember(
                self.declaration,
                &request.key,
                &request.digest,
                self.position.timestamp_ms,
                (&id, &value),
            );
        }
        Ok(())
    }

    /// Publishes the answer that the same request was given before.
    pub async fn answer_again(&mut self, before: Remembered) -> Result<(), Unpublished> {
        let Some(reply) = self.reply.clone() else {
            return Ok(());
        };
        let damaged = |error: String| {
            let message = format!("a remembered result is damaged: {error}");
            Unpublished::Never(Failure::new(code::HANDLER_FAILED, message))
        };
        let value = before.value();
        let (schema_id, body) = wire::split(&value).map_err(damaged)?;
        let writer = match self.shared.codec.writer(schema_id).await {
            Ok(writer) => writer,
            Err(DecodeError::Registry(error)) => return Err(Unpublished::Retry(self.retry(error))),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let payload = Payload::new(&writer, body);
        let original_id = Some(before.result_id());
        self.publish(
            &reply,
            payload.full_name(),
            original_id,
            Body::Encoded(&value),
        )
        .await?;
        metrics()
            .idempotent_answers
            .with_label_values(&[self.declaration.name])
            .inc();
        Ok(())
    }

    /// Answers a failure and keeps the record where that is due.
    ///
    /// A command that was understood and refused is answered; a fact, or a command that our side
    /// could not handle, becomes a dead letter.
    pub async fn refuse(&mut self, failure: &Failure) -> Result<(), HandlerError> {
        let failure = &failure.shortened();
        let is_kept = self.reply.is_none() || failure.keeps_dead_letter();
        if is_kept {
            self.keep(failure).await?;
        }
        let body = RequestFailed {
            code: failure.code.to_owned(),
            message: failure.message.clone(),
        };
        let body = match EncodedBody::of(&body) {
            Some(Ok(body)) => body,
            Some(Err(failure)) => return Err(failure.into()),
            None => return Ok(()),
        };
        if failure.may_be_repeated || failure.code == code::IDEMPOTENCY_MISMATCH {
            // The same request may come to something else, or this is not the same request.
            self.idempotent = None;
        }
        match self.answer(&body).await {
            Ok(()) => Ok(()),
            // Nor would it be at the next attempt, which must not go on for ever.
            Err(Unpublished::Never(failure)) if is_kept => {
                tracing::error!(%failure, position = %self.position, "a failure cannot be answered");
                Ok(())
            }
            Err(Unpublished::Never(failure)) => self.keep(&failure).await,
            Err(Unpublished::Retry(error)) => Err(error),
        }
    }

    /// Writes the record to the dead letter topic, and forgets its id: once the cause is mended the
    /// same event comes again, and must be handled then.
    async fn keep(&mut self, failure: &Failure) -> Result<(), HandlerError> {
        if std::mem::take(&mut self.id_accepted) {
            self.bookkeeping.forget_id();
        }
        if !self.declaration.dead_letters {
            return Ok(());
        }
        let read = self
            .shared
            .originals
            .read(&self.position, self.record.clone());
        let original = match read.await.map_err(|error| self.retry(error))? {
            Some(original) => original,
            None => Record {
                key: Some(self.ctx.key().as_bytes().to_vec()),
                value: Some(self.record.to_vec()),
                headers: vec![(UNAVAILABLE.into(), Some(b"unavailable".to_vec()))],
                ..Record::default()
            },
        };
        let handler = self.handler.replace('/', ".");
        let reason = Reason {
            position: &self.position,
            handler: &self.handler,
            group: &format!("{}.{}.{handler}", self.shared.prefix, self.declaration.name),
            failure,
        };
        let letter = dead_letter(self.declaration.dead_letter_topic(), original, &reason);
        self.shared
            .publisher
            .publish(&letter)
            .await
            .map_err(|error| self.retry(error))?;
        let labels = [self.declaration.name, failure.code];
        metrics().dead_letters.with_label_values(&labels).inc();
        Ok(())
    }

    /// Publishes an event and returns its id, which is the same at every attempt.
    async fn publish(
        &mut self,
        to: &Address,
        full_name: &str,
        original_id: Option<String>,
        body: Body<'_>,
    ) -> Result<String, Unpublished> {
        let id = derived_id(&self.meta.id, &self.handler, self.outputs);
        // Only events under the object's own key are numbered: other keys have no end.
        let seq = (to.key == self.ctx.key()).then(|| self.bookkeeping.next_seq(&to.topic));
        let meta = EventMeta {
            source: format!("{}/{}", self.service, self.ctx.key()),
            time: self.position.timestamp_micros(),
            correlation_id: self.meta.correlation_id.clone(),
            causation_id: Some(self.meta.id.clone()),
            original_id,
            seq,
            epoch: seq.map(|_| self.bookkeeping.epoch.clone()),
            traceparent: self
                .meta
                .traceparent
                .as_deref()
                .and_then(|parent| outgoing::child_traceparent(parent, &id)),
            tracestate: self.meta.tracestate.clone(),
            id,
            ..EventMeta::default()
        };
        let published = match body {
            Body::New(body) => self
                .shared
                .codec
                .join(body, Some(&meta))
                .await
                .map_err(|error| self.unencoded(error)),
            Body::Encoded(value) => with_meta(value, &meta).map_err(Unpublished::Never),
        };
        let published = match published {
            Ok(value) => {
                let record = outgoing::record(&to.topic, &to.key, full_name, &meta, value);
                self.shared
                    .publisher
                    .publish(&record)
                    .await
                    .map_err(|error| match error {
                        PublishError::Record { .. } => Unpublished::Never(Failure::new(
                            code::HANDLER_FAILED,
                            format!("the result cannot be published: {error}"),
                        )),
                        PublishError::Infrastructure { .. } => {
                            Unpublished::Retry(self.retry(error))
                        }
                    })
            }
            Err(error) => Err(error),
        };
        match published {
            Ok(_) => {
                self.outputs += 1;
                Ok(meta.id)
            }
            Err(error) => {
                // The number is free again: nothing was published under it.
                if seq.is_some() {
                    self.bookkeeping.give_back_seq(&to.topic);
                }
                Err(error)
            }
        }
    }

    /// Writes the state with the bookkeeping, and counts nothing.
    pub fn remember<S: State>(&mut self, mut stored: Stored<S>) -> Result<(), HandlerError> {
        stored.bookkeeping = Some(std::mem::take(&mut self.bookkeeping));
        self.ctx.set(STATE_ENTRY, stored.to_bytes()?);
        Ok(())
    }

    /// Writes the state; the event is finished with it.
    pub fn save<S: State>(mut self, stored: Stored<S>, outcome: &str) -> Result<(), HandlerError> {
        self.remember(stored)?;
        let labels = [self.declaration.name, self.handler.as_str(), outcome];
        metrics().events.with_label_values(&labels).inc();
        let now = jiff::Timestamp::now().as_microsecond();
        let age = now.saturating_sub(self.meta.time);
        metrics()
            .event_duration
            .with_label_values(&[self.declaration.name])
            .observe(age.max(0) as f64 / 1e6);
        tracing::info!(
            event_id = self.meta.id,
            key = self.ctx.key(),
            topic = self.position.topic,
            partition = self.position.partition,
            offset = self.position.offset,
            correlation_id = self.meta.correlation_id,
            handler = self.handler,
            outcome,
            "event handled"
        );
        Ok(())
    }

    /// Counts an attempt that is to be repeated, and says why.
    pub fn retry(&self, error: impl Into<HandlerError> + Display) -> HandlerError {
        tracing::warn!(
            %error,
            key = self.ctx.key(),
            topic = self.position.topic,
            partition = self.position.partition,
            offset = self.position.offset,
            handler = self.handler,
            "attempt failed"
        );
        metrics()
            .retries
            .with_label_values(&[self.declaration.name])
            .inc();
        error.into()
    }

    fn unencoded(&self, error: EncodeError) -> Unpublished {
        match error {
            EncodeError::Event(failure) => Unpublished::Never(failure),
            EncodeError::Registry(error) => Unpublished::Retry(self.retry(error)),
        }
    }
}

enum Body<'a> {
    New(&'a EncodedBody),
    /// A whole value with `meta` null.
    Encoded(&'a [u8]),
}
