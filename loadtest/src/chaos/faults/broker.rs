//! Faults of Kafka: the broker and the result topic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::join_all;
use millstream_devstack::Part;
use millstream_pipeline::client::Client;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::From;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::time::sleep;

use super::harness::Harness;
use super::outcome::Outcome;
use super::relay::Relay;
use super::trial::{ANSWER_LIMIT, Trial, until};
use crate::chaos::ledger::catalogue::{self, ledger};
use crate::chaos::ledger::event::{Book, payload};
use crate::chaos::ledger::watch::{results_of, watermarks};
use crate::random::Random;

const LIMIT: Duration = Duration::from_secs(60);
/// Who takes nothing for so long after Kafka is back has forgotten the broker.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// Longer than a producer waits for an acknowledgement (20 s).
const PAUSED: Duration = Duration::from_secs(23);
/// Events per second that go through a guard relay meanwhile.
const FOREIGN_RATE: f64 = 50.0;
/// What another topic's median latency may come to, in milliseconds.
const HARMED_MS: f64 = 250.0;
/// The same in multiples of that of the same run without stuck keys, where the machine is slow itself.
const HARMED_TIMES: f64 = 5.0;

/// Kafka is restarted, and then killed and started.
pub async fn restart(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            for clean in [true, false] {
                sleep(random.millis(1000, 2000)).await;
                trial.fault();
                match clean {
                    true => harness.stack.stop_part(Part::Kafka).await?,
                    false => harness.stack.kill_part(Part::Kafka).await?,
                }
                harness.stack.start_part(Part::Kafka).await?;
                trial.healed();
            }
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// Kafka stands still for longer than producers wait, and goes on. A guard relay meets it, too, in
/// the middle of a transaction.
pub async fn paused(harness: &Harness) -> anyhow::Result<Outcome> {
    let relay = Relay::start(harness, "paused").await?;
    let trial = harness.trial().await?;
    let foreign = harness.trial_in(Book::Foreign).await?;
    let mut random = harness.random();
    let time = if harness.size.full {
        Duration::from_secs(30)
    } else {
        PAUSED
    };
    let over = AtomicBool::new(false);
    let events = async {
        let result = trial
            .under_load(async {
                sleep(random.millis(1000, 2000)).await;
                let endpoints = harness.stack.endpoints();
                let pid = endpoints
                    .pids
                    .get(Part::Kafka.name())
                    .context("Kafka does not run")?;
                let group = Pid::from_raw(i32::try_from(*pid)?);
                trial.fault();
                killpg(group, Signal::SIGSTOP)?;
                sleep(time).await;
                killpg(group, Signal::SIGCONT)?;
                trial.healed();
                Ok(())
            })
            .await;
        over.store(true, Ordering::Relaxed);
        result
    };
    let guarded = foreign.trickle(FOREIGN_RATE, || over.load(Ordering::Relaxed));
    let (events, guarded) = tokio::join!(events, guarded);
    events.and(guarded)?;
    let restarts = take_again(&[&trial, &foreign]).await?;
    trial.figure("restate_restarts", f64::from(restarts));
    let foreign = foreign.finish().await?;
    trial.figure("guarded_events", foreign.report.events as f64);
    trial.figure("relay_restarts", relay.restarts().await? as f64);
    trial.expect(foreign.ok, format!("behind the guard: {foreign}"));
    let outcome = trial.finish().await?;
    relay.process.end(Signal::SIGTERM).await?;
    Ok(outcome)
}

/// Waits until Restate takes events again after Kafka stood still; restarts it where it does not, as
/// operators are told to: each of its clients may have lost the only broker. How often it was
/// restarted.
pub async fn take_again(trials: &[&Trial<'_>]) -> anyhow::Result<u32> {
    let all = join_all(trials.iter().map(|trial| trial.goes_on(FORGOTTEN))).await;
    let (Some(trial), true) = (trials.first(), all.contains(&false)) else {
        return Ok(0);
    };
    trial.fault();
    trial.harness.stack.restart(Part::Restate).await?;
    trial.healed();
    Ok(1)
}

/// Ledgers whose results have no topic for a while.
const WITHOUT_RESULTS: [Book; 2] = [Book::Stuck, Book::Batch];

/// A result topic of each lane is absent for a while: handlers retry, and the other topic goes on.
pub async fn result_topic_unavailable(harness: &Harness) -> anyhow::Result<Outcome> {
    let stuck = harness.trial_of(Book::Stuck, Some(Book::Batch)).await?;
    let other = harness.trial_in(Book::Main).await?;
    stuck.fault();
    delete_results(harness, &WITHOUT_RESULTS).await?;
    let mut load = stuck.usual_load();
    // None of them is answered meanwhile.
    load.outstanding = u64::MAX;
    other
        .under(&load, async {
            stuck.send(&load).await?;
            let begun = Instant::now();
            let goes_on = other.goes_on(ANSWER_LIMIT).await;
            stuck.expect(goes_on, "the other topic stands still");
            stuck.figure("other_topic_seconds", begun.elapsed().as_secs_f64());
            Ok(())
        })
        .await?;
    make_results(harness, &WITHOUT_RESULTS).await?;
    stuck.follow_results(From::Beginning).await?;
    stuck.healed();
    let other = other.finish().await?;
    stuck.expect(other.ok, format!("the other topic: {other}"));
    stuck.finish().await
}

/// Thousands of keys of one topic are stuck while another topic's latency is measured.
pub async fn stuck_keys(harness: &Harness) -> anyhow::Result<Outcome> {
    let keys = 5000;
    let client = Client::new(&harness.endpoints, &[Book::Main.declaration()], "loadtest").await?;
    let before = latency(harness, &client).await?;
    let stuck = harness.trial_in(Book::Stuck).await?;
    stuck.fault();
    delete_results(harness, &[Book::Stuck]).await?;
    let mut load = stuck.usual_load();
    (load.events, load.keys, load.rate) = (keys as u64, keys, Some(1000.0));
    load.outstanding = u64::MAX;
    stuck.send(&load).await?;
    // All of them must have been handed over, or the measurement says nothing.
    let handed_over = until(ANSWER_LIMIT, || async {
        in_flight(harness).await >= keys as u64 * 6 / 10
    });
    stuck.expect(handed_over.await, "too few keys are stuck");
    stuck.figure("stuck_invocations", in_flight(harness).await as f64);
    let during = latency(harness, &client).await?;
    make_results(harness, &[Book::Stuck]).await?;
    stuck.follow_results(From::Beginning).await?;
    stuck.healed();
    stuck.figure("p50_ms_before", before.0);
    stuck.figure("p50_ms_during", during.0);
    stuck.figure("p99_ms_before", before.1);
    stuck.figure("p99_ms_during", during.1);
    stuck.figure("p50_ratio", during.0 / before.0);
    let limit = HARMED_MS.max(HARMED_TIMES * before.0);
    stuck.expect(during.0 < limit, "the other topic's latency is harmed");
    stuck.finish().await
}

/// Unfinished invocations of the second ledger.
async fn in_flight(harness: &Harness) -> u64 {
    let count = async {
        let counts = harness.restate()?.invocation_counts().await?;
        let ours = counts
            .iter()
            .filter(|count| count.service == Book::Stuck.service());
        anyhow::Ok(ours.map(|count| count.count).sum())
    };
    count.await.unwrap_or_default()
}

/// p50 and p99 in milliseconds of single requests to the main ledger, 50 a second.
async fn latency(harness: &Harness, client: &Client) -> anyhow::Result<(f64, f64)> {
    let mut random: Random = harness.random();
    let mut times = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..250 {
        ticks.tick().await;
        let key = format!("latency.{:x}", random.next());
        let entry = ledger::LedgerEntry {
            in_seq: 1,
            payload: payload(&mut random).into(),
        };
        let begun = Instant::now();
        client
            .request::<catalogue::Ledger>(&key, entry, LIMIT)
            .await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}

async fn delete_results(harness: &Harness, books: &[Book]) -> anyhow::Result<()> {
    let topics: Vec<_> = books.iter().map(|book| results_of(*book)).collect();
    let admin: AdminClient<DefaultClientContext> =
        kafka::client(&harness.endpoints.kafka).create()?;
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    admin.delete_topics(&topics, &options).await?;
    for topic in topics {
        let gone = until(LIMIT, || async {
            let marks = watermarks(&harness.endpoints.kafka, topic).await;
            marks.is_ok_and(|marks: std::collections::HashMap<_, _>| marks.is_empty())
        });
        anyhow::ensure!(gone.await, "{topic} is not deleted");
    }
    Ok(())
}

async fn make_results(harness: &Harness, books: &[Book]) -> anyhow::Result<()> {
    harness.apply().await?;
    for topic in books.iter().map(|book| results_of(*book)) {
        let there = until(LIMIT, || async {
            let marks = watermarks(&harness.endpoints.kafka, topic).await;
            marks.is_ok_and(|marks| !marks.is_empty())
        });
        anyhow::ensure!(there.await, "{topic} is not made");
    }
    Ok(())
}
