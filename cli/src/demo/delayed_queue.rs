//! A task for later is submitted twice and asked about; one fails twice, and one always.

use millstream_handlers::delayed_queue::{TASK_FAILED, TASK_NOT_FOUND};
use millstream_pipeline::events::RequestFailed;
use millstream_schemas::task_queries::GetTaskResult;
use millstream_schemas::tasks::{SubmitTask, TaskCompleted};
use millstream_topics::{TaskQueries, Tasks};

use super::Run;

const DELAY_MS: i64 = 500;

fn task(description: &str, delay_ms: Option<i64>) -> SubmitTask {
    SubmitTask {
        description: description.into(),
        delay_ms,
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let later = run.key("task1");
    let (first, second) = (run.meta(), run.meta());
    for meta in [&first, &second] {
        run.send::<Tasks>(&later, task("send the report", Some(DELAY_MS)), meta)
            .await?;
    }
    // Topics have no order between them: ask until the submission has arrived.
    let asked = loop {
        let meta = run.meta();
        run.send::<TaskQueries>(&later, GetTaskResult {}, &meta)
            .await?;
        let answer = run.result_of(&meta).await?;
        let refused = answer.event::<RequestFailed>();
        if !refused.is_ok_and(|refused| refused.code == TASK_NOT_FOUND) {
            break answer;
        }
    };
    let (first, second) = (run.result_of(&first).await?, run.result_of(&second).await?);
    for (who, answer) in [("first", first), ("second", second), ("query", asked)] {
        let outcome = answer.event::<TaskCompleted>()?.outcome;
        run.expect(
            &format!("the outcome for the {who}"),
            outcome.as_str(),
            "send the report: done",
        );
    }
    let flaky = run.key("task2");
    run.request::<Tasks, TaskCompleted>(&flaky, task("flaky", None))
        .await?;
    let fails = run.key("task3");
    let refused: RequestFailed = run.request::<Tasks, _>(&fails, task("fail", None)).await?;
    run.expect(
        "the task that always fails",
        refused.code.as_str(),
        TASK_FAILED,
    );
    Ok(())
}
