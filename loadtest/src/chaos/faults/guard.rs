//! Faults in front of the guard, and of its relays.

use std::time::Duration;

use millstream_control::Settings;
use millstream_guard::headers;
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::reader::Seen;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::harness::Harness;
use super::outcome::Outcome;
use super::relay::Relay;
use super::trial::{Trial, until};
use super::values::{flood_load, interleave};
use super::views::Views;
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::event::{Book, RUN_HEADER};
use crate::chaos::ledger::generator::Load;
use crate::random::Random;

/// Group session, transaction and the broker's look for it take up to 20 s by themselves.
const LIMIT: Duration = Duration::from_secs(180);
/// Events that may wait while a relay stands still, or the next one has to work off too many.
const OUTSTANDING: u64 = 1000;
/// How often a relay is paused until it is in the middle of a transaction.
const TRIES: usize = 100;

/// Keys that are not UTF-8, null, empty or binary: each becomes a dead letter, and the guard keeps
/// up.
pub async fn non_utf8_key(harness: &Harness) -> anyhow::Result<Outcome> {
    let relay = Relay::start(harness, "keys").await?;
    let trial = harness.trial_in(Book::Foreign).await?;
    let body = Book::Foreign.entry(1, b".abc".to_vec())?;
    let value = harness.codec.join(&body, None).await?;
    let load = flood_load(&trial);
    interleave(&trial, &load, |random| {
        Ok(Record {
            topic: trial.main.book.declaration().name.to_owned(),
            key: bad_key(&trial.run, random),
            value: Some(value.clone()),
            headers: vec![(RUN_HEADER.into(), Some(trial.run.clone().into()))],
        })
    })
    .await?;
    trial.expect(trial.answered().await, "not everything is answered or kept");
    // A relay reads all partitions: what holds up one holds up all of them, and nothing more is answered.
    trial.expect_letters();
    let caught_up = until(LIMIT, || async { lag(harness).await.ok() == Some(0) });
    trial.expect(caught_up.await, "the guard does not come to the end");
    let memory = relay.process.memory().unwrap_or_default();
    trial.figure("guard_mb", memory as f64 / 1e6);
    let outcome = trial.finish().await?;
    relay.process.end(Signal::SIGTERM).await?;
    Ok(outcome)
}

fn bad_key(run: &str, random: &mut Random) -> Option<Vec<u8>> {
    match random.below(4) {
        0 => None,
        1 => Some(Vec::new()),
        // As an Avro serializer writes it.
        2 => Some([&[0, 0, 0, 0, 7, 6], run.as_bytes()].concat()),
        // 0xff begins no character.
        _ => Some([run.as_bytes(), b".\xff", &random.bytes(8)].concat()),
    }
}

/// Records that no relay is done with yet.
async fn lag(harness: &Harness) -> anyhow::Result<i64> {
    let status =
        millstream_control::status(OWN_TOPICS, &harness.endpoints, &Settings::default()).await?;
    Ok(status.guards.iter().filter_map(|guard| guard.lag).sum())
}

/// A relay stands still in the middle of a transaction until another one has taken over, and goes
/// on: first one of another name takes over, then one of the same.
pub async fn zombie_fenced(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial_in(Book::Foreign).await?;
    let topic = Book::Foreign.declaration().subscribed_topic();
    let guarded = Views::follow(harness, topic, &trial.run, origin).await?;
    let first = Relay::start(harness, "first").await?;
    let mut last = None;
    let load = Load {
        outstanding: OUTSTANDING,
        ..trial.usual_load()
    };
    trial
        .under(&load, async {
            let second = take_over(&trial, &guarded, &first, "second").await?;
            // The second one alone, or nobody could tell whose transaction is open.
            first.process.end(Signal::SIGTERM).await?;
            let third = take_over(&trial, &guarded, &second, "second").await?;
            second.process.end(Signal::SIGTERM).await?;
            last = Some(third);
            Ok(())
        })
        .await?;
    trial.expect(trial.answered().await, "not everything is answered");
    let all = until(LIMIT, || async {
        guarded.committed().records() >= trial.sent()
    });
    trial.expect(all.await, "not everything comes through the guard");
    let (visible, aborted) = (guarded.committed().copies(), guarded.uncommitted().copies());
    trial.figure("copies_committed", visible as f64);
    trial.figure("copies_aborted", (aborted - visible) as f64);
    trial.expect(visible == 0, "records came through twice");
    // Without them nothing was there to be fenced.
    trial.expect(aborted > visible, "no transaction was open");
    let outcome = trial.finish().await?;
    if let Some(relay) = last {
        relay.process.end(Signal::SIGTERM).await?;
    }
    Ok(outcome)
}

/// Where a record stood on the foreign topic.
fn origin(seen: &Seen) -> Option<String> {
    let [partition, offset] = [headers::PARTITION, headers::OFFSET].map(|name| seen.header(name));
    Some(format!("{}/{}", partition?, offset?))
}

/// Pauses `relay` in the middle of a transaction until one named `successor` has taken over.
async fn take_over(
    trial: &Trial<'_>,
    guarded: &Views,
    relay: &Relay,
    successor: &str,
) -> anyhow::Result<Relay> {
    let restarts = relay.restarts().await?;
    let mut random = trial.harness.random();
    pause_in_transaction(relay, guarded, &mut random).await?;
    trial.fault();
    guarded.give_up_open();
    let successor = Relay::start(trial.harness, successor).await?;
    trial.expect(trial.goes_on(LIMIT).await, "no relay takes over");
    relay.process.signal(Signal::SIGCONT)?;
    let fenced = until(LIMIT, || async {
        relay.restarts().await.is_ok_and(|now| now > restarts)
    });
    trial.expect(fenced.await, "the old relay is not shut out");
    trial.healed();
    Ok(successor)
}

async fn pause_in_transaction(
    relay: &Relay,
    guarded: &Views,
    random: &mut Random,
) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        sleep(random.millis(100, 300)).await;
        relay.process.signal(Signal::SIGSTOP)?;
        if guarded.stays_open().await {
            return Ok(());
        }
        relay.process.signal(Signal::SIGCONT)?;
    }
    anyhow::bail!("the relay was never in the middle of a transaction")
}
