//! Fan-out: subtasks in parallel, gathered in order.

use std::time::{Duration, Instant};

use millstream_handlers::fan_out::MAX_SUBTASKS;
use millstream_pipeline::client::Client;
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::fan_out_jobs::{JobCompleted, RunJob};
use millstream_schemas::subtasks::RunSubtask;
use millstream_topics::{FanOutJobs, Subtasks};

use crate::support::watch::Watch;
use crate::support::{LIMIT, client, endpoints, failure, unique};

/// What a subtask of the dev stack takes.
const SUBTASK: Duration = Duration::from_secs(1);

async fn run(client: &Client, job: &str, description: &str) -> Seen {
    let description = description.to_owned();
    client
        .request::<FanOutJobs>(job, RunJob { description }, LIMIT)
        .await
        .unwrap()
}

/// Subtask and outcome, or code.
fn outcomes(seen: &Seen) -> Vec<(String, String)> {
    let job: JobCompleted = seen.event().unwrap();
    let results = job.results.into_iter().map(|it| {
        assert_ne!(it.outcome.is_some(), it.error.is_some());
        let code = |error: String| error.split(':').next().unwrap().to_owned();
        (it.description, it.outcome.or(it.error.map(code)).unwrap())
    });
    results.collect()
}

fn expected<const N: usize>(of: [(&str, &str); N]) -> Vec<(String, String)> {
    of.map(|(subtask, outcome)| (subtask.to_owned(), outcome.to_owned()))
        .to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn subtasks_run_in_parallel_and_are_gathered_in_order() {
    let client = client().await;
    let watch = Watch::new(endpoints(), &["subtasks"]).await;
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let (job, begun) = (unique("job"), Instant::now());
        let seen = run(&client, &job, "get out of bed, shower,make coffee,shower").await;
        let took = begun.elapsed();
        println!("4 subtasks of {SUBTASK:?} took {took:?}");
        fastest = fastest.min(took);
        assert_eq!(
            outcomes(&seen),
            expected([
                ("get out of bed", "DONE"),
                ("shower", "DONE"),
                ("make coffee", "DONE"),
                ("shower", "DONE"),
            ])
        );
        watch
            .until(4, |seen| {
                let key = seen.key.as_deref().unwrap_or_default();
                (0..4).any(|n| key == format!("{job}/{n}"))
            })
            .await;
    }
    // A machine under load is slow, but not one after the other.
    assert!(fastest < SUBTASK * 4 * 3 / 4, "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subtask_that_fails_is_named_and_the_others_finish() {
    let client = client().await;
    let seen = run(&client, &unique("job"), "shower,fail,make coffee").await;
    assert_eq!(
        outcomes(&seen),
        expected([
            ("shower", "DONE"),
            ("fail", "subtask-failed"),
            ("make coffee", "DONE"),
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_makes_no_sense_is_refused() {
    let client = client().await;
    let watch = Watch::new(endpoints(), &["subtasks"]).await;
    let too_many = vec!["a"; MAX_SUBTASKS + 1].join(",");
    for description in ["", "  ", "shower,,coffee", "shower,", &too_many] {
        let job = unique("job");
        let refused = run(&client, &job, description).await;
        assert_eq!(failure(&refused), "invalid-request", "{description}");
        let of_job = |seen: &Seen| {
            let key = seen.key.as_deref().unwrap_or_default();
            key.starts_with(&job)
        };
        assert!(watch.events(of_job).is_empty());
    }
    let most = vec!["a"; MAX_SUBTASKS].join(",");
    let seen = run(&client, &unique("job"), &most).await;
    assert_eq!(outcomes(&seen).len(), MAX_SUBTASKS);
    let description = String::new();
    let refused = client
        .request::<Subtasks>(&unique("subtask"), RunSubtask { description }, LIMIT)
        .await
        .unwrap();
    assert_eq!(failure(&refused), "invalid-request");
}
