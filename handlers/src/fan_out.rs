//! Fan-out: a job is a list of subtasks, which run in parallel and are gathered in its order.
//!
//! Each subtask is a command under a key of its own, `<job id>/<n>`. All are sent at once and
//! awaited together; one that fails does not keep the others from being gathered.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepResult, Steps};
use millstream_schemas::fan_out_jobs::{JobCompleted, SubtaskResult};
use millstream_schemas::subtasks::{RunSubtask, SubtaskCompleted};
use millstream_topics::{FanOutJobs, TOPICS};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::settings::milliseconds;

/// A subtask could not be done.
pub const SUBTASK_FAILED: &str = "subtask-failed";

/// A job's subtasks at most: all of them and their results must fit in one record each.
pub const MAX_SUBTASKS: usize = 100;

/// How long a job waits for its subtasks beyond the time that one takes. It is longer than a
/// restart, so that only what is broken is missing from the result.
const PATIENCE: Duration = Duration::from_secs(60);

/// A subtask of this description fails: this catalogue has no work to do that could.
const FAILS: &str = "fail";

/// How long things take.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Milliseconds that a subtask of a job takes
    #[arg(
        long = "subtask-ms",
        default_value = "1000",
        env = "MILLSTREAM_SUBTASK_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub subtask: Duration,
}

/// Nothing is remembered of jobs and subtasks.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Nothing {}

/// Splits jobs and gathers their results. Its key is the job id.
pub struct FanOutWorker {
    service: Service,
    deadline: Duration,
}

impl FanOutWorker {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(FanOutWorker in TOPICS)),
            deadline: settings.subtask.saturating_add(PATIENCE),
        }
    }

    async fn run(
        &self,
        steps: &Steps<'_>,
        job: &str,
        description: &str,
    ) -> StepResult<JobCompleted> {
        let subtasks = split(description)?;
        let commands = subtasks.iter().enumerate().map(|(n, subtask)| {
            let description = (*subtask).to_owned();
            (format!("{job}/{n}"), RunSubtask { description })
        });
        let outcomes = steps
            .request_all::<millstream_topics::Subtasks>(commands, self.deadline)
            .await?;
        let results = subtasks.into_iter().zip(outcomes);
        let results = results.map(|(subtask, outcome)| result(subtask, outcome));
        Ok(JobCompleted {
            results: results.collect(),
        })
    }
}

/// The subtasks of a job.
fn split(description: &str) -> Result<Vec<&str>, Failure> {
    let subtasks: Vec<&str> = description.split(',').map(str::trim).collect();
    if subtasks.iter().any(|subtask| subtask.is_empty()) {
        return Err(Failure::invalid_request(
            "a subtask is empty; write them with a comma between two of them",
        ));
    }
    if subtasks.len() > MAX_SUBTASKS {
        return Err(Failure::invalid_request(format!(
            "the job has {} subtasks and may have {MAX_SUBTASKS}; make several jobs",
            subtasks.len()
        )));
    }
    Ok(subtasks)
}

fn result(description: &str, outcome: Result<SubtaskCompleted, Failure>) -> SubtaskResult {
    let (outcome, error) = match outcome {
        Ok(done) => (Some(done.outcome), None),
        Err(failure) => (None, Some(failure.to_string())),
    };
    SubtaskResult {
        description: description.to_owned(),
        outcome,
        error,
    }
}

#[restate_sdk::object]
impl FanOutWorker {
    /// Handles `fan-out-jobs`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<FanOutJobs, Nothing>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        let description = turn.event.description.clone();
        let result = self.run(&turn.steps(), ctx.key(), &description).await;
        turn.finish(result).await
    }
}

/// Runs subtasks. Its key is the subtask id.
pub struct Subtasks {
    service: Service,
    takes: Duration,
}

impl Subtasks {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(Subtasks in TOPICS)),
            takes: settings.subtask,
        }
    }

    async fn run(&self, steps: &Steps<'_>, subtask: &RunSubtask) -> StepResult<SubtaskCompleted> {
        if subtask.description.trim().is_empty() {
            let message = "description is empty; say what is to be done";
            return Err(Failure::invalid_request(message).into());
        }
        steps.sleep(self.takes).await?;
        if subtask.description == FAILS {
            let message = "it could not be done; look at what it asks for";
            return Err(Failure::new(SUBTASK_FAILED, message).into());
        }
        Ok(SubtaskCompleted {
            outcome: "DONE".to_owned(),
        })
    }
}

#[restate_sdk::object]
impl Subtasks {
    /// Handles `subtasks`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive::<millstream_topics::Subtasks, Nothing>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        let subtask = turn.event.clone();
        let result = self.run(&turn.steps(), &subtask).await;
        turn.finish(result).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_at_its_commas() {
        assert_eq!(
            split("get out of bed, shower,make coffee").unwrap(),
            ["get out of bed", "shower", "make coffee"]
        );
        assert_eq!(split("shower").unwrap(), ["shower"]);
        let most = vec!["a"; MAX_SUBTASKS];
        assert_eq!(split(&most.join(",")).unwrap(), most);
        let too_many = "a,".repeat(MAX_SUBTASKS) + "a";
        for bad in ["", " ", "a,,b", "a,", ",", &too_many] {
            assert_eq!(split(bad).unwrap_err().code, "invalid-request", "{bad}");
        }
    }

    #[test]
    fn a_failure_names_its_subtask() {
        let failed = result("fail", Err(Failure::new(SUBTASK_FAILED, "why")));
        assert_eq!(failed.description, "fail");
        assert_eq!(failed.outcome, None);
        assert_eq!(failed.error.as_deref(), Some("subtask-failed: why"));
    }
}
