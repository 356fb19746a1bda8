//! Faults of what is put in: duplicates, replays, new subscriptions, more partitions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_control::{Control, Settings};
use millstream_pipeline::events::{Declaration, Topic};
use millstream_pipeline::kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use tokio::time::sleep;

use super::harness::Harness;
use super::outcome::Outcome;
use super::progress;
use super::trial::until;
use crate::chaos::ledger::catalogue::{LedgerBatchWork, OWN_TOPICS};
use crate::chaos::ledger::event::Book;
use crate::chaos::ledger::watch::watermarks;

const LIMIT: Duration = Duration::from_secs(60);
/// How often a subscription is tried to be paused, and after what pause.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(2);

/// Every fifth event is produced twice; then everything is delivered once more.
pub async fn duplicates(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let begin = now_ms()?;
    let mut load = trial.usual_load();
    load.twice_every = 5;
    trial.send(&load).await?;
    trial.expect(trial.answered().await, "not everything was answered");
    trial.fault();
    recreate(harness, Some(begin)).await?;
    trial.healed();
    trial.finish().await
}

/// The subscription is deleted and made anew with the same group, under load.
pub async fn subscription_recreated(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let begin = now_ms()?;
    let mut random = harness.random();
    trial
        .under_load(async {
            sleep(random.millis(1000, 2000)).await;
            trial.fault();
            recreate(harness, None).await?;
            trial.healed();
            sleep(random.millis(1000, 2000)).await;
            trial.fault();
            recreate(harness, Some(begin)).await?;
            trial.healed();
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// The input topic gets more partitions: keys move, so the declarations are refused until somebody
/// has looked.
pub async fn partition_count_changed(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    trial.send(&trial.usual_load()).await?;
    trial.expect(trial.answered().await, "not everything was answered");
    let topics = [Book::Main, Book::Batch].map(|book| book.declaration().name);
    trial.fault();
    let admin: AdminClient<DefaultClientContext> =
        kafka::client(&harness.endpoints.kafka).create()?;
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let more = topics.map(|topic| NewPartitions::new(topic, 12));
    admin.create_partitions(&more, &options).await?;
    for topic in topics {
        let seen = until(LIMIT, || async {
            let marks = watermarks(&harness.endpoints.kafka, topic).await;
            marks.is_ok_and(|marks| marks.len() == 12)
        });
        trial.expect(seen.await, "the partitions do not come");
    }
    let settings = Settings::default();
    let plan = millstream_control::plan(OWN_TOPICS, &harness.endpoints, &settings).await?;
    for topic in topics {
        let named = format!("{topic} ");
        let refusal = plan.refusals().find(|it| it.message.contains(&named));
        trial.expect(
            refusal.is_some(),
            format!("`plan` does not refuse a changed partition count of {topic}"),
        );
    }
    trial.expect(
        millstream_control::apply(&plan, &harness.endpoints, |_| {})
            .await
            .is_err(),
        "`apply` does not refuse a changed partition count",
    );
    trial.finish().await
}

/// Now, as records are stamped.
pub fn now_ms() -> anyhow::Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

/// Has the ledgers' subscriptions deliver everything since `to_ms` once more when Restate, which must
/// be stopped, is started.
pub async fn rewind_stopped(harness: &Harness, to_ms: i64) -> anyhow::Result<()> {
    let (ledger, settings) = (subscribed(), Settings::default());
    let step = Control::RewindStopped { to_ms };
    millstream_control::control(&ledger, &harness.endpoints, &settings, step, |_| {}).await?;
    Ok(())
}

/// What the ledgers are subscribed to: entries, and work orders.
fn subscribed() -> [&'static Declaration; 2] {
    [Book::Main.declaration(), LedgerBatchWork::DECLARATION]
}

/// Deletes the ledgers' subscriptions and makes them anew; delivers everything since `to_ms` once more if
/// that is given.
pub async fn recreate(harness: &Harness, to_ms: Option<i64>) -> anyhow::Result<()> {
    let ledger = subscribed();
    let settings = Settings::default();
    let steps = match to_ms {
        Some(to_ms) => vec![Control::Rewind { to_ms }],
        None => vec![Control::Pause, Control::Resume],
    };
    for step in steps {
        let mut tries = 0;
        // As an operator does: while Restate comes back its admin API may refuse.
        while let Err(error) =
            millstream_control::control(&ledger, &harness.endpoints, &settings, step, |_| {}).await
        {
            tries += 1;
            progress(&format!("{step:?}, try {tries}: {error}"));
            anyhow::ensure!(tries < TRIES, error);
            sleep(PAUSE).await;
        }
    }
    Ok(())
}
