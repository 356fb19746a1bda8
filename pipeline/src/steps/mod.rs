//! What a handler does before it is finished: it emits events, asks other services and waits.
//!
//! Each of these is journaled. A handler that is killed meanwhile goes on where it stopped.
//!
//! A request is four entries of the journal: the deadline's timer, producing the command (two) and
//! the reply. Requests of one [`Steps::ask`] share the first of these, and those that are sent at once
//! the first three. Besides, the service that was asked and [`crate::system::replies`] have an invocation each.

pub mod compensations;
pub mod requests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use millstream_events::{Decode, Event, EventMeta, EventSet, RequestFailed, Topic, Visit};
use restate_sdk::prelude::*;

use crate::codec::{DecodeError, EncodeError, EncodedBody};
use crate::failure::{self, Failure};
use crate::kafka::publisher::PublishError;
use crate::lane::context::Journal;
use crate::lane::origin::Origin;

/// Why a step did not come to a result.
#[derive(Debug)]
pub enum StepError {
    /// It never will: it was refused, its deadline passed, or somebody cancelled the invocation.
    Failed(Failure),
    /// This attempt cannot go on: Restate is to repeat it.
    Attempt(HandlerError),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<HandlerError> for StepError {
    fn from(error: HandlerError) -> Self {
        Self::Attempt(error)
    }
}

impl From<TerminalError> for StepError {
    fn from(error: TerminalError) -> Self {
        Self::Failed(Failure::of_terminal(&error))
    }
}

impl From<EncodeError> for StepError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Event(failure) => Self::Failed(failure),
            EncodeError::Registry(error) => Self::Attempt(error.into()),
        }
    }
}

impl From<PublishError> for StepError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Record { .. } => {
                Self::Failed(Failure::new(failure::HANDLER_FAILED, error.to_string()))
            }
            PublishError::Infrastructure { .. } => Self::Attempt(error.into()),
        }
    }
}

/// Result of a step, or what it was refused with.
pub type StepResult<R> = Result<R, StepError>;

/// An event that a step produces.
pub(crate) struct Outgoing {
    pub topic: &'static str,
    pub key: String,
    pub body: EncodedBody,
    pub meta: EventMeta,
}

/// The way of one running handler to emit, to ask and to wait. Cheap to clone.
#[derive(Clone)]
pub struct Steps<'a> {
    pub(crate) ctx: &'a dyn Journal<'a>,
    pub(crate) origin: Arc<Origin>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(ctx: &'a dyn Journal<'a>, origin: Arc<Origin>) -> Self {
        origin.waits();
        Self { ctx, origin }
    }

    /// The steps of something that a workflow does once, whichever of its handlers gets to it: the
    /// ids of its events come from the workflow's key and `what` instead of the event handled. So
    /// they are the same if the key runs again after the retention, thirty days later: readers have
    /// forgotten them by then.
    pub fn once(&self, what: &str) -> Self {
        Self {
            ctx: self.ctx,
            origin: Arc::new(self.origin.once(what)),
        }
    }

    /// Emits an event now, before the handler is finished. It has no `seq`: numbers are given to
    /// what is published when the handler ends.
    pub async fn emit<T: Topic>(&self, key: &str, event: impl Into<T::Event>) -> StepResult<()> {
        let Some(body) = EncodedBody::of(&event.into()) else {
            return Ok(());
        };
        let event = Outgoing {
            topic: T::DECLARATION.name,
            key: key.to_owned(),
            body: body?,
            meta: self.origin.next_meta_on_behalf(),
        };
        match self.publish(vec![event]).await?.pop() {
            Some((_, failure)) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Waits durably.
    pub async fn sleep(&self, duration: Duration) -> StepResult<()> {
        self.ctx.sleep(duration).await?;
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.origin
            .happened(self.origin.time().saturating_add(micros));
        Ok(())
    }

    /// Says when something that the journal holds has happened outside, in microseconds since
    /// 1970-01-01 UTC, such as the completion of a promise: what is emitted from now on is not older.
    pub fn happened(&self, micros: i64) {
        self.origin.happened(micros);
    }

    /// Produces events once, as far as the journal can tell: a crash between the acknowledgement
    /// and the journal produces the same ids again, which their receivers drop. Tells which of them
    /// Kafka refuses for good; that does not keep the others from being produced.
    pub(crate) async fn publish(&self, events: Vec<Outgoing>) -> StepResult<Vec<(usize, Failure)>> {
        let origin = Arc::clone(&self.origin);
        let publish = async move {
            let all = events.iter().map(|it| produce(&origin, it));
            verdict(join_all(all).await)
        };
        let publish = Box::new(|| publish.boxed());
        let verdict = self.ctx.run("publish", publish).await?;
        Ok(refused(&verdict)?)
    }

    /// Reads a reply. What cannot be read is a failure, not a reason to try again; but `Replies`
    /// has seen its schema at the registry, so a registry that denies it is to be asked again.
    pub(crate) async fn read<R: EventSet>(&self, value: &Bytes) -> StepResult<Result<R, Failure>> {
        let decoded = match self.origin.shared.codec.decode::<Answer<R>>(value).await {
            Ok(decoded) => decoded,
            Err(DecodeError::Value(failure)) => return Ok(Err(unreadable(&failure))),
            Err(error) => return Err(StepError::Attempt(error.into())),
        };
        if let Some(meta) = &decoded.meta {
            self.origin.happened(meta.time);
        }
        Ok(match decoded.event {
            Ok(Answer::Result(result)) => Ok(result),
            Ok(Answer::Refused(failed)) => Err(Failure::from(failed)),
            Err(failure) => Err(unreadable(&failure)),
        })
    }
}

impl<'a> Steps<'a> {
    /// What a reply refuses with, if it does.
    pub(crate) async fn refusal(&self, value: &Bytes) -> StepResult<Result<(), Failure>> {
        match self
            .origin
            .shared
            .codec
            .decode::<RequestFailed>(value)
            .await
        {
            Ok(decoded) if decoded.full_name != RequestFailed::FULL_NAME => Ok(Ok(())),
            Ok(decoded) => Ok(decoded.event.and_then(|failed| Err(Failure::from(failed)))),
            Err(DecodeError::Value(failure)) => Ok(Err(unreadable(&failure))),
            Err(error) => Err(StepError::Attempt(error.into())),
        }
    }
}

async fn produce(origin: &Origin, event: &Outgoing) -> StepResult<()> {
    let to = (event.topic, event.key.as_str());
    let record = origin.record(to, &event.body, &event.meta).await?;
    origin.shared.publisher.publish(&record).await?;
    Ok(())
}

/// What the journal keeps of events that were produced together: nothing, or which of them never
/// can be and why. An event's own fault is kept, for it would not change; another attempt produces
/// all of them again.
fn verdict(published: Vec<StepResult<()>>) -> HandlerResult<String> {
    let mut refused = Vec::new();
    for (number, published) in published.into_iter().enumerate() {
        match published {
            Ok(()) => {}
            Err(StepError::Failed(failure)) => refused.push((number, failure.message)),
            Err(StepError::Attempt(error)) => return Err(error),
        }
    }
    match refused.is_empty() {
        true => Ok(String::new()),
        false => Ok(serde_json::to_string(&refused)?),
    }
}

/// The events that a [`verdict`] refuses.
fn refused(verdict: &str) -> HandlerResult<Vec<(usize, Failure)>> {
    if verdict.is_empty() {
        return Ok(Vec::new());
    }
    let refused: Vec<(usize, String)> = serde_json::from_str(verdict)?;
    let failed = |(number, why)| (number, Failure::new(failure::HANDLER_FAILED, why));
    Ok(refused.into_iter().map(failed).collect())
}

fn unreadable(error: &impl std::fmt::Display) -> Failure {
    let message = format!("a reply cannot be read: {error}; look at its producer");
    Failure::new(failure::HANDLER_FAILED, message)
}

/// A result, or the refusal that every command may be answered with.
#[derive(Debug, Clone)]
pub(crate) enum Answer<R> {
    Result(R),
    Refused(RequestFailed),
}

impl<R: EventSet> EventSet for Answer<R> {
    fn decode<D: Decode>(full_name: &str, source: D) -> Option<Result<Self, D::Error>> {
        if full_name == RequestFailed::FULL_NAME {
            return Some(source.decode().map(Self::Refused));
        }
        Some(R::decode(full_name, source)?.map(Self::Result))
    }

    fn visit<V: Visit>(&self, visitor: V) -> Option<V::Output> {
        match self {
            Self::Result(result) => result.visit(visitor),
            Self::Refused(refused) => refused.visit(visitor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_kafka_refuses_does_not_take_others_with_it() {
        let too_large =
            || -> StepResult<()> { Err(Failure::new(failure::HANDLER_FAILED, "too large").into()) };
        assert_eq!(verdict(vec![Ok(()), Ok(())]).unwrap(), "");
        assert!(refused("").unwrap().is_empty());
        let kept = verdict(vec![Ok(()), too_large(), Ok(())]).unwrap();
        let failure = Failure::new(failure::HANDLER_FAILED, "too large");
        assert_eq!(refused(&kept).unwrap(), [(1, failure)]);
        let away = Err(StepError::Attempt(TerminalError::new("away").into()));
        assert!(verdict(vec![too_large(), away]).is_err());
    }
}
