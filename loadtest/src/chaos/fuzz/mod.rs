//! `loadtest fuzz`: schemas and values that were generated or damaged through the codec. Each is decoded
//! or refused; none may panic, take long, or take the process with it.
//!
//! The values are decoded in a process of their own, which notes how far it is. If it ends or stands
//! still, the note tells which input that was: each is made from the seed and its number alone.

mod catalogue;
mod corpus;
mod schemas;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use millstream_pipeline::codec::{Codec, Payload, WriterSchema};
use millstream_pipeline::events::{Decode, Event, Visit};
use millstream_pipeline::failure::Failure;
use millstream_pipeline::record::wire;
use millstream_registry::try_schema;
use millstream_schemas::{EVENTS, decode_and_visit};
use nix::sys::resource::{Resource, setrlimit};

use crate::random::Random;
use catalogue::{Writers, catalogue};

/// As a worker thread of the handlers has.
const STACK: usize = 2 * 1024 * 1024;
/// The process gets no more memory; what it takes for itself is some 100 MiB.
const MEMORY: u64 = 3 * 1024 * 1024 * 1024;
/// No input takes longer.
const SLOWEST: Duration = Duration::from_secs(20);
/// How often the note is looked at.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// How many records
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    records: u64,
    /// Seed of the records
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the process that decodes notes how far it is
    #[arg(long, hide = true)]
    note: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.note {
        Some(note) => {
            let note = File::create(note)?;
            let (records, seed) = (arguments.records, arguments.seed);
            setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?;
            let work = move || fuzz(records, seed, |number| note_down(&note, number));
            let worker = std::thread::Builder::new().stack_size(STACK).spawn(work)?;
            let counts = worker
                .join()
                .ok()
                .context("a record made the codec panic")??;
            println!("{}", serde_json::json!(counts));
            Ok(ExitCode::SUCCESS)
        }
        None => watch(arguments),
    }
}

/// Runs the process that decodes, and says with which input it ended if it did.
fn watch(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let note = folder.path().join("note");
    let (records, seed) = (arguments.records, arguments.seed);
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "fuzz",
            "--records",
            &records.to_string(),
            "--seed",
            &seed.to_string(),
        ])
        .arg("--note")
        .arg(&note)
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut last, mut since) = (None, Instant::now());
    while child.try_wait()?.is_none() {
        std::thread::sleep(LOOK);
        let at = noted(&note);
        if at != last {
            (last, since) = (at, Instant::now());
        } else if since.elapsed() > SLOWEST {
            child.kill()?;
            child.wait()?;
            bail!(
                "an input took longer than {SLOWEST:?}: {}",
                shown(noted(&note), seed)?
            );
        }
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let input = shown(noted(&note), seed)?;
        bail!(
            "the process that decodes ended ({}) with this input: {input}",
            output.status
        );
    }
    let counts: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({ "records": records, "seed": seed, "counts": counts, "seconds": seconds })
    );
    Ok(ExitCode::SUCCESS)
}

fn note_down(note: &File, number: u64) {
    // Without the note the input is not told of; the run counts all the same.
    let _ = note.write_all_at(&number.to_be_bytes(), 0);
}

fn noted(note: &Path) -> Option<u64> {
    let bytes = std::fs::read(note).ok()?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// The input of this number: schema and body.
fn shown(number: Option<u64>, seed: u64) -> anyhow::Result<String> {
    let Some(number) = number else {
        return Ok("none was begun".into());
    };
    let (writers, examples) = catalogue()?;
    let input = Inputs::new(examples)?.input(number, seed);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    Ok(match input {
        Input::Value(value) => {
            let known = wire::split(&value)
                .ok()
                .and_then(|(id, _)| writers.get(&id));
            let name = known.and_then(|writer| writer.full_names().next());
            let name = name.unwrap_or("unknown");
            format!("number {number}, an event {name}: {}", hex(&value))
        }
        Input::Pair(schema, body) => {
            format!("number {number}, schema {schema}, body {}", hex(&body))
        }
    })
}

enum Input {
    /// With the header of a known schema.
    Value(Vec<u8>),
    /// A schema of its own, and a body.
    Pair(String, Vec<u8>),
}

struct Inputs {
    examples: Vec<Vec<u8>>,
    corpus: Vec<(String, Vec<u8>)>,
    names: Vec<&'static str>,
}

impl Inputs {
    fn new(examples: Vec<Vec<u8>>) -> anyhow::Result<Self> {
        let corpus = corpus::corpus()?.into_iter();
        let corpus = corpus.map(|case| anyhow::Ok((case.schema.to_string(), case.body()?)));
        Ok(Self {
            examples,
            corpus: corpus.collect::<Result<_, _>>()?,
            names: EVENTS.iter().map(|schema| schema().full_name).collect(),
        })
    }

    /// The corpus comes first, then anything.
    fn input(&self, number: u64, seed: u64) -> Input {
        if let Some((schema, body)) = self.corpus.get(number as usize) {
            return Input::Pair(schema.clone(), body.clone());
        }
        let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(number));
        let random = &mut random;
        match random.below(4) {
            0 => {
                let (schema, body) = schemas::pair(random, &self.names);
                Input::Pair(schema, body)
            }
            _ => Input::Value(catalogue::record(random, &self.examples)),
        }
    }
}

/// Decodes as many records; how many came to what.
fn fuzz(
    records: u64,
    seed: u64,
    note: impl Fn(u64),
) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    // Sets the codec's limit of what a forged length may allocate.
    Codec::new("http://localhost", &[])?;
    let (writers, examples) = catalogue()?;
    let inputs = Inputs::new(examples)?;
    let mut counts = BTreeMap::new();
    for number in 0..records {
        note(number);
        let outcome = match inputs.input(number, seed) {
            Input::Value(value) => decode_value(&writers, &value),
            Input::Pair(schema, body) => decode_pair(&schema, &body),
        };
        *counts.entry(outcome).or_default() += 1;
    }
    Ok(counts)
}

fn decode_value(writers: &Writers, value: &[u8]) -> &'static str {
    let Ok((id, body)) = wire::split(value) else {
        return "no-header";
    };
    match writers.get(&id) {
        Some(writer) => decode(writer, body),
        None => "unknown-schema",
    }
}

/// The schema also goes where the registry would have it.
fn decode_pair(schema: &str, body: &[u8]) -> &'static str {
    let _ = try_schema(schema);
    match WriterSchema::parse(1, schema) {
        Ok(writer) => decode(&writer, body),
        Err(_) => "no-schema",
    }
}

/// What becomes of a body, by each way through the codec.
fn decode(writer: &WriterSchema, body: &[u8]) -> &'static str {
    let Ok(payload) = Payload::new(writer, body) else {
        return "undecodable";
    };
    // The ways that only look at parts of it, too.
    let _ = (payload.meta_alone(), payload.body_digest());
    let _ = payload.in_json();
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

struct Nothing;

impl Visit for Nothing {
    type Output = ();

    fn event<E: Event>(self, _: &E) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also set by hand: `MILLSTREAM_FUZZ_RECORDS=1000000 cargo test --release fuzz`.
    #[test]
    fn no_record_makes_the_codec_panic() {
        let records = std::env::var("MILLSTREAM_FUZZ_RECORDS");
        let records = records.map_or(5_000, |count| count.parse().unwrap());
        let counts = fuzz(records, 1, |_| {}).unwrap();
        // Every way was taken, and what was left whole was decoded.
        for outcome in [
            "no-header",
            "no-schema",
            "unknown-schema",
            "undecodable",
            "decoded",
        ] {
            assert!(counts.contains_key(outcome), "{counts:?}");
        }
        assert!(
            counts["decoded"] > records * 3 / 4 / 8 * 9 / 10,
            "{counts:?}"
        );
    }

    #[test]
    fn what_ended_a_process_before_is_refused() {
        for case in corpus::corpus().unwrap() {
            let outcome = decode_pair(&case.schema.to_string(), &case.body().unwrap());
            assert!(
                ["no-schema", "undecodable"].contains(&outcome),
                "{}: {outcome}",
                case.name
            );
        }
    }

    #[test]
    fn an_input_is_told_of_by_its_number() {
        let text = shown(Some(0), 1).unwrap();
        assert!(
            text.contains("ReserveProduct") && text.contains("020202"),
            "{text}"
        );
        assert!(shown(Some(70_000), 1).unwrap().contains("number 70000"));
    }
}
