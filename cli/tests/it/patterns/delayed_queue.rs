//! The delayed queue: tasks that are executed once each, now or later.

use futures::future::{join_all, try_join_all};
use millstream_handlers::delayed_queue::{
    MAX_WAITING, TASK_FAILED, TASK_NOT_FOUND, TOO_MANY_WAITING,
};
use millstream_pipeline::client::Client;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::task_executions::ExecuteTask;
use millstream_schemas::task_queries::GetTaskResult;
use millstream_schemas::tasks::{SubmitTask, TaskCompleted};
use millstream_topics::{TOPICS, TaskExecutions, TaskQueries, Tasks};

use crate::faults::ledger::records;
use crate::support::{
    Bench, LIMIT, client, endpoints, failure, letter_code, many_events_permit, sql, unique,
};

fn submission(description: &str, delay_ms: Option<i64>) -> SubmitTask {
    SubmitTask {
        description: description.into(),
        delay_ms,
    }
}

async fn submit(client: &Client, task: &str, description: &str) -> Seen {
    let submission = submission(description, None);
    let answer = client.request::<Tasks>(task, submission, LIMIT);
    answer.await.unwrap()
}

/// Sends a query; a submission on another topic may still be under way, so it asks until the task
/// is known.
async fn query(client: &Client, task: &str) -> Seen {
    loop {
        let answer = client.request::<TaskQueries>(task, GetTaskResult {}, LIMIT);
        let answer = answer.await.unwrap();
        if answer.full_name.as_deref() != Some("millstream.RequestFailed")
            || failure(&answer) != TASK_NOT_FOUND
        {
            return answer;
        }
    }
}

/// The attempts of a task, in order.
async fn attempts(task: &str) -> Vec<i32> {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let all = records(endpoints(), &codec, TaskExecutions::DECLARATION.name).await;
    all.iter()
        .filter(|seen| seen.key.as_deref() == Some(task))
        .map(|seen| seen.event::<ExecuteTask>().unwrap().attempt)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_submissions_are_executed_once_and_all_answered() {
    let client = client().await;
    let task = unique("task");
    let answers = join_all((0..10).map(|_| submit(&client, &task, "a"))).await;
    for answer in &answers {
        let result: TaskCompleted = answer.event().unwrap();
        assert_eq!(result.outcome, "a: done");
    }
    assert_eq!(attempts(&task).await, [1]);
    let again = submit(&client, &task, "a").await;
    again.event::<TaskCompleted>().unwrap();
    assert_eq!(attempts(&task).await, [1]);
    let results = client.seen(|seen| seen.key.as_ref() == Some(&task));
    let seqs: Vec<_> = results
        .iter()
        .map(|seen| seen.meta.as_ref().unwrap().seq.unwrap())
        .collect();
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_when_the_task_is_completed() {
    const DELAY_MS: i64 = 2000;
    let client = client().await;
    let task = unique("task");
    let meta = client.meta();
    let late = submission("later", Some(DELAY_MS));
    let (partition, offset) = client
        .send::<Tasks>(&task, late, Some(&meta))
        .await
        .unwrap();
    let waited = query(&client, &task).await;
    assert_eq!(
        waited.event::<TaskCompleted>().unwrap().outcome,
        "later: done"
    );
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let sent = records(endpoints(), &codec, Tasks::DECLARATION.name).await;
    let sent = sent
        .iter()
        .find(|seen| (seen.partition, seen.offset) == (partition, offset))
        .unwrap();
    assert!(
        waited.timestamp >= sent.timestamp + DELAY_MS,
        "not before its time"
    );
    client.result_of(&meta, LIMIT).await.unwrap();
    let after = query(&client, &task).await;
    assert_eq!(
        after.event::<TaskCompleted>().unwrap().outcome,
        "later: done"
    );
    assert_eq!(attempts(&task).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_tried_again_and_reported_in_the_end() {
    let client = client().await;
    let (flaky, fails) = (unique("task"), unique("task"));
    let answer = submit(&client, &flaky, "flaky").await;
    answer.event::<TaskCompleted>().unwrap();
    assert_eq!(attempts(&flaky).await, [1, 2, 3]);
    for _ in 0..2 {
        assert_eq!(failure(&submit(&client, &fails, "fail").await), TASK_FAILED);
    }
    assert_eq!(failure(&query(&client, &fails).await), TASK_FAILED);
    assert_eq!(attempts(&fails).await, [1, 2, 3, 4], "and no more");
    let letters = client.seen(|seen| {
        seen.topic.ends_with("-dlq") && [&flaky, &fails].map(Some).contains(&seen.key.as_ref())
    });
    assert!(letters.is_empty(), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_id_stands_for_one_description() {
    let client = client().await;
    let task = unique("task");
    submit(&client, &task, "a").await;
    let refused = submit(&client, &task, "b").await;
    assert_eq!(failure(&refused), "idempotency-mismatch");
    assert_eq!(attempts(&task).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_submissions_change_nothing() {
    let client = client().await;
    let task = unique("task");
    for bad in [
        submission("", None),
        submission("a", Some(-1)),
        submission("a", Some(i64::MIN)),
        submission("a", Some(i64::MAX)),
        submission(&"x".repeat(10_001), None),
    ] {
        let answer = client.request::<Tasks>(&task, bad, LIMIT).await.unwrap();
        assert_eq!(failure(&answer), "invalid-request");
    }
    let entries = sql::settled_state(endpoints(), "TaskQueue", &task).await;
    assert!(entries[0].1.get("description").is_none(), "{entries:?}");
    assert_eq!(attempts(&task).await, [0; 0]);
    submit(&client, &task, "a")
        .await
        .event::<TaskCompleted>()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_for_ones_grandchildren_waits() {
    const FIFTY_YEARS_MS: i64 = 50 * 365 * 24 * 60 * 60 * 1000;
    let client = client().await;
    let task = unique("task");
    let (waits, second) = (client.meta(), client.meta());
    for meta in [&waits, &second] {
        let late = submission("a", Some(FIFTY_YEARS_MS));
        client.send::<Tasks>(&task, late, Some(meta)).await.unwrap();
    }
    // Handled after those two.
    assert_eq!(
        failure(&submit(&client, &task, "b").await),
        "idempotency-mismatch"
    );
    let entries = sql::settled_state(endpoints(), "TaskQueue", &task).await;
    assert_eq!(entries[0].1["waiting"].as_array().unwrap().len(), 2);
    assert_eq!(attempts(&task).await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_number_waits_for_a_task() {
    let _permit = many_events_permit().await;
    let client = client().await;
    let task = unique("task");
    let late = submission("a", Some(30_000));
    let submitted = client.meta();
    let sent = client.send::<Tasks>(&task, late.clone(), Some(&submitted));
    sent.await.unwrap();
    let metas: Vec<EventMeta> = (0..MAX_WAITING + 5).map(|_| client.meta()).collect();
    let sent = metas
        .iter()
        .map(|meta| client.send::<Tasks>(&task, late.clone(), Some(meta)));
    try_join_all(sent).await.unwrap();
    client.result_of(&submitted, LIMIT).await.unwrap();
    let mut refused = 0;
    for meta in &metas {
        let answer = client.result_of(meta, LIMIT).await.unwrap();
        if answer.full_name.as_deref() == Some("millstream.RequestFailed") {
            assert_eq!(failure(&answer), TOO_MANY_WAITING);
            refused += 1;
        }
    }
    assert_eq!(refused, 6, "the others waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_task_that_nobody_submitted() {
    let bench = Bench::new(endpoints()).await;
    let task = unique("task");
    let asked = bench
        .client
        .request::<TaskQueries>(&task, GetTaskResult {}, LIMIT);
    assert_eq!(failure(&asked.await.unwrap()), TASK_NOT_FOUND);
    // Nor is it executed because somebody says that it is due.
    let execute = ExecuteTask { attempt: 1 };
    let at = bench.client.send::<TaskExecutions>(&task, execute, None);
    let at = at.await.unwrap();
    let letter = bench
        .dead_letter(TaskExecutions::DECLARATION.name, at)
        .await;
    assert_eq!(letter_code(&letter), TASK_NOT_FOUND);
}
