//! A task: what is decided about it, without Restate.

use std::time::Duration;

use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::process::outputs::{Outputs, ReturnAddress};
use millstream_pipeline::system::timers::MAX_DELAY;
use millstream_schemas::task_executions::ExecuteTask;
use millstream_schemas::task_queries::GetTaskResult;
use millstream_schemas::tasks::{SubmitTask, TaskCompleted};
use millstream_topics::TaskExecutions;
use serde::{Deserialize, Serialize};

use super::execution::Ended;

/// All attempts of the task failed.
pub const TASK_FAILED: &str = "task-failed";
/// Nobody has submitted the task.
pub const TASK_NOT_FOUND: &str = "task-not-found";
/// As many submissions and queries await the task as it can remember.
pub const TOO_MANY_WAITING: &str = "too-many-waiting";

/// Attempts in all.
pub const MAX_ATTEMPTS: u32 = 4;
/// Return addresses that a task remembers, some 20 KB.
pub const MAX_WAITING: usize = 100;
/// A description is part of the outcome, which must fit into an answer.
const MAX_DESCRIPTION_BYTES: usize = 10_000;

/// A task.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// `None`: nobody has submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default)]
    status: Status,
    /// Attempts that have ended.
    #[serde(default)]
    attempts: u32,
    /// The outcome, or why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Who is to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<ReturnAddress>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    #[default]
    Waiting,
    Completed,
    Failed,
}

/// The first submission sets the task going; it and all others are answered when it has ended.
pub fn submit(
    task: &mut Task,
    event: SubmitTask,
    outputs: &mut Outputs,
) -> Result<Option<TaskCompleted>, Failure> {
    let description = event.description;
    if description.is_empty() {
        return Err(Failure::invalid_request(
            "description is empty; say what is to be done",
        ));
    }
    if description.len() > MAX_DESCRIPTION_BYTES {
        return Err(Failure::invalid_request(format!(
            "description is longer than {MAX_DESCRIPTION_BYTES} bytes; shorten it"
        )));
    }
    let delay = delay(event.delay_ms)?;
    match &task.description {
        Some(known) if *known != description => {
            return Err(Failure::new(
                failure::IDEMPOTENCY_MISMATCH,
                "this task was submitted with another description; use a new task id",
            ));
        }
        Some(_) => {}
        None => {
            task.description = Some(description);
            let key = outputs.key().to_owned();
            let emission = outputs.emit::<TaskExecutions>(key, ExecuteTask { attempt: 1 });
            if let Some(delay) = delay {
                emission.after(delay);
            }
        }
    }
    result(task, outputs)
}

fn delay(delay_ms: Option<i64>) -> Result<Option<Duration>, Failure> {
    let delay = u64::try_from(delay_ms.unwrap_or(0)).map(Duration::from_millis);
    match delay {
        Ok(delay) if delay.is_zero() => Ok(None),
        Ok(delay) if delay <= MAX_DELAY => Ok(Some(delay)),
        _ => Err(Failure::invalid_request(format!(
            "delay_ms must lie between 0 and {}, a hundred years",
            MAX_DELAY.as_millis()
        ))),
    }
}

/// Whoever asks is told at once if the task has ended, else when it ends.
pub fn query(
    task: &mut Task,
    _: GetTaskResult,
    outputs: &mut Outputs,
) -> Result<Option<TaskCompleted>, Failure> {
    result(task, outputs)
}

fn result(task: &mut Task, outputs: &Outputs) -> Result<Option<TaskCompleted>, Failure> {
    if task.description.is_none() {
        return Err(not_found());
    }
    match task.status {
        Status::Completed => Ok(Some(completed(task))),
        Status::Failed => Err(failed(task)),
        Status::Waiting if task.waiting.len() >= MAX_WAITING => Err(Failure::passing(
            TOO_MANY_WAITING,
            format!("{MAX_WAITING} others wait for this task; ask again later"),
        )),
        Status::Waiting => {
            task.waiting.extend(outputs.return_address());
            Ok(None)
        }
    }
}

fn not_found() -> Failure {
    let message =
        "nobody has submitted this task yet; submit it, or ask again if that is under way";
    Failure::passing(TASK_NOT_FOUND, message)
}

fn completed(task: &Task) -> TaskCompleted {
    TaskCompleted {
        outcome: task.outcome.clone().unwrap_or_default(),
    }
}

fn failed(task: &Task) -> Failure {
    let reason = task.outcome.as_deref().unwrap_or_default();
    Failure::new(
        TASK_FAILED,
        format!("all {} attempts failed: {reason}", task.attempts),
    )
}

impl Task {
    /// What this attempt is to do; `None`: it was made already.
    pub fn due(&self, attempt: i32) -> Result<Option<&str>, Failure> {
        let description = self.description.as_deref().ok_or_else(not_found)?;
        let is_next = i64::from(attempt) == i64::from(self.attempts) + 1;
        Ok((is_next && self.status == Status::Waiting).then_some(description))
    }
}

/// An attempt has ended: the task has too, or it is tried again later.
pub fn executed(task: &mut Task, ended: Ended, retry_delay: Duration, outputs: &mut Outputs) {
    task.attempts += 1;
    match ended.result {
        Ok(outcome) => {
            task.status = Status::Completed;
            task.outcome = Some(outcome);
            let result = completed(task);
            for address in task.waiting.drain(..) {
                outputs.answer(address, &result);
            }
        }
        Err(reason) => {
            task.outcome = Some(reason);
            if task.attempts < MAX_ATTEMPTS {
                let attempt = i32::try_from(task.attempts + 1).unwrap_or(i32::MAX);
                let delay = retry_delay.saturating_mul(1 << (task.attempts - 1).min(16));
                let delay = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
                let key = outputs.key().to_owned();
                outputs
                    .emit::<TaskExecutions>(key, ExecuteTask { attempt })
                    .at(ended.at.saturating_add(delay));
            } else {
                task.status = Status::Failed;
                let failure = failed(task);
                for address in task.waiting.drain(..) {
                    outputs.refuse(address, &failure);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
