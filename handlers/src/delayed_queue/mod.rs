//! A queue of tasks, each executed once, now or later, whatever the number of its submissions.
//!
//! The task id tells submissions of one task apart from those of others. A durable timer makes the
//! queue send itself `ExecuteTask` when the task is due; between attempts nothing runs. Whoever
//! submitted the task or asks for its result is answered when it has ended: their addresses lie in
//! the state, so a task holds up nobody while it waits.
//!
//! Of an attempt that a crash cuts off nobody knows how far it came, so it is made again.

mod execution;
mod task;

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_topics::{TOPICS, TaskExecutions, TaskQueries, Tasks};
use restate_sdk::prelude::*;

use crate::settings::milliseconds;

pub use execution::{Ended, Execute, Execution, simulation};
pub use task::{
    MAX_ATTEMPTS, MAX_WAITING, TASK_FAILED, TASK_NOT_FOUND, TOO_MANY_WAITING, Task, executed,
    query, submit,
};

/// How tasks are tried.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Milliseconds before a failed task is tried again; twice as long each further time
    #[arg(
        long = "task-retry-delay-ms",
        default_value = "1000",
        env = "MILLSTREAM_TASK_RETRY_DELAY_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub task_retry_delay: Duration,
}

/// The service. Its key is the task id.
pub struct TaskQueue {
    service: Service,
    execute: Execute,
    retry_delay: Duration,
}

impl TaskQueue {
    /// The service on `pipeline`. `execute` is what a task is; a failed attempt is repeated after
    /// `retry_delay`, the next one after twice as long, and so on.
    pub fn new(pipeline: &Pipeline, execute: Execute, retry_delay: Duration) -> Self {
        Self {
            service: pipeline.service(service_name!(TaskQueue in TOPICS)),
            execute,
            retry_delay,
        }
    }
}

#[restate_sdk::object]
impl TaskQueue {
    /// Handles `tasks`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.service
            .handle_with::<Tasks, _>(&ctx, record, submit)
            .await
    }

    /// Handles `task-queries`. Exclusive, for it may have to wait for the task.
    #[handler(name = "onQuery")]
    async fn on_query(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.service
            .handle_with::<TaskQueries, _>(&ctx, record, query)
            .await
    }

    /// Handles `task-executions`.
    #[handler(name = "onExecution")]
    async fn on_execution(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<TaskExecutions, Task>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        let attempt = turn.event.attempt;
        let description = match turn.state().due(attempt) {
            Ok(Some(description)) => description.to_owned(),
            Ok(None) => return turn.answer(()).await,
            Err(failure) => return turn.fail(failure).await,
        };
        let execution = Execution {
            task_id: ctx.key().to_owned(),
            description,
            attempt: attempt.unsigned_abs(),
        };
        let execute = self.execute.clone();
        let attempt = async move || Ok(Json(execution::attempt(execute, execution).await));
        let ended = match ctx.run(attempt).name("execute").await {
            Ok(Json(ended)) => ended,
            // Somebody cancelled it: an attempt that failed.
            Err(error) => Ended {
                result: Err(error.message().to_owned()),
                at: turn.recorded_ms().saturating_mul(1000),
            },
        };
        let retry_delay = self.retry_delay;
        turn.decide_with(|task, _, outputs| {
            executed(task, ended, retry_delay, outputs);
            Ok(Some(()))
        })
        .await
    }
}
