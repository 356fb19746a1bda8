use millstream_pipeline::events::{Event, EventMeta, RequestFailed};
use serde_json::json;

use super::*;

const RECORDED_MS: i64 = 1_000;

fn address(n: usize) -> ReturnAddress {
    let text = n.to_string();
    serde_json::from_value(json!({"t": "tasks-results", "k": "task1", "c": text, "r": text}))
        .unwrap()
}

/// Outputs of the `n`th command.
fn outputs(n: usize) -> Outputs {
    Outputs::new("task1", EventMeta::default(), RECORDED_MS).answering(address(n))
}

fn submission(description: &str, delay_ms: Option<i64>) -> SubmitTask {
    SubmitTask {
        description: description.into(),
        delay_ms,
    }
}

fn submitted(description: &str) -> Task {
    let mut task = Task::default();
    submit(&mut task, submission(description, None), &mut outputs(0)).unwrap();
    task
}

fn end(task: &mut Task, result: Result<&str, &str>) -> Outputs {
    let mut outputs = Outputs::new("task1", EventMeta::default(), RECORDED_MS);
    let ended = Ended {
        result: result.map(str::to_owned).map_err(str::to_owned),
        at: 5_000_000,
    };
    executed(task, ended, Duration::from_secs(1), &mut outputs);
    outputs
}

#[test]
fn a_task_is_set_going_once_and_every_submission_is_answered() {
    let mut task = Task::default();
    for n in 0..5 {
        let mut outputs = outputs(n);
        let answer = submit(&mut task, submission("a", Some(500)), &mut outputs).unwrap();
        assert_eq!(answer, None);
        let emitted: Vec<_> = outputs.emitted().collect();
        assert_eq!(emitted.len(), usize::from(n == 0));
        for emission in emitted {
            let due = Some((RECORDED_MS + 500) * 1000);
            assert!(emission.is::<TaskExecutions>("task1", ExecuteTask { attempt: 1 }, due));
        }
    }
    assert_eq!(
        query(&mut task, GetTaskResult {}, &mut outputs(5)).unwrap(),
        None
    );
    let told = end(&mut task, Ok("done"));
    let answers: Vec<_> = told.answers().collect();
    let addresses: Vec<_> = (0..6).map(address).collect();
    let expected: Vec<_> = addresses
        .iter()
        .map(|address| (address, Some(TaskCompleted::FULL_NAME)))
        .collect();
    assert_eq!(answers, expected);
    let late = query(&mut task, GetTaskResult {}, &mut outputs(6)).unwrap();
    assert_eq!(late.unwrap().outcome, "done");
    assert_eq!(task.due(1), Ok(None), "it is over");
}

#[test]
fn a_task_without_delay_is_due_at_once() {
    for delay_ms in [None, Some(0)] {
        let mut outputs = outputs(0);
        submit(
            &mut Task::default(),
            submission("a", delay_ms),
            &mut outputs,
        )
        .unwrap();
        let now = outputs.emitted().next().unwrap();
        assert!(now.is::<TaskExecutions>("task1", ExecuteTask { attempt: 1 }, None));
    }
}

#[test]
fn absurd_submissions_change_nothing() {
    let century = i64::try_from(MAX_DELAY.as_millis()).unwrap();
    for event in [
        submission("", None),
        submission(&"x".repeat(MAX_DESCRIPTION_BYTES + 1), None),
        submission("a", Some(-1)),
        submission("a", Some(i64::MIN)),
        submission("a", Some(i64::MAX)),
        submission("a", Some(century + 1)),
    ] {
        let mut task = Task::default();
        let refused = submit(&mut task, event, &mut outputs(0)).unwrap_err();
        assert_eq!(refused.code, failure::INVALID_REQUEST);
        assert_eq!(task, Task::default());
    }
    submit(
        &mut Task::default(),
        submission("a", Some(century)),
        &mut outputs(0),
    )
    .unwrap();
}

#[test]
fn another_description_is_another_task() {
    let mut task = submitted("a");
    let refused = submit(&mut task, submission("b", None), &mut outputs(1)).unwrap_err();
    assert_eq!(refused.code, failure::IDEMPOTENCY_MISMATCH);
}

#[test]
fn a_failing_task_is_tried_again_later_and_given_up_in_the_end() {
    let mut task = submitted("fail");
    for (attempt, delay_seconds) in [(2, 1), (3, 2), (4, 4)] {
        assert_eq!(task.due(attempt - 1), Ok(Some("fail")));
        assert_eq!(task.due(attempt), Ok(None), "too early");
        let told = end(&mut task, Err("no"));
        let again = told.emitted().next().unwrap();
        let due = Some((5 + delay_seconds) * 1_000_000);
        assert!(again.is::<TaskExecutions>("task1", ExecuteTask { attempt }, due));
        assert_eq!(told.answered(), 0);
    }
    let told = end(&mut task, Err("never"));
    assert_eq!(told.emitted().count(), 0);
    let answers: Vec<_> = told.answers().collect();
    assert_eq!(answers, [(&address(0), Some(RequestFailed::FULL_NAME))]);
    let late = submit(&mut task, submission("fail", None), &mut outputs(1)).unwrap_err();
    assert_eq!(late.code, TASK_FAILED);
    assert!(
        late.message.ends_with("all 4 attempts failed: never"),
        "{late}"
    );
}

#[test]
fn so_many_may_wait_and_no_more() {
    let mut task = submitted("a");
    for n in 1..MAX_WAITING {
        assert_eq!(
            query(&mut task, GetTaskResult {}, &mut outputs(n)),
            Ok(None)
        );
    }
    let refused = query(&mut task, GetTaskResult {}, &mut outputs(MAX_WAITING)).unwrap_err();
    assert_eq!(refused.code, TOO_MANY_WAITING);
    assert_eq!(end(&mut task, Ok("done")).answered(), MAX_WAITING);
}

#[test]
fn nobody_waits_for_a_task_that_nobody_submitted() {
    let mut task = Task::default();
    let refused = query(&mut task, GetTaskResult {}, &mut outputs(0)).unwrap_err();
    assert_eq!(refused.code, TASK_NOT_FOUND);
    assert_eq!(task.due(1).unwrap_err().code, TASK_NOT_FOUND);
    assert_eq!(task, Task::default());
}
