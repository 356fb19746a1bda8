//! This project's rate while one thing grows: keys, payload, state, backlog, the share of new keys,
//! partitions.

use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::bench::Bench;
use super::feed::Feed;
use super::partitions::USUAL;
use super::peer::Peer;
use super::report::Spread;
use super::{Arguments, on_stack};
use crate::plot::spread::{Plot, Point};

/// Events that warm a point up.
const WARM_UP: usize = 2_000;
/// Bytes that a round of large events may weigh: fewer events are enough then.
const ROUND_BYTES: usize = 100_000_000;
/// A round with more events is long enough to be the only one.
const ONE_ROUND: usize = 100_000;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// Keys, each of which gets at least one event: 10 to 1,000,000
    Keys,
    /// Bytes of payload in each event: 100 to 100,000
    Payload,
    /// Bytes of business state of each key: 0 to 100,000
    State,
    /// Events that wait when the handlers come: 1,000 to 1,000,000
    Backlog,
    /// Events in a hundred whose key has no state yet: 0 to 100
    NewKeys,
    /// Partitions of the topics of commands and results, and of the batch lane's own: 1 to 32, each number
    /// on a stack of its own
    Partitions,
}

/// The job at one point.
#[derive(Debug, Clone, Copy, Serialize)]
struct Job {
    events: usize,
    keys: usize,
    payload: usize,
    state: usize,
}

/// What was measured at one point.
#[derive(Debug, Serialize)]
struct Measured {
    value: usize,
    #[serde(flatten)]
    job: Job,
    rate: Spread,
    /// CPU microseconds per event of Restate, Kafka and the handlers.
    cpu_micros: f64,
    handlers_peak_mib: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Figures {
    growth: Growth,
    peer: Peer,
    points: Vec<Measured>,
}

impl Growth {
    fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Payload => "payload",
            Self::State => "state",
            Self::Backlog => "backlog",
            Self::NewKeys => "new-keys",
            Self::Partitions => "partitions",
        }
    }

    fn axis(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Payload => "bytes of payload",
            Self::State => "bytes of state",
            Self::Backlog => "events waiting",
            Self::NewKeys => "% of events with a new key",
            Self::Partitions => "partitions",
        }
    }

    /// What is measured.
    pub fn values(self) -> &'static [usize] {
        match self {
            Self::Keys => &[10, 100, 1_000, 10_000, 100_000, 1_000_000],
            Self::Payload => &[100, 1_000, 10_000, 100_000],
            Self::State => &[0, 100, 1_000, 10_000, 100_000],
            Self::Backlog => &[1_000, 10_000, 100_000, 1_000_000],
            Self::NewKeys => &[0, 1, 10, 50, 100],
            Self::Partitions => &[1, 2, 4, 8, 16, 32],
        }
    }

    /// How many of them one stack is for: topics keep the partitions that they were made with.
    fn of_a_stack(self) -> usize {
        match self {
            Self::Partitions => 1,
            _ => self.values().len(),
        }
    }

    fn job(self, value: usize, arguments: &Arguments) -> Job {
        let usual = Job {
            events: arguments.events,
            keys: arguments.keys,
            payload: arguments.payload,
            state: 0,
        };
        let few = |bytes: usize| usual.events.min(ROUND_BYTES / bytes.max(1));
        match self {
            Self::Keys => Job {
                keys: value,
                events: usual.events.max(value),
                ..usual
            },
            Self::Payload => Job {
                payload: value,
                events: few(value),
                ..usual
            },
            Self::State => Job {
                state: value,
                events: few(value),
                keys: usual.keys.min(few(value) / 4).max(1),
                ..usual
            },
            Self::Backlog => Job {
                events: value,
                ..usual
            },
            // Every key comes once before any comes again.
            Self::NewKeys if value > 0 => Job {
                keys: (usual.events * value / 100).max(1),
                ..usual
            },
            Self::NewKeys | Self::Partitions => usual,
        }
    }
}

/// Measures every point, and writes figures and plot.
pub async fn run(growth: Growth, arguments: &Arguments) -> anyhow::Result<()> {
    let up_to = arguments.up_to.unwrap_or(usize::MAX);
    let values = growth.values().iter().copied();
    let values: Vec<usize> = values.filter(|value| *value <= up_to).collect();
    let peer = match arguments.peers[..] {
        [Peer::MillstreamBatch] => Peer::MillstreamBatch,
        _ => Peer::Millstream,
    };
    let mut points = Vec::new();
    for values in values.chunks(growth.of_a_stack()) {
        let partitions = match (growth, values) {
            (Growth::Partitions, [value]) => i32::try_from(*value)?,
            _ => USUAL,
        };
        let measure = async |bench: &Bench| measured(bench, peer, growth, values, arguments).await;
        points.extend(on_stack(arguments, partitions, measure).await?);
    }
    let figures = Figures {
        growth,
        peer,
        points,
    };
    write(&figures, arguments)
}

async fn measured(
    bench: &Bench,
    peer: Peer,
    growth: Growth,
    values: &[usize],
    arguments: &Arguments,
) -> anyhow::Result<Vec<Measured>> {
    let mut points = Vec::new();
    for value in values {
        let job = growth.job(*value, arguments);
        let measured = point(bench, peer, growth, (*value, job), arguments.rounds).await?;
        let axis = growth.axis();
        eprintln!("{value} {axis}: {} events/s", measured.rate);
        points.push(measured);
    }
    Ok(points)
}

async fn point(
    bench: &Bench,
    peer: Peer,
    growth: Growth,
    (value, job): (usize, Job),
    rounds: usize,
) -> anyhow::Result<Measured> {
    let mut side = bench.side_with(peer, job.keys, job.state).await?;
    let kafka = &bench.place.endpoints.kafka;
    let feed = Feed::new(kafka, Arc::clone(&bench.codec), job.payload)?;
    let warm_up = WARM_UP.min(job.events);
    bench.drain(&mut side, &feed, warm_up).await?;
    let rounds = if job.events > ONE_ROUND { 1 } else { rounds };
    let mut done = Vec::new();
    for _ in 0..rounds {
        if growth == Growth::NewKeys && value > 0 {
            side.counts = bench.fresh_counts(job.keys);
        }
        done.push(bench.drain(&mut side, &feed, job.events).await?);
    }
    Ok(Measured {
        value,
        job,
        rate: Spread::of(done.iter().map(|round| round.rate)),
        cpu_micros: Spread::of(done.iter().map(|round| round.cpu_micros())).median,
        handlers_peak_mib: side.peak_mib(),
    })
}

fn write(figures: &Figures, arguments: &Arguments) -> anyhow::Result<()> {
    let Figures {
        growth,
        peer,
        points,
    } = figures;
    let name = match peer {
        Peer::MillstreamBatch => format!("batch-{}", growth.name()),
        _ => growth.name().to_owned(),
    };
    let drawn: Vec<Point> = points
        .iter()
        .map(|point| Point {
            x: point.value as f64,
            y: point.rate.median,
            lowest: point.rate.lowest,
            highest: point.rate.highest,
        })
        .collect();
    let svg = Plot {
        title: &format!("Events per second against {}", growth.axis()),
        x: growth.axis(),
        y: "events/s",
        points: &drawn,
    }
    .svg();
    let json = serde_json::to_string_pretty(figures)? + "\n";
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    for (text, extension) in [(&svg, "svg"), (&json, "json")] {
        let path = arguments.out.join(&name).with_extension(extension);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match arguments.json {
        true => print!("{json}"),
        false => print!("{}", markdown(figures)),
    }
    Ok(())
}

fn markdown(figures: &Figures) -> String {
    let mut text = format!(
        "| {} | events/s | CPU µs/event | events | keys | handlers' peak MiB |\n|---|---|---|---|---|---|\n",
        figures.growth.axis()
    );
    for point in &figures.points {
        let peak = point.handlers_peak_mib.unwrap_or_default();
        text += &format!(
            "| {} | {} | {:.0} | {} | {} | {peak:.0} |\n",
            point.value, point.rate, point.cpu_micros, point.job.events, point.job.keys
        );
    }
    text
}
