//! A priority queue: of expensive calls only so many run at once, the most urgent first.
//!
//! A call asks the queue for a slot by an event and is answered when it is its turn, so a call that
//! waits holds nothing but itself. It gives the slot back by an event too. A slot whose holder is
//! not heard of any more is freed at its deadline by a durable timer.
//!
//! A handler that is killed while it works is started again by Restate and still has its slot.

mod call;
mod queue;

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::process::outputs::Outputs;
use millstream_pipeline::record::digest::derived_id;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepError, StepResult, Steps};
use millstream_schemas::expensive_calls::{CallCompleted, ExpensiveCall};
use millstream_schemas::priority_queue::{Enqueue, Release};
use restate_sdk::prelude::*;

use crate::settings::milliseconds;

pub use call::{Request, Work, simulation};
pub use queue::{
    MAX_WAITING, PRIORITIES, QUEUE_FULL, Queue, Rules, Select, Waiting, decide, lowest_first,
};

/// The queue that expensive calls wait in.
pub const QUEUE: &str = "default";
/// All attempts of a call failed.
pub const CALL_FAILED: &str = "call-failed";

/// How long a call waits for its slot.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// Attempts of a call that fails, while its slot is held.
const MAX_ATTEMPTS: u32 = 3;

/// How many calls run at once, and for how long.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Expensive calls that run at once
    #[arg(
        long,
        default_value = "10",
        env = "MILLSTREAM_CALLS_IN_FLIGHT",
        value_name = "COUNT"
    )]
    pub calls_in_flight: usize,
    /// Milliseconds that an expensive call takes
    #[arg(
        long = "call-duration-ms",
        default_value = "5000",
        env = "MILLSTREAM_CALL_DURATION_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub call_duration: Duration,
    /// Milliseconds that an expensive call may hold its slot
    #[arg(
        long = "call-deadline-ms",
        default_value = "60000",
        env = "MILLSTREAM_CALL_DEADLINE_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub call_deadline: Duration,
}

/// The queue. Its key is the queue's name.
pub struct PriorityQueue {
    service: Service,
    rules: Rules,
}

impl PriorityQueue {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, rules: Rules) -> Self {
        let service = pipeline.service(service_name!(PriorityQueue in millstream_topics::TOPICS));
        Self { service, rules }
    }
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl PriorityQueue {
    /// Handles `priority-queue`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let decide = |queue: &mut Queue, event, outputs: &mut Outputs| {
            queue::decide(queue, event, self.rules, outputs)
        };
        self.service
            .handle_with::<millstream_topics::PriorityQueue, _>(&ctx, record, decide)
            .await
    }
}

/// The calls. Its key is the request id.
pub struct ExpensiveCalls {
    service: Service,
    work: Work,
    hold: Duration,
}

impl ExpensiveCalls {
    /// The service on `pipeline`: `work` is what a call is, `hold` how long it may take.
    pub fn new(pipeline: &Pipeline, work: Work, hold: Duration) -> Self {
        Self {
            service: pipeline.service(service_name!(ExpensiveCalls in millstream_topics::TOPICS)),
            work,
            hold,
        }
    }

    /// Waits for a slot, works, and gives the slot back.
    async fn call(
        &self,
        ctx: &ObjectContext<'_>,
        steps: &Steps<'_>,
        (call, ticket): (&ExpensiveCall, String),
    ) -> StepResult<i64> {
        let enqueue = Enqueue {
            ticket: ticket.clone(),
            priority: call.priority,
            hold_ms: None,
        };
        let granted = steps
            .request::<millstream_topics::PriorityQueue>(QUEUE, enqueue, PATIENCE)
            .await;
        let result = match granted {
            Ok(_) => self.work(ctx, call).await,
            Err(StepError::Attempt(error)) => return Err(StepError::Attempt(error)),
            Err(error) => Err(error),
        };
        // Whatever it came to, it no longer wants the slot.
        steps
            .emit::<millstream_topics::PriorityQueue>(QUEUE, Release { ticket })
            .await?;
        result
    }

    async fn work(&self, ctx: &ObjectContext<'_>, call: &ExpensiveCall) -> StepResult<i64> {
        let (work, call, limit) = (self.work.clone(), call.clone(), self.hold);
        let attempt =
            async move || Ok(call::attempt(work, call, limit).await.map_err(TaskError)?);
        let retries = RunRetryPolicy::new()
            .initial_delay(Duration::from_millis(100))
            .exponentiation_factor(2.0)
            .max_attempts(MAX_ATTEMPTS);
        let worked = ctx.run(attempt).name("call").retry_policy(retries).await;
        worked.map_err(|error| {
            let message = format!("{} attempts failed: {}", MAX_ATTEMPTS, error.message());
            match error.code() {
                409 => StepError::from(error),
                _ => Failure::passing(CALL_FAILED, message).into(),
            }
        })
    }
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct TaskError(String);

#[restate_sdk::object]
impl ExpensiveCalls {
    /// Handles `expensive-calls`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive::<millstream_topics::ExpensiveCalls, Request>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        let call = turn.event.clone();
        match turn.state().known(&call) {
            Ok(None) => {}
            Ok(Some(known)) => return turn.answer(known).await,
            Err(failure) => return turn.fail(failure).await,
        }
        // A ticket of its own for each command, in case one of this request id gave up before.
        let ticket = derived_id(&turn.meta().id, ctx.key(), 0);
        let result = self.call(&ctx, &turn.steps(), (&call, ticket)).await;
        if let Ok(result) = result {
            turn.state().done = Some(call::Done {
                left: call.left,
                right: call.right,
                result,
            });
        }
        turn.finish(result.map(|result| CallCompleted { result }))
            .await
    }
}
