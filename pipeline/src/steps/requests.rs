//! Requests to other services, one after the other or several at once, that are awaited together or
//! as their replies come.
//!
//! All of them wait for one timer, and what is sent at once is produced in one `run`. So the first
//! request costs the caller four entries of its journal, a later one three, and one that is sent
//! together with another one a single one: its reply.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use millstream_events::{Declaration, Topic};
use restate_sdk::context::{DurableFuture, DurableFuturesUnordered};

use crate::codec::EncodedBody;
use crate::failure::{self, Failure};
use crate::lane::context::Awaited;
use crate::observe::metrics::metrics;
use crate::state::reserved::REPLIES;
use crate::steps::{Outgoing, StepError, StepResult, Steps};
use crate::system::replies::{answering, name, reply_key};

/// Requests that share one deadline. Made by [`Steps::ask`].
pub struct Requests<'a> {
    steps: Steps<'a>,
    deadline: Duration,
    /// When the deadline is over, in microseconds since 1970-01-01 UTC; `None`: nothing was sent.
    until: Option<i64>,
    is_over: bool,
    /// Topic and reply of each request.
    replies: Vec<(&'static Declaration, Option<Reply>)>,
    /// Added, but not sent.
    commands: Vec<Command>,
    /// What each of `waiting` is.
    awaited: Vec<Awaits>,
    waiting: DurableFuturesUnordered<Awaited<'a, Option<Bytes>>>,
    missing: usize,
    /// Replies that [`Self::next`] has not told of.
    ready: VecDeque<usize>,
}

/// The value of a reply, or why there is none.
type Reply = Result<Bytes, Failure>;

struct Command {
    number: usize,
    key: String,
    body: Result<EncodedBody, Failure>,
}

#[derive(Clone, Copy)]
enum Awaits {
    End,
    Reply(usize),
}

/// One of several requests, with the type of its result.
pub struct Asked<T> {
    number: usize,
    topic: PhantomData<fn() -> T>,
}

impl<T> Clone for Asked<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Asked<T> {}

impl<T> Asked<T> {
    /// Its place among the requests that are sent together, from 0.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl<'a> Requests<'a> {
    fn new(steps: Steps<'a>, deadline: Duration) -> Self {
        Self {
            steps,
            deadline,
            until: None,
            is_over: false,
            replies: Vec::new(),
            commands: Vec::new(),
            awaited: Vec::new(),
            waiting: DurableFuturesUnordered::new(),
            missing: 0,
            ready: VecDeque::new(),
        }
    }

    /// Adds a command of `T`. One that cannot be sent is refused by itself: see [`Self::get`].
    pub fn add<T: Topic>(&mut self, key: &str, command: impl Into<T::Event>) -> Asked<T> {
        let body = EncodedBody::of(&command.into()).unwrap_or_else(|| {
            let message = format!("{} has no commands to send", T::DECLARATION.name);
            Err(Failure::new(failure::HANDLER_FAILED, message))
        });
        Asked {
            number: self.push(T::DECLARATION, key, body),
            topic: PhantomData,
        }
    }

    /// Adds an encoded command; its number.
    pub(crate) fn push(
        &mut self,
        topic: &'static Declaration,
        key: &str,
        body: Result<EncodedBody, Failure>,
    ) -> usize {
        let number = self.replies.len();
        self.replies.push((topic, None));
        let key = key.to_owned();
        self.commands.push(Command { number, key, body });
        number
    }

    /// Sends a command and awaits its result, as [`Self::get`].
    pub async fn request<T: Topic>(
        &mut self,
        key: &str,
        command: impl Into<T::Event>,
    ) -> StepResult<T::Result> {
        let asked = self.add::<T>(key, command);
        self.get(asked).await
    }

    /// Sends, at once, what was added. Whoever awaits a reply need not say so.
    pub async fn send(&mut self) -> StepResult<()> {
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        for Command { number, key, body } in std::mem::take(&mut self.commands) {
            let body = match body {
                Ok(body) if !self.is_over => body,
                Ok(_) => {
                    self.came(number, Err(missed(self.deadline)));
                    continue;
                }
                Err(failure) => {
                    self.came(number, Err(failure));
                    continue;
                }
            };
            let until = self.until();
            let topic = self.replies[number].0;
            let mut meta = self.steps.origin.next_meta_on_behalf();
            let name = name(&meta.id, answering(topic, &key).as_deref());
            let reply = self.steps.ctx.reply(&name);
            self.awaited.push(Awaits::Reply(number));
            self.waiting.push(Box::pin(reply.map_ok(Some)));
            let left = u64::try_from(until - self.steps.origin.time()).unwrap_or(0);
            let left = Duration::from_micros(left);
            meta.reply_to = Some(REPLIES.to_owned());
            meta.reply_key = Some(reply_key(&self.steps.ctx.invocation(), left, &name));
            sent.push(number);
            events.push(Outgoing {
                topic: topic.name,
                key,
                body,
                meta,
            });
        }
        if events.is_empty() {
            return Ok(());
        }
        self.missing += events.len();
        for (event, failure) in self.steps.publish(events).await? {
            if let Some(number) = sent.get(event).copied() {
                self.missing -= 1;
                self.came(number, Err(failure));
            }
        }
        Ok(())
    }

    /// When the deadline is over. It begins with the first command that is sent.
    fn until(&mut self) -> i64 {
        if let Some(until) = self.until {
            return until;
        }
        let timer = self.steps.ctx.sleep(self.deadline).map_ok(|()| None);
        self.awaited.push(Awaits::End);
        self.waiting.push(Box::pin(timer));
        let micros = i64::try_from(self.deadline.as_micros()).unwrap_or(i64::MAX);
        *self
            .until
            .insert(self.steps.origin.time().saturating_add(micros))
    }

    /// Awaits the next reply and tells the [`Asked::number`] of its request, also if that was
    /// refused; `None` when all were told of.
    pub async fn next(&mut self) -> StepResult<Option<usize>> {
        self.send().await?;
        while self.ready.is_empty() && self.missing > 0 {
            self.receive().await?;
        }
        Ok(self.ready.pop_front())
    }

    /// Awaits the result of one of the requests.
    ///
    /// What the service refuses is a [`StepError::Failed`] with its code, a command that cannot be
    /// sent one with `handler-failed`, a missed deadline one with `deadline-exceeded`: the command
    /// may still be carried out.
    pub async fn get<T: Topic>(&mut self, asked: Asked<T>) -> StepResult<T::Result> {
        let value = self.value(asked.number).await??;
        Ok(self.steps.read::<T::Result>(&value).await??)
    }

    /// The value of the reply to the request with this number.
    pub(crate) async fn value(&mut self, number: usize) -> StepResult<Reply> {
        self.send().await?;
        loop {
            match self.replies.get(number) {
                Some((_, Some(reply))) => {
                    self.ready.retain(|ready| *ready != number);
                    return Ok(reply.clone());
                }
                Some((_, None)) if self.missing > 0 => self.receive().await?,
                _ => return Ok(Err(missed(self.deadline))),
            }
        }
    }

    /// Takes one reply, or the end of the time for all.
    async fn receive(&mut self) -> StepResult<()> {
        let Some((index, reply)) = self.waiting.next().await? else {
            self.over();
            return Ok(());
        };
        match (self.awaited.get(index).copied(), reply) {
            (Some(Awaits::Reply(number)), reply) => {
                // One that is an error was handed over by somebody who could not read it.
                let reply = reply.map_err(|error| Failure::of_terminal(&error));
                // Kafka has refused the command meanwhile.
                if self.replies[number].1.is_none() {
                    self.missing -= 1;
                    self.came(number, reply.map(Option::unwrap_or_default));
                }
            }
            (Some(Awaits::End) | None, Ok(_)) => self.over(),
            (Some(Awaits::End) | None, Err(error)) => return Err(error.into()),
        }
        Ok(())
    }

    fn came(&mut self, number: usize, reply: Reply) {
        if let Some((_, slot)) = self.replies.get_mut(number) {
            *slot = Some(reply);
            self.ready.push_back(number);
        }
    }

    /// The deadline is over: what has not come is missed.
    fn over(&mut self) {
        self.is_over = true;
        if let Some(until) = self.until {
            self.steps.origin.happened(until);
        }
        self.missing = 0;
        for number in 0..self.replies.len() {
            if self.replies[number].1.is_none() {
                let counter = &metrics().requests_timed_out;
                counter
                    .with_label_values(&[self.replies[number].0.name])
                    .inc();
                self.came(number, Err(missed(self.deadline)));
            }
        }
    }
}

fn missed(deadline: Duration) -> Failure {
    let message = format!("no reply within {deadline:?}; look at the service that was asked");
    Failure::new(failure::DEADLINE_EXCEEDED, message)
}

impl<'a> Steps<'a> {
    /// Begins to ask other services, for `deadline` at most from the first command that is sent on.
    ///
    /// One after the other, or several at once:
    ///
    /// ```ignore
    /// let mut services = steps.ask(DEADLINE);
    /// let charge = services.request::<Charges>(&charge_id, pay).await?;
    /// let flight = services.add::<Flights>(&flight_id, ConfirmFlight {});
    /// let car = services.add::<CarRentals>(&car_id, ConfirmCar {});
    /// let (flight, car) = (services.get(flight).await?, services.get(car).await?);
    /// ```
    pub fn ask(&self, deadline: Duration) -> Requests<'a> {
        Requests::new(self.clone(), deadline)
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
        self.ask(deadline).request::<T>(key, command).await
    }

    /// Sends commands of one topic at once and awaits all their results, in the order of the
    /// commands. One that is refused or late does not keep the others from being awaited.
    pub async fn request_all<T: Topic>(
        &self,
        commands: impl IntoIterator<Item = (String, T::Event)>,
        deadline: Duration,
    ) -> StepResult<Vec<Result<T::Result, Failure>>> {
        let mut requests = self.ask(deadline);
        let mut all = Vec::new();
        for (key, command) in commands {
            all.push(requests.add::<T>(&key, command));
        }
        let mut results = Vec::with_capacity(all.len());
        for asked in all {
            results.push(match requests.get(asked).await {
                Ok(result) => Ok(result),
                Err(StepError::Failed(failure)) => Err(failure),
                Err(error) => return Err(error),
            });
        }
        Ok(results)
    }
}
