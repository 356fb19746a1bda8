//! What executing a task is: a function that a user of the queue brings along.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// An attempt that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// A longer outcome would not fit into an answer.
const MAX_OUTCOME_BYTES: usize = 100_000;

/// What is to be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The task's id. An attempt that is cut off by a crash is made again, so what must happen once
    /// outside is to be told apart by it.
    pub task_id: String,
    /// What the submission says.
    pub description: String,
    /// From 1.
    pub attempt: u32,
}

/// Executes a task: its outcome, or why this attempt failed.
pub type Execute =
    Arc<dyn Fn(Execution) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Stands in for real work: `fail` always fails, `flaky` fails twice, all else succeeds.
pub fn simulation() -> Execute {
    Arc::new(|execution| async move { simulate(&execution) }.boxed())
}

fn simulate(execution: &Execution) -> Result<String, String> {
    match execution.description.as_str() {
        "fail" => Err("it always fails".to_owned()),
        "flaky" if execution.attempt <= 2 => Err("it fails twice".to_owned()),
        description => Ok(format!("{description}: done")),
    }
}

/// What an attempt came to. Journaled, so it is the same however often the handler starts over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The outcome, or why the attempt failed.
    pub result: Result<String, String>,
    /// When, in microseconds since 1970-01-01 UTC.
    pub at: i64,
}

/// Makes one attempt. It always ends: with a failure, if the function panics or takes too long.
pub async fn attempt(execute: Execute, execution: Execution) -> Ended {
    let executed = AssertUnwindSafe(async move { execute(execution).await }).catch_unwind();
    let result = match tokio::time::timeout(LIMIT, executed).await {
        Ok(Ok(Ok(outcome))) if outcome.len() > MAX_OUTCOME_BYTES => Err(format!(
            "its outcome is longer than {MAX_OUTCOME_BYTES} bytes"
        )),
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("it panicked".to_owned()),
        Err(_) => Err(format!("it took longer than {LIMIT:?}")),
    };
    Ended {
        result,
        at: millstream_pipeline::system::timers::now_micros(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(description: &str, attempt: u32) -> Execution {
        Execution {
            task_id: "task1".into(),
            description: description.into(),
            attempt,
        }
    }

    #[tokio::test]
    async fn the_simulation_fails_as_it_says() {
        for (description, attempt_number, succeeds) in [
            ("anything", 1, true),
            ("fail", 9, false),
            ("flaky", 2, false),
            ("flaky", 3, true),
        ] {
            let ended = attempt(simulation(), execution(description, attempt_number)).await;
            assert_eq!(
                ended.result.is_ok(),
                succeeds,
                "{description} {attempt_number}"
            );
        }
    }

    #[tokio::test]
    async fn a_panic_and_an_endless_outcome_are_failures() {
        let panics: Execute = Arc::new(|_| async { panic!("on purpose") }.boxed());
        let ended = attempt(panics, execution("x", 1)).await;
        assert_eq!(ended.result, Err("it panicked".to_owned()));
        let long: Execute = Arc::new(|_| async { Ok("x".repeat(MAX_OUTCOME_BYTES + 1)) }.boxed());
        assert!(attempt(long, execution("x", 1)).await.result.is_err());
    }
}
