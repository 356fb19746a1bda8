//! Requests that are sent together, to one service or to several, and awaited together or as their
//! replies come.
//!
//! Their commands are produced in one `run` of the journal and wait for one timer, so each further
//! request costs the caller one entry: its reply.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use millstream_topics::Topic;
use restate_sdk::context::{DurableFuture, DurableFuturesUnordered};

use crate::code::{self, Failure};
use crate::codec::EncodedBody;
use crate::journal::Awaited;
use crate::metrics::metrics;
use crate::replies::{REPLIES, reply_key};
use crate::step::{Outgoing, StepError, StepResult, Steps};

/// Commands that are sent together. Made by [`Steps::ask`].
pub struct Requests<'a> {
    steps: Steps<'a>,
    commands: Vec<Command>,
}

struct Command {
    topic: &'static str,
    key: String,
    body: Result<EncodedBody, Failure>,
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
    pub(crate) fn new(steps: Steps<'a>) -> Self {
        let commands = Vec::new();
        Self { steps, commands }
    }

    /// Adds a command of `T`. One that cannot be sent is refused by itself: see [`Awaiting::get`].
    pub fn add<T: Topic>(&mut self, key: &str, command: impl Into<T::Event>) -> Asked<T> {
        let body = EncodedBody::of(&command.into()).unwrap_or_else(|| {
            let message = format!("{} has no commands to send", T::DECLARATION.name);
            Err(Failure::new(code::HANDLER_FAILED, message))
        });
        Asked {
            number: self.push(T::DECLARATION.name, key, body),
            topic: PhantomData,
        }
    }

    /// Adds an encoded command; its number.
    pub(crate) fn push(
        &mut self,
        topic: &'static str,
        key: &str,
        body: Result<EncodedBody, Failure>,
    ) -> usize {
        let key = key.to_owned();
        self.commands.push(Command { topic, key, body });
        self.commands.len() - 1
    }

    /// Sends all of them and awaits all replies, for `deadline` at most.
    pub async fn all(self, deadline: Duration) -> StepResult<Awaiting<'a>> {
        let mut awaiting = self.send(deadline).await?;
        while awaiting.missing > 0 {
            awaiting.receive().await?;
        }
        Ok(awaiting)
    }

    /// Sends all of them. Their replies are awaited for `deadline` at most.
    pub async fn send(self, deadline: Duration) -> StepResult<Awaiting<'a>> {
        let Self { steps, commands } = self;
        let micros = i64::try_from(deadline.as_micros()).unwrap_or(i64::MAX);
        let mut awaiting = Awaiting {
            late: (deadline, steps.origin.time().saturating_add(micros)),
            replies: Vec::with_capacity(commands.len()),
            sent: Vec::with_capacity(commands.len()),
            waiting: DurableFuturesUnordered::new(),
            missing: 0,
            ready: VecDeque::new(),
            steps,
        };
        let steps = awaiting.steps.clone();
        let mut events = Vec::with_capacity(commands.len());
        for (number, Command { topic, key, body }) in commands.into_iter().enumerate() {
            awaiting.replies.push((topic, None));
            match body {
                Err(failure) => awaiting.came(number, Err(failure)),
                Ok(body) => {
                    let (id, reply) = steps.ctx.awakeable();
                    awaiting.waiting.push(Box::pin(reply.map_ok(Some)));
                    awaiting.sent.push(number);
                    let mut meta = steps.origin.next_meta_on_behalf();
                    meta.reply_to = Some(REPLIES.to_owned());
                    meta.reply_key = Some(reply_key(&id, deadline));
                    events.push(Outgoing {
                        topic,
                        key,
                        body,
                        meta,
                    });
                }
            }
        }
        awaiting.missing = events.len();
        if events.is_empty() {
            return Ok(awaiting);
        }
        let timer = steps.ctx.sleep(deadline).map_ok(|()| None);
        awaiting.waiting.push(Box::pin(timer));
        for (event, failure) in steps.publish(events).await? {
            if let Some(number) = awaiting.sent.get(event).copied() {
                awaiting.missing -= 1;
                awaiting.came(number, Err(failure));
            }
        }
        Ok(awaiting)
    }
}

/// Requests that are sent and not all answered.
pub struct Awaiting<'a> {
    steps: Steps<'a>,
    /// The deadline, and when it is over.
    late: (Duration, i64),
    /// Topic and reply of each request.
    replies: Vec<(&'static str, Option<Reply>)>,
    /// Which request each of `waiting` is the reply to; what comes after them is the timer.
    sent: Vec<usize>,
    waiting: DurableFuturesUnordered<Awaited<'a, Option<Bytes>>>,
    missing: usize,
    /// Replies that [`Self::next`] has not told of.
    ready: VecDeque<usize>,
}

/// The value of a reply, or why there is none.
type Reply = Result<Bytes, Failure>;

impl Awaiting<'_> {
    /// Awaits the next reply and tells the [`Asked::number`] of its request, also if that was
    /// refused; `None` when all were told of, or the deadline is over.
    pub async fn next(&mut self) -> StepResult<Option<usize>> {
        while self.ready.is_empty() && self.missing > 0 {
            self.receive().await?;
        }
        Ok(self.ready.pop_front())
    }

    /// Awaits the result of one of the requests.
    ///
    /// What the service refuses is a [`StepError::Failed`] with its code, a command that cannot be
    /// sent one with `handler-failed`, a missed deadline one with `deadline-exceeded`.
    pub async fn get<T: Topic>(&mut self, asked: Asked<T>) -> StepResult<T::Result> {
        let value = self.value(asked.number).await??;
        Ok(self.steps.read::<T::Result>(&value).await??)
    }

    /// The value of the reply to the request with this number.
    pub(crate) async fn value(&mut self, number: usize) -> StepResult<Reply> {
        loop {
            match self.replies.get(number) {
                Some((_, Some(reply))) => {
                    self.ready.retain(|ready| *ready != number);
                    return Ok(reply.clone());
                }
                Some((_, None)) if self.missing > 0 => self.receive().await?,
                _ => return Ok(Err(missed(self.late.0))),
            }
        }
    }

    /// Takes one reply, or the end of the time for all.
    async fn receive(&mut self) -> StepResult<()> {
        let next = self.waiting.next().await?;
        let (number, reply) = match next {
            Some((index, reply)) => (self.sent.get(index).copied(), reply),
            None => (None, Ok(None)),
        };
        match (number, reply) {
            (Some(number), Ok(Some(value))) => {
                self.missing -= 1;
                self.came(number, Ok(value));
            }
            // Whoever handed the reply over could not read it.
            (Some(number), Err(error)) => {
                self.missing -= 1;
                self.came(number, Err(Failure::of_terminal(&error)));
            }
            (_, Ok(None)) => self.over(),
            (None, Ok(Some(_))) => {}
            (None, Err(error)) => return Err(error.into()),
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
        let (deadline, at) = self.late;
        self.steps.origin.happened(at);
        self.missing = 0;
        for (topic, reply) in &mut self.replies {
            if reply.is_none() {
                *reply = Some(Err(missed(deadline)));
                let counter = &metrics().requests_timed_out;
                counter.with_label_values(&[*topic]).inc();
            }
        }
    }
}

fn missed(deadline: Duration) -> Failure {
    let message = format!("no reply within {deadline:?}; look at the service that was asked");
    Failure::new(code::DEADLINE_EXCEEDED, message)
}

impl<'a> Steps<'a> {
    /// Begins to ask several services at once.
    ///
    /// ```ignore
    /// let mut requests = steps.ask();
    /// let flight = requests.add::<Flights>(&flight_id, ConfirmFlight {});
    /// let car = requests.add::<CarRentals>(&car_id, ConfirmCar {});
    /// let mut replies = requests.all(DEADLINE).await?;
    /// let (flight, car) = (replies.get(flight).await?, replies.get(car).await?);
    /// ```
    pub fn ask(&self) -> Requests<'a> {
        Requests::new(self.clone())
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
        let mut requests = self.ask();
        let asked = requests.add::<T>(key, command);
        requests.all(deadline).await?.get(asked).await
    }

    /// Sends commands of one topic at once and awaits all their results, in the order of the
    /// commands. One that is refused or late does not keep the others from being awaited.
    pub async fn request_all<T: Topic>(
        &self,
        commands: impl IntoIterator<Item = (String, T::Event)>,
        deadline: Duration,
    ) -> StepResult<Vec<Result<T::Result, Failure>>> {
        let mut requests = self.ask();
        let mut all = Vec::new();
        for (key, command) in commands {
            all.push(requests.add::<T>(&key, command));
        }
        let mut replies = requests.all(deadline).await?;
        let mut results = Vec::with_capacity(all.len());
        for asked in all {
            results.push(match replies.get(asked).await {
                Ok(result) => Ok(result),
                Err(StepError::Failed(failure)) => Err(failure),
                Err(error) => return Err(error),
            });
        }
        Ok(results)
    }
}
