//! Faults of whoever has the partitions of the batch lane, and of the orders to work them off.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use millstream_control::{Control, Settings};
use millstream_pipeline::events::Topic;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::partition::of_key;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::sleep;

use super::harness::Harness;
use super::input::now_ms;
use super::outcome::Outcome;
use super::replica::Replica;
use super::trial::{ANSWER_LIMIT, Trial, until};
use super::views::Views;
use crate::chaos::ledger::catalogue::LedgerBatchWork;
use crate::chaos::ledger::event::Book;
use crate::chaos::ledger::watch::{results_of, watermarks};

/// By now the readers have what the broker has.
const SEEN: Duration = Duration::from_millis(300);
/// Pause between two looks at what was sent.
const LOOK: Duration = Duration::from_millis(1);
/// How long a process that was overtaken goes on without being told.
const UNTOLD: Duration = Duration::from_secs(2);
/// How often handlers are held for a moment in a transaction.
const TRIES: u32 = 100;
/// Orders for each partition that are of no use.
const DOUBLED: usize = 40;

/// When handlers are killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// An event was just acknowledged: a batch is read and decided.
    Before,
    /// A result was just published, and is not committed.
    In,
    /// The same, and they stand still until it is sure that it is not committed.
    Held,
    /// One was just committed, and nobody but Kafka knows it.
    After,
}

/// Handlers are killed before, in and after a transaction.
pub async fn kill9(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial_in(Book::Batch).await?;
    let topic = results_of(Book::Batch).to_owned();
    let views = Views::follow(harness, topic, &trial.run, id).await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            for moment in [Moment::Before, Moment::In, Moment::After, Moment::Held] {
                sleep(random.millis(200, 600)).await;
                let mut fleet = harness.fleet().await;
                match moment {
                    Moment::Before => sends(&trial).await,
                    Moment::In => views.next(false).await,
                    Moment::Held => hold_in_transaction(&views, &fleet.replicas).await?,
                    Moment::After => views.next(true).await,
                }
                trial.fault();
                for replica in &mut fleet.replicas {
                    replica.kill().await?;
                }
                sleep(SEEN).await;
                views.give_up_open();
                for replica in &mut fleet.replicas {
                    replica.restart().await?;
                }
                trial.healed();
                // An event over which three processes end one after the other is taken for the reason.
                let goes_on = trial.goes_on(ANSWER_LIMIT).await;
                trial.expect(goes_on, "nobody goes on where handlers were killed");
            }
            Ok(())
        })
        .await?;
    trial.expect(trial.answered().await, "not everything is answered");
    let aborted = views.uncommitted().copies();
    trial.figure("results_aborted", aborted as f64);
    trial.expect(aborted > 0, "no transaction was aborted");
    trial.finish().await
}

/// Waits until replicas stand still in the middle of a transaction. One that was committed before they
/// did is none: they go on, and are held again.
async fn hold_in_transaction(views: &Views, replicas: &[Replica]) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        views.next(false).await;
        for replica in replicas {
            replica.pause()?;
        }
        if views.stays_open().await {
            return Ok(());
        }
        for replica in replicas {
            replica.resume()?;
        }
    }
    anyhow::bail!("in {TRIES} tries no transaction was open");
}

async fn sends(trial: &Trial<'_>) {
    let sent = trial.sent();
    while trial.sent() == sent {
        sleep(LOOK).await;
    }
}

/// What a result is told by.
fn id(seen: &Seen) -> Option<String> {
    Some(seen.meta.as_ref()?.id.clone())
}

/// A process stands still in the middle of its leases, Restate gives them to another one, and it goes on
/// as if it still had them.
pub async fn taken_over(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial_in(Book::Batch).await?;
    let topic = results_of(Book::Batch).to_owned();
    let views = Views::follow(harness, topic, &trial.run, id).await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            for at in [0, 1] {
                sleep(random.millis(500, 1500)).await;
                let fleet = harness.fleet().await;
                let held = fleet.replicas.get(at).context("there are two replicas")?;
                trial.fault();
                held.pause()?;
                fleet.proxy.cut(held.port());
                let goes_on = trial.goes_on(ANSWER_LIMIT).await;
                trial.expect(goes_on, "nobody takes partitions over");
                held.resume()?;
                // For Restate it is gone, and itself it knows nothing of that.
                sleep(UNTOLD).await;
                fleet.proxy.heal(held.port());
                trial.healed();
            }
            Ok(())
        })
        .await?;
    trial.expect(trial.answered().await, "not everything is answered");
    let aborted = views.uncommitted().copies();
    trial.figure("results_aborted", aborted as f64);
    trial.finish().await
}

/// Work orders come many times, come late, come for partitions that are none, and do not come.
pub async fn orders(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial_in(Book::Batch).await?;
    let begun = now_ms()?;
    let mut random = harness.random();
    trial
        .under_load(async {
            sleep(random.millis(500, 1500)).await;
            trial.fault();
            for number in 0..DOUBLED {
                for order in of_no_use(number) {
                    trial.main.generator.publish(&order).await?;
                }
            }
            // And all that there have been since this began.
            control(harness, Control::Rewind { to_ms: begun }).await?;
            trial.healed();
            Ok(())
        })
        .await?;
    trial.expect(trial.answered().await, "orders of no use hold up others");

    // Whoever has a lease needs no order: the partitions come to rest first.
    let topic = LedgerBatchWork::DECLARATION.name;
    let rests = until(ANSWER_LIMIT, || async {
        trial.is_quiet().await.unwrap_or_default()
    });
    trial.expect(rests.await, "leases do not end");
    let before = watermarks(&harness.endpoints.kafka, topic).await?;
    control(harness, Control::Pause).await?;
    let mut load = trial.usual_load();
    load.events /= 10;
    trial.send(&load).await?;
    trial.fault();
    // Some partitions are no order's.
    let count = LedgerBatchWork::DECLARATION.partitions;
    let places = (0..count).map(|shard| of_key(shard.to_string().as_bytes(), count));
    let places: HashSet<_> = places.collect();
    let all_sent = until(ANSWER_LIMIT, || async {
        let now = watermarks(&harness.endpoints.kafka, topic).await;
        let now = now.unwrap_or_default();
        places.iter().all(|partition| {
            let place = (topic.to_owned(), *partition);
            let end = |ends: &HashMap<_, (i64, i64)>| ends.get(&place).map(|(_, end)| *end);
            end(&now) > end(&before)
        })
    });
    trial.expect(all_sent.await, "no orders are sent");
    lose_all(harness, topic).await?;
    control(harness, Control::Resume).await?;
    trial.healed();
    trial.expect(
        trial.answered().await,
        "an order that is lost is not sent again",
    );
    trial.finish().await
}

/// Orders of which nothing may come.
fn of_no_use(number: usize) -> Vec<Record> {
    let declaration = LedgerBatchWork::DECLARATION;
    let known = (0..declaration.partitions).map(|partition| partition.to_string());
    let unknown = [
        declaration.partitions.to_string(),
        "-1".into(),
        format!("none-{number}"),
    ];
    let order = |key: String| Record {
        topic: declaration.name.into(),
        key: Some(key.into_bytes()),
        value: Some(b"whatever it says".to_vec()),
        headers: Vec::new(),
    };
    known.chain(unknown).map(order).collect()
}

async fn control(harness: &Harness, step: Control) -> anyhow::Result<()> {
    let orders = [LedgerBatchWork::DECLARATION];
    let settings = Settings::default();
    millstream_control::control(&orders, &harness.endpoints, &settings, step, |_| {}).await?;
    Ok(())
}

/// Deletes every record of a topic.
async fn lose_all(harness: &Harness, topic: &str) -> anyhow::Result<()> {
    let mut all = TopicPartitionList::new();
    for ((topic, partition), (_, end)) in watermarks(&harness.endpoints.kafka, topic).await? {
        all.add_partition_offset(&topic, partition, Offset::Offset(end))?;
    }
    let config = kafka::client(&harness.endpoints.kafka);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    admin.delete_records(&all, &AdminOptions::new()).await?;
    Ok(())
}
