//! What is made to end a process or to hold up others, under load; and a full disk.

use std::path::PathBuf;
use std::time::Duration;

use millstream_pipeline::record::key::MAX_KEY_BYTES;
use millstream_pipeline::record::wire;
use serde_json::json;
use tokio::time::sleep;

use super::handlers::restart_all;
use super::harness::Harness;
use super::outcome::Outcome;
use super::replica;
use super::values::{known, register};
use crate::chaos::ledger::event::{ABORT, Book};

/// Every write to it fails as on a full disk.
const FULL: &str = "/dev/full";
const PAUSE: Duration = Duration::from_millis(20);

/// Schemas whose values are deep, large or many, and keys that no request can carry.
pub async fn records(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut hostile = Vec::new();
    for side in trial.sides() {
        hostile.push((side, hostile_values(harness, side.book).await?));
    }
    let mut random = harness.random();
    let keys = harness.size.keys;
    trial
        .under_load(async {
            for _ in 0..5 {
                for (side, (values, good)) in &hostile {
                    for value in values {
                        trial.fault();
                        let record = side.bad(keys, &mut random, value.clone());
                        side.generator.publish(&record).await?;
                    }
                    for length in [MAX_KEY_BYTES, 7_000, 200_000] {
                        trial.fault();
                        let mut record = side.bad(keys, &mut random, good.clone());
                        if let Some(key) = &mut record.key {
                            key.resize(key.len() + length, b'k');
                        }
                        side.generator.publish(&record).await?;
                    }
                }
                sleep(random.millis(100, 500)).await;
            }
            trial.healed();
            Ok(())
        })
        .await?;
    trial.expect(
        trial.answered().await,
        "not every hostile record has become a dead letter",
    );
    trial.finish().await
}

/// Entries of this ledger with schemas that are hostile, and one that is good.
async fn hostile_values(harness: &Harness, book: Book) -> anyhow::Result<([Vec<u8>; 3], Vec<u8>)> {
    let list = json!(["null", {"type": "record", "name": "L",
        "fields": [{"name": "n", "type": ["null", "L"]}]}]);
    let deep = with_field(harness, book, "deep", list).await?;
    let fixed = json!({"type": "fixed", "name": "F", "size": 1 << 20});
    let large = with_field(harness, book, "large", fixed).await?;
    let nulls = json!({"type": "array", "items": {"type": "array", "items": "null"}});
    let many = with_field(harness, book, "many", nulls).await?;
    // A payload of one byte, a number, then the field that is hostile.
    let entry = [2, 2, b'x'];
    // 290,000 in zigzag, and the end of the array.
    let inner = [0xa0, 0xb3, 0x23, 0].repeat(30);
    let values = [
        [&wire::header(deep)[..], &entry, &[2; 400], &[0]].concat(),
        [&wire::header(large)[..], &entry].concat(),
        [&wire::header(many)[..], &entry, &[0x3c], &inner, &[0]].concat(),
    ];
    let known = known(harness, book).await?;
    let good = [&wire::header(known)[..], &entry, &[0]].concat();
    Ok((values, good))
}

/// One event of each lane at which the handlers abort. The replicas are started again whenever they have ended.
pub async fn aborts(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let marks = tempfile::tempdir()?;
    let careful = replica::Settings {
        crash_marks: Some(marks.path().to_owned()),
        ..harness.replica_settings()
    };
    restart_all(harness, &careful).await?;
    let mut random = harness.random();
    let mut deaths = 0;
    trial
        .under_load(async {
            for side in trial.sides() {
                sleep(random.millis(300, 1000)).await;
                trial.fault();
                // A key of its own: the load sends one event of a key at a time.
                let index = harness.size.keys;
                let payload = vec![ABORT; 60];
                let sent = side.generator.send_one(index, payload, false, &side.watch);
                sent.await?;
                let answered = trial.goes_on(trial.answer_limit());
                tokio::pin!(answered);
                let answered = loop {
                    tokio::select! {
                        answered = &mut answered => break answered,
                        () = sleep(PAUSE) => {}
                    }
                    for replica in &mut harness.fleet().await.replicas {
                        deaths += u32::from(replica.revive().await?);
                    }
                };
                trial.expect(answered, "an event that ends the process holds up others");
                trial.healed();
            }
            Ok(())
        })
        .await?;
    trial.figure("deaths", f64::from(deaths));
    // Of the event lane three, and of the batch lane five.
    trial.expect(deaths >= 8, "the handlers have not ended often enough");
    let outcome = trial.finish().await?;
    restart_all(harness, &harness.replica_settings()).await?;
    Ok(outcome)
}

/// The handlers' log, and the marks of their crashes, are on a disk that is full.
pub async fn disk_full(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let full = replica::Settings {
        log: Some(PathBuf::from(FULL)),
        crash_marks: Some(PathBuf::from(FULL)),
        variables: vec![("RUST_LOG".into(), "debug".into())],
        ..harness.replica_settings()
    };
    restart_all(harness, &full).await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            trial.fault();
            sleep(random.millis(1000, 2000)).await;
            // Also for one that is started then.
            let replicas = &mut harness.fleet().await.replicas;
            if let Some(replica) = replicas.first_mut() {
                replica.kill().await?;
                replica.restart().await?;
            }
            trial.healed();
            Ok(())
        })
        .await?;
    trial.expect(trial.answered().await, "not everything is answered");
    for replica in &mut harness.fleet().await.replicas {
        trial.expect(!replica.revive().await?, "a full disk ends the handlers");
    }
    let outcome = trial.finish().await?;
    restart_all(harness, &harness.replica_settings()).await?;
    Ok(outcome)
}

/// Registers the ledger's entry with one field more, in place of `meta`; the schema's id.
async fn with_field(
    harness: &Harness,
    book: Book,
    name: &str,
    kind: serde_json::Value,
) -> anyhow::Result<u32> {
    let schema = json!({"type": "record", "name": book.entry_name(), "fields": [{"name": "in_seq", "type": "long"}, {"name": "payload", "type": "bytes"},
            {"name": "hostile", "type": kind}]});
    let subject = format!("{name}-{}", book.declaration().name);
    register(harness, &subject, &schema.to_string()).await
}
