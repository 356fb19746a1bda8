//! `loadtest fuzz`: random and mutated records through the codec, for every event of the catalogue.
//! Each is decoded or refused; none may panic or take the process with it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use millstream_pipeline::code::Failure;
use millstream_pipeline::codec::{Codec, EncodedBody, Payload, WriterSchema};
use millstream_pipeline::wire;
use millstream_schemas::{Decode, EVENTS, Event, EventMeta, Visit, decode_and_visit};

use crate::random::Random;

/// Id of a schema of another writer, which is not byte for byte ours.
const FOREIGN: u32 = 500;

/// Schemas by their ids.
type Writers = BTreeMap<u32, WriterSchema>;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// How many records
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    records: u64,
    /// Seed of the records
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let counts = fuzz(arguments.records, arguments.seed)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({ "records": arguments.records, "seed": arguments.seed, "counts": counts, "seconds": seconds })
    );
    Ok(ExitCode::SUCCESS)
}

/// Decodes as many records; how many came to what.
fn fuzz(records: u64, seed: u64) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    // Sets the codec's limit of what a forged length may allocate.
    Codec::new("http://localhost", &[])?;
    let (writers, examples) = catalogue()?;
    let mut random = Random::new(seed);
    let mut counts = BTreeMap::new();
    for _ in 0..records {
        let value = record(&mut random, &examples);
        let outcome = decode(&writers, &value);
        *counts.entry(outcome).or_default() += 1;
    }
    Ok(counts)
}

/// Every schema under an id, as ours and as another writer's, and a value of each.
fn catalogue() -> anyhow::Result<(Writers, Vec<Vec<u8>>)> {
    let (mut writers, mut examples) = (BTreeMap::new(), Vec::new());
    for (id, schema) in (1..).zip(EVENTS) {
        let schema = schema();
        writers.insert(id, WriterSchema::parse(id, schema.json)?);
        // A field more makes it another schema, which is resolved to ours.
        let mut foreign: serde_json::Value = serde_json::from_str(schema.json)?;
        let fields = foreign["fields"]
            .as_array_mut()
            .context("a record has fields")?;
        fields.insert(
            0,
            serde_json::json!({"name": "of_another_version", "type": "string"}),
        );
        let foreign = foreign.to_string();
        writers.insert(id + FOREIGN, WriterSchema::parse(id + FOREIGN, &foreign)?);
        let example = Example(schema.example);
        let body = decode_and_visit(schema.full_name, example, Encode)
            .context("an event of the catalogue")???;
        let meta = EventMeta {
            id: "id".into(),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            seq: Some(7),
            ..EventMeta::default()
        };
        for meta in [None, Some(&meta)] {
            let own = millstream_pipeline::codec::join(id, &body, meta)?;
            let mut foreign = wire::header(id + FOREIGN).to_vec();
            foreign.extend([6, b'a', b'b', b'c']);
            foreign.extend(&own[wire::HEADER_LENGTH..]);
            examples.extend([own, foreign]);
        }
    }
    Ok((writers, examples))
}

/// A random record, or a valid one that was damaged.
fn record(random: &mut Random, examples: &[Vec<u8>]) -> Vec<u8> {
    let mut value = examples[random.below(examples.len() as u64) as usize].clone();
    let length = random.below(200) as usize;
    match random.below(8) {
        0 => return random.bytes(length),
        1 => {
            value.truncate(wire::HEADER_LENGTH);
            value.extend(random.bytes(length));
        }
        2 => value.truncate(random.below(value.len() as u64 + 1) as usize),
        3 => value.extend(random.bytes(length)),
        4 => {
            let (from, to) = (
                random.below(value.len() as u64),
                random.below(value.len() as u64),
            );
            let part = value[from.min(to) as usize..from.max(to) as usize].to_vec();
            let at = random.below(value.len() as u64) as usize;
            value.splice(at..at, part);
        }
        5 => return value,
        _ => {
            for _ in 0..=random.below(4) {
                let at = wire::HEADER_LENGTH as u64
                    + random.below((value.len() - wire::HEADER_LENGTH).max(1) as u64);
                if let Some(byte) = value.get_mut(at as usize) {
                    *byte = match random.below(3) {
                        0 => *byte ^ (1 << random.below(8)),
                        1 => [0x00, 0x01, 0x7f, 0x80, 0xff][random.below(5) as usize],
                        _ => random.next() as u8,
                    };
                }
            }
        }
    }
    value
}

/// What becomes of a value, by each way through the codec.
fn decode(writers: &Writers, value: &[u8]) -> &'static str {
    let Ok((id, body)) = wire::split(value) else {
        return "no-header";
    };
    let Some(writer) = writers.get(&id) else {
        return "unknown-schema";
    };
    let payload = Payload::new(writer, body);
    // The ways that only look at parts of it, too.
    let _ = (
        payload.generic(),
        payload.meta_alone(),
        payload.body_digest(),
    );
    match decode_and_visit(payload.full_name(), Source(&payload), Nothing) {
        Some(Ok(())) => "decoded",
        Some(Err(_)) => "undecodable",
        None => "unknown-type",
    }
}

struct Source<'p, 'b>(&'p Payload<'b>);

impl Decode for Source<'_, '_> {
    type Error = Failure;

    fn decode<E: Event>(self) -> Result<E, Failure> {
        self.0.decode::<E>().map(|parts| parts.event)
    }
}

struct Example(&'static str);

impl Decode for Example {
    type Error = serde_json::Error;

    fn decode<E: Event>(self) -> Result<E, serde_json::Error> {
        serde_json::from_str(self.0)
    }
}

struct Nothing;

impl Visit for Nothing {
    type Output = ();

    fn event<E: Event>(self, _: &E) {}
}

struct Encode;

impl Visit for Encode {
    type Output = anyhow::Result<Vec<u8>>;

    fn event<E: Event>(self, event: &E) -> Self::Output {
        let body = EncodedBody::of(event).context("an event is no set of none")??;
        Ok(body.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also set by hand: `MILLSTREAM_FUZZ_RECORDS=1000000 cargo test --release fuzz`.
    #[test]
    fn no_record_makes_the_codec_panic() {
        let records = std::env::var("MILLSTREAM_FUZZ_RECORDS");
        let records = records.map_or(100_000, |count| count.parse().unwrap());
        let counts = fuzz(records, 1).unwrap();
        // Every way was taken, and what was left whole was decoded.
        for outcome in ["no-header", "unknown-schema", "undecodable", "decoded"] {
            assert!(counts.contains_key(outcome), "{counts:?}");
        }
        assert!(counts["decoded"] > records / 8 * 9 / 10, "{counts:?}");
    }
}
