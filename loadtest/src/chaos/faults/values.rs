//! Values that cannot be handled: each becomes a dead letter, and the events after it go on.

use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::record::wire;
use serde_json::json;

use super::harness::Harness;
use super::outcome::Outcome;
use super::trial::Trial;
use crate::chaos::ledger::event::Book;
use crate::chaos::ledger::generator::Load;
use crate::random::Random;

/// Good events per second beside as many bad records, at most.
const FLOOD_RATE: f64 = 500.0;
/// How many bad records wait for their acknowledgement at once.
const BAD_IN_FLIGHT: usize = 100;
/// An id that no registry of the suite gives away.
const UNKNOWN_ID: u32 = 1_000_000;

/// Values with an unknown id, a bad magic byte, a cut body or a missing field, on the keys of good
/// events.
pub async fn incompatible_schema(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut schemas = Vec::new();
    for side in trial.sides() {
        let incomplete = incomplete(harness, side.book).await?;
        schemas.push((side, incomplete, known(harness, side.book).await?));
    }
    let mut random = harness.random();
    let turns = harness.size.events / 80;
    trial
        .under_load(async {
            for _ in 0..turns {
                for (side, incomplete, known) in &schemas {
                    let values = [
                        [&wire::header(UNKNOWN_ID)[..], b"whatever"].concat(),
                        b"{\"in_seq\": 1}".to_vec(),
                        [&wire::header(*known)[..], &[2, 0x7f]].concat(),
                        [&wire::header(*incomplete)[..], &[2, b'x']].concat(),
                        Vec::new(),
                    ];
                    for value in values {
                        trial.fault();
                        let record = side.bad(harness.size.keys, &mut random, value);
                        side.generator.publish(&record).await?;
                    }
                }
            }
            trial.healed();
            Ok(())
        })
        .await?;
    trial.expect(
        trial.answered().await,
        "not every bad value has become a dead letter",
    );
    trial.expect_pace();
    trial.finish().await
}

/// Every 25th event makes the handler panic, in every other partition.
pub async fn poison(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let poisoned = Load {
        poison_every: 25,
        ..trial.usual_load()
    };
    trial.fault();
    trial.send(&poisoned).await?;
    trial.healed();
    trial.expect(trial.answered().await, "not everything is answered or kept");
    trial.expect_pace();
    trial.finish().await
}

/// As many malformed records as good events.
pub async fn malformed_flood(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut sides = Vec::new();
    for side in trial.sides() {
        sides.push((side, known(harness, side.book).await?));
    }
    let mut turns = sides.iter().cycle();
    let load = flood_load(&trial);
    interleave(&trial, &load, |random| {
        let (side, known) = turns.next().context("there is no ledger")?;
        let value = malformed(random, side.book, *known)?;
        Ok(side.bad(harness.size.keys, random, value))
    })
    .await?;
    trial.expect(trial.answered().await, "not everything is answered or kept");
    trial.expect_pace();
    trial.finish().await
}

/// The usual load, at a rate that leaves room for as many bad records.
pub fn flood_load(trial: &Trial<'_>) -> Load {
    let mut load = trial.usual_load();
    load.rate = load.rate.map(|rate| rate.min(FLOOD_RATE));
    load
}

/// Sends a load and, at the same rate, as many bad records.
pub async fn interleave(
    trial: &Trial<'_>,
    load: &Load,
    mut make: impl FnMut(&mut Random) -> anyhow::Result<Record>,
) -> anyhow::Result<()> {
    let mut random = trial.harness.random();
    let begun = tokio::time::Instant::now();
    let rate = load.rate.unwrap_or(FLOOD_RATE);
    let bad = stream::iter(0..load.events).map(|number| {
        let record = make(&mut random);
        let planned = begun + Duration::from_secs_f64(number as f64 / rate);
        async move {
            tokio::time::sleep_until(planned).await;
            // Any of the generators sends what is made.
            trial.main.generator.publish(&record?).await
        }
    });
    trial
        .under(load, async {
            bad.buffer_unordered(BAD_IN_FLIGHT)
                .try_collect::<()>()
                .await?;
            trial.fault();
            trial.healed();
            Ok(())
        })
        .await?;
    trial.figure("bad_records", load.events as f64);
    Ok(())
}

/// A value that is surely not an event of ours.
fn malformed(random: &mut Random, book: Book, known: u32) -> anyhow::Result<Vec<u8>> {
    let length = random.below(120) as usize;
    let noise = random.bytes(length);
    let body = book.entry(7, b".abc".to_vec())?.bytes;
    Ok(match random.below(4) {
        // Any bytes that do not begin like one.
        0 => [&[1 + random.below(255) as u8][..], &noise].concat(),
        // Cut in the middle.
        1 => {
            let cut = random.below(body.len() as u64) as usize;
            [&wire::header(known)[..], &body[..cut]].concat()
        }
        // Something left behind the end; `meta` is null.
        2 => [&wire::header(known)[..], &body, &[0, 0], &noise].concat(),
        // A length far beyond the end.
        _ => [
            &wire::header(known)[..],
            &[2, 0xfe, 0xff, 0xff, 0xff, 0x0f],
            &noise,
        ]
        .concat(),
    })
}

/// The id of the schema of this ledger's entries.
pub async fn known(harness: &Harness, book: Book) -> anyhow::Result<u32> {
    let entry = book.entry(1, vec![0])?;
    Ok(harness.codec.schema_id(entry.schema).await?)
}

/// The id of a schema of the same name that lacks the field `in_seq`.
async fn incomplete(harness: &Harness, book: Book) -> anyhow::Result<u32> {
    let payload = json!({"name": "payload", "type": "bytes"});
    let schema = json!({"type": "record", "name": book.entry_name(), "fields": [payload]});
    let subject = format!("incomplete-{}", book.declaration().name);
    register(harness, &subject, &schema.to_string()).await
}

/// Registers a schema; its id.
pub async fn register(harness: &Harness, subject: &str, schema: &str) -> anyhow::Result<u32> {
    let url = format!(
        "{}/subjects/{subject}/versions",
        harness.endpoints.schema_registry
    );
    let answer: serde_json::Value = millstream_pipeline::http::builder()
        .no_proxy()
        .build()?
        .post(url)
        .json(&serde_json::json!({ "schema": schema }))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| anyhow::anyhow!("the registry gives no id: {answer}"))
}
