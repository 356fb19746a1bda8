//! One event delivered to a handler: what it is answered, and where it goes if it cannot be
//! handled. The part of [`crate::turn`] that does not depend on the event's type.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use millstream_schemas::{EventMeta, RequestFailed};
use millstream_topics::Declaration;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use restate_sdk::prelude::*;

use crate::attempts;
use crate::bookkeeping::Bookkeeping;
use crate::code::{self, Failure};
use crate::codec::{DecodeError, EncodeError, EncodedBody, Payload, with_meta};
use crate::dead_letter::{Reason, UNAVAILABLE, dead_letter};
use crate::group;
use crate::incoming::stand_in;
use crate::metrics::metrics;
use crate::origin::Origin;
use crate::outgoing;
use crate::position::Position;
use crate::publish::{PublishError, Record};
use crate::remembered::{IdempotentRequest, Remembered};
use crate::service::{Service, Shared};
use crate::telemetry;
use crate::trace::TraceContext;
use crate::wire;

/// Topic and key that an answer goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub topic: String,
    pub key: String,
}

/// Why something could not be published.
pub(crate) enum Unpublished {
    /// It never can be.
    Never(Failure),
    /// Not now: Restate is to repeat the attempt.
    Retry(HandlerError),
}

pub(crate) struct Delivery {
    pub shared: Arc<Shared>,
    pub declaration: &'static Declaration,
    pub service: &'static str,
    /// `Service/handler`.
    pub handler: String,
    /// Key of the object or workflow.
    pub key: String,
    pub position: Position,
    pub record: Bytes,
    /// `None` in handlers that keep no state: shared ones, and those of services.
    pub bookkeeping: Option<Bookkeeping>,
    /// The event's own `meta`, or what stands in for it.
    pub meta: EventMeta,
    /// Where the answer goes; `None` when there is none to give.
    pub reply: Option<Address>,
    pub idempotent: Option<IdempotentRequest>,
    /// Whether the event's id was accepted into the object's window.
    pub id_accepted: bool,
    /// Whether events under the object's own key are numbered.
    pub numbered: bool,
    /// Whether the journal has the state, which must come before anything else that it gets.
    pub state_is_journaled: bool,
    /// Made once `meta` is known.
    origin: OnceLock<Arc<Origin>>,
    /// When this attempt began.
    begun: SystemTime,
}

impl Delivery {
    pub fn new(
        service: &Service,
        (declaration, handler): (&'static Declaration, String),
        key: &str,
        position: Position,
        record: Bytes,
    ) -> Self {
        Self {
            shared: Arc::clone(&service.pipeline.shared),
            declaration,
            service: service.name,
            handler,
            key: key.to_owned(),
            meta: stand_in(&position),
            position,
            record,
            bookkeeping: None,
            reply: None,
            idempotent: None,
            id_accepted: false,
            numbered: true,
            state_is_journaled: true,
            origin: OnceLock::new(),
            begun: SystemTime::now(),
        }
    }

    /// Where the events come from that this one causes.
    pub fn origin(&self) -> &Arc<Origin> {
        self.origin.get_or_init(|| {
            Arc::new(Origin::new(
                Arc::clone(&self.shared),
                (self.service, &self.key, self.handler.clone()),
                self.meta.id.clone(),
                self.meta.clone(),
                self.position.timestamp_micros(),
            ))
        })
    }

    /// Publishes the answer and, for an idempotent request, remembers it.
    pub async fn answer(&mut self, body: &EncodedBody) -> Result<(), Unpublished> {
        let Some(reply) = self.reply.clone() else {
            return Ok(());
        };
        let id = self
            .publish(&reply, body.schema.full_name, |_| {}, Body::New(body))
            .await?;
        let request = self.idempotent.take();
        self.remember(request, &id, body).await
    }

    /// Remembers what an idempotent request was answered: the event `id` with this body.
    pub async fn remember(
        &mut self,
        request: Option<IdempotentRequest>,
        id: &str,
        body: &EncodedBody,
    ) -> Result<(), Unpublished> {
        if let (Some(request), Some(bookkeeping)) = (request, &mut self.bookkeeping) {
            let value = self.shared.codec.join(body, None).await;
            let value = match value {
                Ok(value) => value,
                Err(error) => return Err(self.unencoded(error)),
            };
            let now_ms = self.position.timestamp_ms;
            bookkeeping.remember(self.declaration, request, now_ms, (id, &value));
        }
        Ok(())
    }

    /// Publishes the answer that the same request was given before.
    pub async fn answer_again(&mut self, before: Remembered<'_>) -> Result<(), Unpublished> {
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
        let repeats = |meta: &mut EventMeta| meta.original_id = Some(before.result_id());
        let body = Body::Encoded(&value);
        self.publish(&reply, payload.full_name(), repeats, body)
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
            code: failure.code.clone().into_owned(),
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
        if let (true, Some(bookkeeping)) =
            (std::mem::take(&mut self.id_accepted), &mut self.bookkeeping)
        {
            bookkeeping.forget_id();
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
                key: Some(self.key.as_bytes().to_vec()),
                value: Some(self.record.to_vec()),
                headers: vec![(UNAVAILABLE.into(), Some(b"unavailable".to_vec()))],
                ..Record::default()
            },
        };
        let reason = Reason {
            position: &self.position,
            handler: &self.handler,
            group: &group::of_handler(&self.shared.prefix, self.declaration.name, &self.handler),
            failure,
        };
        let letter = dead_letter(self.declaration.dead_letter_topic(), original, &reason);
        self.shared
            .publisher
            .publish(&letter)
            .await
            .map_err(|error| self.retry(error))?;
        let labels = [self.declaration.name, &failure.code];
        metrics().dead_letters.with_label_values(&labels).inc();
        Ok(())
    }

    /// Publishes an event and returns its id, which is the same at every attempt. `adapt` changes its
    /// `meta` before it is numbered.
    pub async fn publish(
        &mut self,
        to: &Address,
        full_name: &str,
        adapt: impl FnOnce(&mut EventMeta),
        body: Body<'_>,
    ) -> Result<String, Unpublished> {
        let mut meta = self.origin().next_meta();
        adapt(&mut meta);
        // Only events under the object's own key are numbered: other keys have no end.
        let is_numbered = self.numbered && to.key == self.key;
        let numbering = self.bookkeeping.as_mut().filter(|_| is_numbered);
        if let Some(bookkeeping) = numbering {
            meta.seq = Some(bookkeeping.next_seq(&to.topic));
            meta.epoch = Some(bookkeeping.epoch.clone());
        }
        let published = match body {
            Body::New(body) => {
                let signed = self.shared.signed((&to.topic, &to.key), body, &meta);
                let value = self.shared.codec.join(body, Some(&signed)).await;
                value.map_err(|error| self.unencoded(error))
            }
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
            Ok(_) => Ok(meta.id),
            Err(error) => {
                // The numbers are free again: nothing was published under them.
                self.origin().give_back();
                if let (Some(_), Some(bookkeeping)) = (meta.seq, &mut self.bookkeeping) {
                    bookkeeping.give_back_seq(&to.topic);
                }
                Err(error)
            }
        }
    }

    /// Counts and logs that the event is finished.
    pub fn finished(&self, outcome: &str) {
        let labels = [self.declaration.name, self.handler.as_str(), outcome];
        metrics().events.with_label_values(&labels).inc();
        let now = jiff::Timestamp::now().as_microsecond();
        let age = now.saturating_sub(self.meta.time);
        metrics()
            .event_duration
            .with_label_values(&[self.declaration.name])
            .observe(age.max(0) as f64 / 1e6);
        metrics()
            .handling_duration
            .with_label_values(&[self.declaration.name])
            .observe(self.begun.elapsed().unwrap_or_default().as_secs_f64());
        let context = TraceContext::of_event(&self.meta);
        tracing::info!(
            event_id = self.meta.id,
            key = self.key,
            topic = self.position.topic,
            partition = self.position.partition,
            offset = self.position.offset,
            attempt = attempts::finished(&self.position),
            correlation_id = self.meta.correlation_id,
            principal = self.meta.principal,
            trace_id = format_args!("{:032x}", context.trace),
            handler = self.handler,
            outcome,
            "event handled"
        );
        if telemetry::is_on() {
            self.trace(context, outcome);
        }
    }

    /// Exports the span in which the event was handled.
    fn trace(&self, context: TraceContext, outcome: &str) {
        let position = &self.position;
        let mut attributes = telemetry::messaging(
            "process",
            (&position.topic, position.partition, position.offset),
            (&self.key, &self.meta.id, &self.meta.correlation_id),
        );
        let group = group::of_handler(&self.shared.prefix, &position.topic, &self.handler);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", group),
            KeyValue::new("millstream.handler", self.handler.clone()),
        ]);
        let source = format!("{}/{}", self.service, self.key);
        // A handler that waited has gone on in another attempt, perhaps days after the first.
        let begun = match self.origin().has_waited() {
            true => position.time(),
            false => self.begun,
        };
        telemetry::Span {
            kind: SpanKind::Consumer,
            name: format!("process {}", position.topic),
            context: context.handling(&self.meta.id, &source),
            parent: context.span,
            begun,
            attributes,
            error: (outcome != "ok").then(|| outcome.to_owned()),
        }
        .end();
    }

    /// Counts an attempt that is to be repeated, and says why.
    pub fn retry(&self, error: impl Into<HandlerError> + Display) -> HandlerError {
        tracing::warn!(
            %error,
            attempt = attempts::failed(&self.position),
            event_id = self.meta.id,
            correlation_id = self.meta.correlation_id,
            key = self.key,
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

    pub fn unencoded(&self, error: EncodeError) -> Unpublished {
        match error {
            EncodeError::Event(failure) => Unpublished::Never(failure),
            EncodeError::Registry(error) => Unpublished::Retry(self.retry(error)),
        }
    }
}

pub(crate) enum Body<'a> {
    New(&'a EncodedBody),
    /// A whole value with `meta` null.
    Encoded(&'a [u8]),
}
