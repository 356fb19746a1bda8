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
//! What Restate writes to its log per event: the invocation, its deployment, `get`, `set`, output
//! and end: six records, two of them ours. An event with `expires_at` costs two more: the time it
//! is compared with is journaled.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use millstream_schemas::EventMeta;
use millstream_topics::Topic;
use restate_sdk::prelude::*;

use crate::bookkeeping::{Bookkeeping, Idempotency, Input};
use crate::code::{self, Failure};
use crate::codec::{DecodeError, Decoded, EncodedBody};
use crate::delivery::{Address, Delivery, IdempotentRequest, Unpublished};
use crate::incoming::{filled, stand_in};
use crate::metrics::metrics;
use crate::position::Position;
use crate::service::Service;
use crate::state::{STATE_ENTRY, State, Stored};

/// An event that is to be handled now, with the state of its object.
pub struct Turn<'a, T: Topic, S: State> {
    /// The event.
    pub event: T::Event,
    stored: Stored<S>,
    entry: Option<Bytes>,
    delivery: Delivery<'a>,
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
        match self.receive::<T, S>(ctx, record).await? {
            Some(turn) => turn.decide(decide).await,
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
        let position = Position::from_headers(|name| ctx.headers().get(name).map(String::as_str))
            .map_err(|error| TerminalError::new_with_code(400, error.to_string()))?;
        let entry: Option<Bytes> = ctx.get(STATE_ENTRY).await?;
        let mut stored = Stored::<S>::parse(entry.as_ref())?;
        let bookkeeping = stored
            .bookkeeping
            .take()
            .unwrap_or_else(|| Bookkeeping::begin(&position));
        let mut delivery = Delivery {
            shared: &self.pipeline.shared,
            ctx,
            declaration: T::DECLARATION,
            service: self.name,
            handler: self.handler::<T>(),
            meta: stand_in(&position),
            position,
            record,
            bookkeeping,
            reply: None,
            idempotent: None,
            outputs: 0,
            id_accepted: false,
        };
        match delivery
            .bookkeeping
            .accept_position(&delivery.position, T::DECLARATION.generation)
        {
            Input::New => {}
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
        match delivery.admit::<T>().await? {
            Admitted::Event(event) => Ok(Some(Turn {
                event,
                stored,
                entry,
                delivery,
            })),
            Admitted::Known => {
                skip(&delivery, "duplicate-id");
                delivery.remember(stored).map(|()| None)
            }
            Admitted::Answered => delivery.save(stored, "ok").map(|()| None),
            Admitted::Refused(failure) => {
                delivery.refuse(&failure).await?;
                delivery.save(stored, failure.code).map(|()| None)
            }
        }
    }
}

/// What comes of a record before any business code sees it.
enum Admitted<E> {
    Event(E),
    Known,
    Answered,
    Refused(Failure),
}

impl Delivery<'_> {
    async fn admit<T: Topic>(&mut self) -> HandlerResult<Admitted<T::Event>> {
        if self.ctx.key().is_empty() {
            return Ok(Admitted::Refused(Failure::new(
                code::INVALID_KEY,
                format!("the key is empty; it must be the {}", self.declaration.key),
            )));
        }
        let decoded = match self.shared.codec.decode::<T::Event>(&self.record).await {
            Ok(decoded) => decoded,
            Err(DecodeError::Value(failure)) => return Ok(Admitted::Refused(failure)),
            Err(error @ DecodeError::UnknownSchema(_)) => {
                let failure = Failure::new(code::UNKNOWN_SCHEMA, error.to_string());
                return Ok(Admitted::Refused(failure));
            }
            Err(DecodeError::Registry(error)) => return Err(self.retry(error)),
        };
        let Decoded {
            full_name,
            meta,
            body_digest,
            event,
        } = decoded;
        // An undecodable body without meta tells nobody to answer.
        let answerable = event.is_ok() || meta.is_some();
        let has_id = meta.as_ref().is_some_and(|meta| !meta.id.is_empty());
        if let Some(meta) = meta {
            self.meta = filled(meta, &self.position);
        }
        if has_id {
            let window = self.declaration.input_window;
            self.id_accepted = self.bookkeeping.accept_id(&self.meta.id, window);
            if !self.id_accepted {
                return Ok(Admitted::Known);
            }
        }
        let is_command = self
            .declaration
            .event(&full_name)
            .is_none_or(|event| event.is_command());
        if answerable
            && is_command
            && let Err(failure) = self.address()
        {
            return Ok(Admitted::Refused(failure));
        }
        let event = match event {
            Ok(event) => event,
            Err(failure) => return Ok(Admitted::Refused(failure)),
        };
        if let Err(failure) = self.check_times().await? {
            return Ok(Admitted::Refused(failure));
        }
        self.check_idempotency(event, body_digest).await
    }

    /// Sets where the answer goes.
    fn address(&mut self) -> Result<(), Failure> {
        let Some(results) = &self.declaration.results else {
            return Ok(());
        };
        let key = self
            .meta
            .reply_key
            .clone()
            .unwrap_or_else(|| self.ctx.key().to_owned());
        let named = self
            .meta
            .reply_to
            .as_deref()
            .filter(|topic| *topic != results.name);
        let topic = named.unwrap_or(results.name).to_owned();
        let may_be_named = |topic| self.shared.topics.get(topic).is_some_and(|it| it.replies);
        if named.is_some_and(|topic| !may_be_named(topic)) {
            let own = Address {
                topic: results.name.to_owned(),
                key: self.ctx.key().to_owned(),
            };
            self.reply = Some(own);
            return Err(Failure::new(
                code::INVALID_REPLY_TO,
                format!(
                    "{topic} is not declared with `replies = true`; leave reply_to out or name one that is"
                ),
            ));
        }
        self.reply = Some(Address { topic, key });
        Ok(())
    }

    /// Refuses a command that is too late. The time is journaled, or a repeated attempt could
    /// decide otherwise.
    async fn check_times(&self) -> HandlerResult<Result<(), Failure>> {
        if self.meta.not_before.is_some() {
            return Ok(Err(Failure::invalid_request(
                "not_before is honoured by the topic `timers` alone; leave it out",
            )));
        }
        let Some(expires_at) = self.meta.expires_at else {
            return Ok(Ok(()));
        };
        let now: i64 = self
            .ctx
            .run(|| async { Ok(jiff::Timestamp::now().as_microsecond()) })
            .name("now")
            .await?;
        Ok(if now > expires_at {
            Err(Failure::new(
                code::EXPIRED,
                format!(
                    "the command expired {} ms before it was handled",
                    now.saturating_sub(expires_at) / 1000
                ),
            ))
        } else {
            Ok(())
        })
    }

    async fn check_idempotency<E>(
        &mut self,
        event: E,
        body_digest: Option<[u8; 32]>,
    ) -> HandlerResult<Admitted<E>> {
        let Some(key) = self
            .meta
            .idempotency_key
            .clone()
            .filter(|_| self.reply.is_some())
        else {
            return Ok(Admitted::Event(event));
        };
        let digest = match body_digest {
            Some(digest) => Ok(digest),
            None => self.shared.codec.body_digest(&self.record).await,
        };
        let digest = match digest {
            Ok(digest) => digest,
            Err(DecodeError::Registry(error)) => return Err(self.retry(error)),
            Err(error) => {
                let failure = Failure::new(code::UNDECODABLE, error.to_string());
                return Ok(Admitted::Refused(failure));
            }
        };
        match self
            .bookkeeping
            .idempotency(&key, &digest, self.position.timestamp_ms)
        {
            Idempotency::Unknown => {
                self.idempotent = Some(IdempotentRequest { key, digest });
                Ok(Admitted::Event(event))
            }
            Idempotency::Mismatch => Ok(Admitted::Refused(Failure::new(
                code::IDEMPOTENCY_MISMATCH,
                "this idempotency key was used with another body; use a new key for a new request",
            ))),
            Idempotency::Repeated(before) => match self.answer_again(before).await {
                Ok(()) => Ok(Admitted::Answered),
                Err(Unpublished::Never(failure)) => Ok(Admitted::Refused(failure)),
                Err(Unpublished::Retry(error)) => Err(error),
            },
        }
    }
}

/// Counts a record that is not handled again.
fn skip(delivery: &Delivery<'_>, reason: &str) {
    let labels = [delivery.declaration.name, reason];
    metrics().events_skipped.with_label_values(&labels).inc();
    tracing::debug!(position = %delivery.position, reason, "event skipped");
}

impl<T: Topic, S: State> Turn<'_, T, S> {
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

    /// Decides by a plain function of state and event, and ends the turn.
    pub async fn decide(
        mut self,
        decide: impl FnOnce(&mut S, T::Event) -> Result<T::Result, Failure>,
    ) -> HandlerResult<()> {
        let (state, event) = (&mut self.stored.state, self.event.clone());
        // A panic is the handler's fault and would only happen again.
        let decided = catch_unwind(AssertUnwindSafe(|| decide(state, event)));
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
        self.end(Ok(result.into())).await
    }

    /// Ends the turn with a failure: `RequestFailed` for a command, a dead letter for a fact. The
    /// state stays as it was before the event.
    pub async fn fail(self, failure: Failure) -> HandlerResult<()> {
        self.end(Err(failure)).await
    }

    async fn end(mut self, outcome: Result<T::Result, Failure>) -> HandlerResult<()> {
        let outcome = match outcome {
            Ok(result) => match EncodedBody::of(&result) {
                None => Ok(()),
                Some(Ok(body)) => match self.delivery.answer(&body).await {
                    Ok(()) => Ok(()),
                    Err(Unpublished::Never(failure)) => Err(failure),
                    Err(Unpublished::Retry(error)) => return Err(error),
                },
                Some(Err(failure)) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => self.delivery.save(self.stored, "ok"),
            Err(failure) => {
                self.delivery.refuse(&failure).await?;
                let unchanged = Stored::<S>::parse(self.entry.as_ref())?;
                self.delivery.save(unchanged, failure.code)
            }
        }
    }
}
