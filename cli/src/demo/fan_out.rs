//! A morning's subtasks run in parallel; one of another job fails, and the job says which.

use millstream_handlers::fan_out::SUBTASK_FAILED;
use millstream_schemas::fan_out_jobs::{JobCompleted, RunJob};
use millstream_topics::FanOutJobs;

use super::Run;

async fn job(run: &mut Run, description: &str) -> anyhow::Result<Vec<(String, String)>> {
    let (key, description) = (run.key("job"), description.to_owned());
    let key = format!("{key}-{}", description.len());
    let job: JobCompleted = run
        .request::<FanOutJobs, _>(&key, RunJob { description })
        .await?;
    let results = job.results.into_iter().map(|it| {
        let code = |error: String| error.split(':').next().unwrap_or_default().to_owned();
        (
            it.description,
            it.outcome.or(it.error.map(code)).unwrap_or_default(),
        )
    });
    Ok(results.collect())
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    for (subtasks, failed) in [
        (
            ["get out of bed", "shower", "make coffee", "have breakfast"],
            None,
        ),
        (
            ["get out of bed", "shower", "fail", "have breakfast"],
            Some(2),
        ),
    ] {
        let results = job(run, &subtasks.join(",")).await?;
        let expected = subtasks.iter().enumerate().map(|(n, subtask)| {
            let outcome = if failed == Some(n) {
                SUBTASK_FAILED
            } else {
                "DONE"
            };
            ((*subtask).to_owned(), outcome.to_owned())
        });
        run.expect("the results, in order", results, expected.collect());
    }
    Ok(())
}
