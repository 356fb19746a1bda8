//! What is checked of every record before a handler decides about it.

use futures::FutureExt;
use millstream_topics::{Identity, Topic};
use restate_sdk::prelude::*;

use crate::bookkeeping::Idempotency;
use crate::code::{self, Failure};
use crate::codec::{DecodeError, Decoded};
use crate::delivery::{Address, Delivery, Unpublished};
use crate::identity::Unproven;
use crate::identity::events::Incoming;
use crate::incoming::filled;
use crate::journal::Journal;
use crate::remembered::IdempotentRequest;
use crate::timers::TIMERS;

/// What comes of a record before any business code sees it.
pub(crate) enum Admitted<E> {
    Event(E),
    Known,
    Answered,
    Refused(Failure),
}

impl Delivery {
    /// Decodes the record and applies the rules that hold for every handler.
    pub async fn admit<T: Topic>(
        &mut self,
        ctx: &dyn Journal<'_>,
    ) -> HandlerResult<Admitted<T::Event>> {
        if self.key.is_empty() {
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
            body_length,
            event,
        } = decoded;
        // An undecodable body without meta tells nobody to answer.
        let answerable = event.is_ok() || meta.is_some();
        let has_id = meta.as_ref().is_some_and(|meta| !meta.id.is_empty());
        if let Some(meta) = meta {
            self.meta = filled(meta, &self.position);
        }
        let forged = self.forged(&full_name, body_length).await?;
        // What nobody has proven must not keep out the event that it bears the id of.
        let counts = has_id && forged.is_none();
        if let (true, Some(bookkeeping)) = (counts, &mut self.bookkeeping) {
            let window = self.declaration.input_window;
            self.id_accepted = bookkeeping.accept_id(&self.meta.id, window);
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
        if let Some(unproven) = forged {
            return Ok(Admitted::Refused(Failure::new(
                code::FORBIDDEN,
                format!("this topic takes only events whose sender is proven: {unproven}"),
            )));
        }
        if let Err(failure) = self.check_times(ctx).await? {
            return Ok(Admitted::Refused(failure));
        }
        self.check_idempotency(event, body_digest).await
    }

    /// Takes away a principal that is not proven; says why it is not where the topic requires it.
    async fn forged(
        &mut self,
        full_name: &str,
        body_length: Option<usize>,
    ) -> HandlerResult<Option<Unproven>> {
        let event = Incoming {
            address: (self.declaration.name, &self.key),
            full_name,
            position: &self.position,
            record: &self.record,
            body_length,
        };
        match self.shared.prove(&mut self.meta, &event).await {
            Ok(verdict) if self.declaration.identity == Identity::Required => Ok(verdict.err()),
            Ok(_) => Ok(None),
            Err(error) => Err(self.retry(error)),
        }
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
            .unwrap_or_else(|| self.key.clone());
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
                key: self.key.clone(),
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
    async fn check_times(&mut self, ctx: &dyn Journal<'_>) -> HandlerResult<Result<(), Failure>> {
        if self.meta.not_before.is_some() && self.declaration.name != TIMERS {
            return Ok(Err(Failure::invalid_request(
                "not_before is honoured by the topic `timers` alone; leave it out",
            )));
        }
        let Some(expires_at) = self.meta.expires_at else {
            return Ok(Ok(()));
        };
        if !std::mem::replace(&mut self.state_is_journaled, true)
            && let Err(error) = ctx.read_state().await
        {
            return Ok(Err(Failure::of_terminal(&error)));
        }
        let now = async { Ok(jiff::Timestamp::now().as_microsecond().to_string()) };
        let now = match ctx.run("now", Box::new(|| now.boxed())).await {
            Ok(now) => now,
            // Somebody cancelled the invocation: the command is answered all the same.
            Err(error) => return Ok(Err(Failure::of_terminal(&error))),
        };
        let now: i64 = now.parse()?;
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
        let Some(bookkeeping) = &self.bookkeeping else {
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
        let asked = IdempotentRequest::new(&key, &digest);
        match bookkeeping.idempotency(&asked, self.position.timestamp_ms) {
            Idempotency::Unknown => {
                self.idempotent = Some(asked);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::future::BoxFuture;
    use millstream_schemas::EventMeta;
    use millstream_topics::ProductReservations;
    use restate_sdk::context::RequestTarget;

    use super::*;
    use crate::config::Endpoints;
    use crate::journal::{Awaited, Effect};
    use crate::position::Position;
    use crate::service::Pipeline;

    /// A journal of an invocation that somebody has cancelled.
    struct Cancelled;

    impl<'a> Journal<'a> for Cancelled {
        fn awakeable(&self) -> (String, Awaited<'a, Bytes>) {
            unreachable!("no check waits")
        }

        fn sleep(&self, _: Duration) -> Awaited<'a, ()> {
            unreachable!("no check waits")
        }

        fn run(&self, _: &'static str, _: Effect) -> BoxFuture<'a, Result<String, TerminalError>> {
            async { Err(TerminalError::new_with_code(409, "cancelled")) }.boxed()
        }

        fn send(&self, _: RequestTarget, _: Bytes, _: Duration) {}
    }

    #[tokio::test]
    async fn a_cancelled_look_at_the_clock_is_answered() {
        let declaration = ProductReservations::DECLARATION;
        let pipeline = Pipeline::new(&Endpoints::default(), &[declaration], "test").unwrap();
        let position = Position {
            topic: declaration.name.into(),
            partition: 0,
            offset: 0,
            timestamp_ms: 0,
        };
        let service = pipeline.service("ProductReservations");
        let to = (declaration, "ProductReservations/onEvent".to_owned());
        let mut delivery = Delivery::new(&service, to, "key", position, Bytes::new());
        delivery.meta = EventMeta {
            expires_at: Some(i64::MAX),
            ..EventMeta::default()
        };
        let checked = delivery.check_times(&Cancelled).await.unwrap();
        assert_eq!(checked.unwrap_err().code, code::CANCELLED);
    }
}
