//! Compensations: what a saga has to undo when it cannot go on.
//!
//! Steps register commands that undo them; when the saga fails they are carried out in reverse.
//! Each is a request, so each is journaled and, after a crash, not sent again once it was
//! answered. One that fails is tried until it succeeds: nothing else may be left half done.

use std::time::Duration;

use millstream_events::{Declaration, Topic};

use crate::codec::EncodedBody;
use crate::failure::{self, Failure};
use crate::observe::metrics::metrics;
use crate::steps::{StepError, StepResult, Steps};

/// How long the reply to a compensation is awaited before it is sent again.
const DEADLINE: Duration = Duration::from_secs(60);
/// First and longest pause before a compensation that failed is sent again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// Commands that undo what was done, in the order in which it was done.
#[derive(Debug, Default)]
pub struct Compensations(Vec<Compensation>);

#[derive(Debug)]
struct Compensation {
    name: &'static str,
    topic: &'static Declaration,
    key: String,
    command: EncodedBody,
}

impl Compensations {
    /// Nothing to undo yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a command that undoes a step. The service that gets it must take it more than once,
    /// and before the step itself: then it keeps the step from being done later.
    pub fn add<T: Topic>(
        &mut self,
        name: &'static str,
        key: &str,
        command: impl Into<T::Event>,
    ) -> Result<(), Failure> {
        if let Some(command) = EncodedBody::of(&command.into()) {
            self.0.push(Compensation {
                name,
                topic: T::DECLARATION,
                key: key.to_owned(),
                command: command?,
            });
        }
        Ok(())
    }

    /// Registers what undoes a step after the step: if it was done, or if nobody can tell. Hands its
    /// result on.
    pub fn after<T: Topic, R>(
        &mut self,
        result: StepResult<R>,
        name: &'static str,
        key: &str,
        command: impl Into<T::Event>,
    ) -> StepResult<R> {
        let may_be_done = match &result {
            Ok(_) => true,
            Err(StepError::Failed(failure)) => {
                matches!(
                    &*failure.code,
                    failure::DEADLINE_EXCEEDED | failure::CANCELLED
                )
            }
            Err(StepError::Attempt(_)) => false,
        };
        if may_be_done {
            self.add::<T>(name, key, command)?;
        }
        result
    }

    /// Carries all of them out, the last one first, and tells their names in that order.
    pub async fn run(self, steps: &Steps<'_>) -> StepResult<Vec<String>> {
        let mut done = Vec::with_capacity(self.0.len());
        for compensation in self.0.into_iter().rev() {
            let mut pause = PAUSES.0;
            while let Err(failure) = compensation.attempt(steps).await? {
                tracing::warn!(%failure, name = compensation.name, "a compensation is tried again");
                let labels = [compensation.topic.name];
                metrics()
                    .compensation_retries
                    .with_label_values(&labels)
                    .inc();
                // Cancelling a saga must not keep it from undoing what it did.
                match steps.sleep(pause).await {
                    Ok(()) | Err(StepError::Failed(_)) => {}
                    Err(error) => return Err(error),
                }
                pause = (pause * 2).min(PAUSES.1);
            }
            done.push(compensation.name.to_owned());
        }
        Ok(done)
    }
}

impl Compensation {
    async fn attempt(&self, steps: &Steps<'_>) -> Result<Result<(), Failure>, StepError> {
        let mut requests = steps.ask(DEADLINE);
        let number = requests.push(self.topic, &self.key, Ok(self.command.clone()));
        let reply = match requests.value(number).await {
            Ok(reply) => reply,
            Err(StepError::Failed(failure)) => return Ok(Err(failure)),
            Err(error) => return Err(error),
        };
        match reply {
            Ok(reply) => steps.refusal(&reply).await,
            Err(failure) => Ok(Err(failure)),
        }
    }
}
