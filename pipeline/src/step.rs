//! What a handler does before it is finished: it emits events, asks other services and waits.
//!
//! Each of these is journaled. A handler that is killed meanwhile goes on where it stopped.
//!
//! A request is four entries of the journal: the deadline's timer, producing the command (two) and
//! the reply. Requests that are sent together share the first three. Besides, the service that was
//! asked and [`crate::replies`] have an invocation each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::try_join_all;
use millstream_schemas::{Decode, Event, EventMeta, EventSet, RequestFailed, Visit};
use millstream_topics::Topic;
use restate_sdk::context::{DurableFuture, DurableFuturesUnordered};
use restate_sdk::prelude::*;

use crate::code::{self, Failure};
use crate::codec::{DecodeError, EncodeError, EncodedBody};
use crate::journal::{Awaited, Journal};
use crate::metrics::metrics;
use crate::origin::Origin;
use crate::publish::PublishError;
use crate::replies::{REPLIES, reply_key};

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
                Self::Failed(Failure::new(code::HANDLER_FAILED, error.to_string()))
            }
            PublishError::Infrastructure { .. } => Self::Attempt(error.into()),
        }
    }
}

/// Result of a step, or what it was refused with.
pub type StepResult<R> = Result<R, StepError>;

/// The way of one running handler to emit, to ask and to wait. Cheap to clone.
#[derive(Clone)]
pub struct Steps<'a> {
    ctx: &'a dyn Journal<'a>,
    pub(crate) origin: Arc<Origin>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(ctx: &'a dyn Journal<'a>, origin: Arc<Origin>) -> Self {
        origin.waits();
        Self { ctx, origin }
    }

    /// The steps of something that a workflow does once, whichever of its handlers gets to it: the
    /// ids of its events come from the workflow's key and `what` instead of the event handled.
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
        let event = (key.to_owned(), body?, self.origin.next_meta_on_behalf());
        self.publish(T::DECLARATION.name, vec![event]).await
    }

    /// Sends a command to another service and awaits its result, for `deadline` at most.
    ///
    /// What the service refuses is a [`StepError::Failed`] with its code; a missed deadline has the
    /// code `deadline-exceeded`, and the command may still be carried out.
    pub async fn request<T: Topic>(
        &self,
        key: &str,
        command: impl Into<T::Event>,
        deadline: Duration,
    ) -> StepResult<T::Result> {
        let commands = [(key.to_owned(), command.into())];
        let mut results = self.request_all::<T>(commands, deadline).await?;
        Ok(results.pop().unwrap_or_else(|| Err(missed(deadline)))?)
    }

    /// Sends commands at once and awaits all their results, in the order of the commands. One that
    /// is refused or late does not keep the others from being awaited.
    pub async fn request_all<T: Topic>(
        &self,
        commands: impl IntoIterator<Item = (String, T::Event)>,
        deadline: Duration,
    ) -> StepResult<Vec<Result<T::Result, Failure>>> {
        let mut encoded = Vec::new();
        for (key, command) in commands {
            if let Some(body) = EncodedBody::of(&command) {
                encoded.push((key, body?));
            }
        }
        let replies = self.ask(T::DECLARATION.name, encoded, deadline).await?;
        let mut results = Vec::with_capacity(replies.len());
        for reply in replies {
            results.push(match reply {
                Some(value) => self.read::<T::Result>(&value).await?,
                None => Err(missed(deadline)),
            });
        }
        Ok(results)
    }

    /// Sends encoded commands and awaits the values of their replies; `None`: not in time.
    pub(crate) async fn ask(
        &self,
        topic: &'static str,
        commands: Vec<(String, EncodedBody)>,
        deadline: Duration,
    ) -> StepResult<Vec<Option<Bytes>>> {
        let mut replies = vec![None; commands.len()];
        if commands.is_empty() {
            return Ok(replies);
        }
        let mut waiting: DurableFuturesUnordered<Awaited<'a, _>> = DurableFuturesUnordered::new();
        let mut events = Vec::with_capacity(commands.len());
        for (key, body) in commands {
            let (id, reply) = self.ctx.awakeable();
            waiting.push(Box::pin(reply.map_ok(Some)));
            let mut meta = self.origin.next_meta_on_behalf();
            meta.reply_to = Some(REPLIES.to_owned());
            meta.reply_key = Some(reply_key(&id, deadline));
            events.push((key, body, meta));
        }
        waiting.push(Box::pin(self.ctx.sleep(deadline).map_ok(|()| None)));
        self.publish(topic, events).await?;
        let mut missing = replies.len();
        while missing > 0
            && let Some((index, reply)) = waiting.next().await?
        {
            let Some(value) = reply? else {
                let late = i64::try_from(deadline.as_micros()).unwrap_or(i64::MAX);
                self.origin
                    .happened(self.origin.time().saturating_add(late));
                let labels = [topic];
                let counter = metrics().requests_timed_out.with_label_values(&labels);
                counter.inc_by(missing as u64);
                break;
            };
            if let Some(slot) = replies.get_mut(index) {
                *slot = Some(value);
            }
            missing -= 1;
        }
        Ok(replies)
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
    /// and the journal produces the same ids again, which their receivers drop.
    async fn publish(
        &self,
        topic: &'static str,
        events: Vec<(String, EncodedBody, EventMeta)>,
    ) -> StepResult<()> {
        let origin = Arc::clone(&self.origin);
        let publish = async move {
            let all = events
                .iter()
                .map(|(key, body, meta)| origin.publish((topic, key), body, meta));
            // An event's own fault is kept as a verdict, for it would not change.
            match try_join_all(all).await {
                Ok(_) => Ok(String::new()),
                Err(StepError::Failed(failure)) => Ok(failure.message),
                Err(StepError::Attempt(error)) => Err(error),
            }
        };
        let publish = Box::new(|| publish.boxed());
        let refused = self.ctx.run("publish", publish).await?;
        if refused.is_empty() {
            return Ok(());
        }
        Err(Failure::new(code::HANDLER_FAILED, refused).into())
    }

    /// Reads a reply. What cannot be read is a failure, not a reason to try again.
    pub(crate) async fn read<R: EventSet>(&self, value: &Bytes) -> StepResult<Result<R, Failure>> {
        let decoded = match self.origin.shared.codec.decode::<Answer<R>>(value).await {
            Ok(decoded) => decoded,
            Err(DecodeError::Registry(error)) => return Err(StepError::Attempt(error.into())),
            Err(error) => return Ok(Err(unreadable(&error))),
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
            Err(DecodeError::Registry(error)) => Err(StepError::Attempt(error.into())),
            Err(error) => Ok(Err(unreadable(&error))),
        }
    }
}

fn unreadable(error: &impl std::fmt::Display) -> Failure {
    let message = format!("a reply cannot be read: {error}; look at its producer");
    Failure::new(code::HANDLER_FAILED, message)
}

pub(crate) fn missed(deadline: Duration) -> Failure {
    let message = format!("no reply within {deadline:?}; look at the service that was asked");
    Failure::new(code::DEADLINE_EXCEEDED, message)
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
