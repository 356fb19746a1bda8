//! What an attempt touches: Kafka's log, Restate's journal and the object's state. Everything that is
//! awaited is not ready at first, so that whoever polls can stop there.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use restate_sdk::context::RequestTarget;
use restate_sdk::prelude::*;

use crate::kafka::publisher::{PublishError, TakesRecords};
use crate::lane::context::{Awaited, Effect, Journal};
use crate::record::Record;

/// A rule that is left out, to see that this is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The last offset of each partition is remembered.
    Offsets,
    /// Ids are remembered.
    Ids,
    /// Numbers go on where they were.
    Numbers,
    /// What is published is in Kafka before the state is written.
    PublishFirst,
    /// The time is journaled.
    JournaledTime,
}

/// Not ready once.
async fn stop() {
    let mut is_first = true;
    poll_fn(|_| match std::mem::replace(&mut is_first, false) {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}

#[derive(Default)]
pub struct Kafka {
    pub log: Mutex<Vec<Record>>,
    /// Acknowledged, and lost when the process ends before it goes on.
    pub unwritten: Mutex<Option<Vec<Record>>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl TakesRecords for Arc<Kafka> {
    fn take(&self, record: Record) -> BoxFuture<'static, Result<(), PublishError>> {
        let kafka = Arc::clone(self);
        async move {
            stop().await;
            match &mut *lock(&kafka.unwritten) {
                Some(unwritten) => unwritten.push(record),
                None => lock(&kafka.log).push(record),
            }
            stop().await;
            Ok(())
        }
        .boxed()
    }
}

/// What Restate keeps of an invocation, and what it has been told but may not have heard.
#[derive(Default)]
pub struct Invocation {
    /// Results of `run`, in order.
    runs: Vec<String>,
    /// Commands that it has, and those that are on their way.
    pub heard: Vec<Command>,
    pub said: Vec<Command>,
    /// The attempt that it listens to.
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    State(Bytes),
    /// A message to another handler.
    Send(String),
}

impl Invocation {
    /// What is on its way arrives.
    pub fn hear(&mut self) {
        for (number, said) in self.said.drain(..).enumerate() {
            match self.heard.get(number) {
                Some(heard) => assert_eq!(*heard, said, "another journal"),
                None => self.heard.push(said),
            }
        }
    }

    /// The state that it has been told.
    pub fn state(&self) -> Option<&Bytes> {
        self.heard.iter().find_map(|command| match command {
            Command::State(entry) => Some(entry),
            Command::Send(_) => None,
        })
    }
}

/// One attempt's context.
pub struct Attempt {
    pub number: u32,
    /// The state when the attempt began.
    pub state: Option<Bytes>,
    pub invocation: Arc<Mutex<Invocation>>,
    /// The time that `run` finds.
    pub clock: Arc<Mutex<i64>>,
    pub missing: Option<Rule>,
    runs: Mutex<usize>,
}

impl Attempt {
    pub fn new(
        invocation: &Arc<Mutex<Invocation>>,
        state: Option<Bytes>,
        clock: &Arc<Mutex<i64>>,
        missing: Option<Rule>,
    ) -> Self {
        let mut known = lock(invocation);
        known.attempt += 1;
        known.said.clear();
        Self {
            number: known.attempt,
            state,
            invocation: Arc::clone(invocation),
            clock: Arc::clone(clock),
            missing,
            runs: Mutex::default(),
        }
    }

    /// Whether the journal has anything of an earlier attempt.
    pub fn has_run(&self) -> bool {
        !lock(&self.invocation).runs.is_empty()
    }

    fn say(&self, command: Command) {
        let mut invocation = lock(&self.invocation);
        if invocation.attempt == self.number {
            invocation.said.push(command);
        }
    }
}

impl<'a> Journal<'a> for Attempt {
    fn invocation(&self) -> String {
        unreachable!("nothing is asked for")
    }

    fn reply(&self, _: &str) -> Awaited<'a, Bytes> {
        unreachable!("nothing is asked for")
    }

    fn sleep(&self, _: Duration) -> Awaited<'a, ()> {
        unreachable!("nothing sleeps")
    }

    fn run(
        &self,
        name: &'static str,
        effect: Effect,
    ) -> BoxFuture<'a, Result<String, TerminalError>> {
        let number = {
            let mut runs = lock(&self.runs);
            *runs += 1;
            *runs
        };
        let (invocation, attempt) = (Arc::clone(&self.invocation), self.number);
        let (clock, missing) = (Arc::clone(&self.clock), self.missing);
        async move {
            let is_journaled = name != "now" || missing != Some(Rule::JournaledTime);
            let known = lock(&invocation).runs.get(number - 1).cloned();
            if let Some(known) = known.filter(|_| is_journaled) {
                return Ok(known);
            }
            stop().await;
            let found = match name {
                "now" => lock(&clock).to_string(),
                _ => effect().await.map_err(|_| TerminalError::new("not here"))?,
            };
            stop().await;
            let is_listened_to = {
                let mut invocation = lock(&invocation);
                let is_listened_to = invocation.attempt == attempt;
                if is_listened_to && invocation.runs.len() < number {
                    invocation.runs.push(found.clone());
                }
                is_listened_to
            };
            if !is_listened_to {
                // What Restate does not acknowledge does not go on.
                pending::<()>().await;
            }
            Ok(found)
        }
        .boxed()
    }

    fn entry(&self) -> BoxFuture<'a, Result<Option<Bytes>, TerminalError>> {
        let state = self.state.clone();
        async move {
            stop().await;
            Ok(state)
        }
        .boxed()
    }

    fn write_state(&self, entry: Bytes) {
        self.say(Command::State(entry));
    }

    fn send(&self, target: RequestTarget, parameter: Bytes, _: Duration) {
        self.say(Command::Send(format!("{target:?} {parameter:?}")));
    }
}
