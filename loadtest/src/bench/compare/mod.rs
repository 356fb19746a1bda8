//! The same job done by this project and by others on the same machine: a keyed count with state,
//! Avro in, Avro out to a result topic.
//!
//! How a round goes, for one side after the other: commands are produced while the side consumes
//! nothing, then it is let loose; what counts is the time from the first result, as the broker took
//! it, to the last, as a consumer of committed records had it. Every result is checked: the counts
//! of a key are 1, 2, 3 and so on, none left out. Only ratios inside one run say something: the
//! machine's speed, and what else runs on it, is in all sides. The first rounds do not count.

mod bench;
mod counts;
mod feed;
mod growth;
mod install;
mod latency;
mod partitions;
mod peer;
pub mod plain;
mod process;
mod report;
pub mod service;
mod side;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;

use bench::Bench;
use feed::Feed;
use growth::Growth;
use partitions::USUAL;
use peer::Peer;
use report::Report;
use side::Measured;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whom to compare with; of `millstream-batch` alone only that is measured
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    peers: Vec<Peer>,
    /// Rounds that count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rounds before them that do not count: the broker, and peers in Java, compile themselves
    #[arg(long, default_value_t = 2, value_name = "ROUNDS")]
    warm_up: usize,
    /// Events per round and side; those that are not behind Restate get ten times as many
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Keys, all as busy
    #[arg(long, default_value_t = 1_000)]
    keys: usize,
    /// Bytes of payload in each command
    #[arg(long, default_value_t = 100)]
    payload: usize,
    /// Seconds for which latency is measured, at half of each side's own rate, of those that batch
    /// at half of the slowest one's; 0: not at all
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    latency: f64,
    /// Measure latency at this rate instead, the same for all
    #[arg(long, value_name = "EVENTS/S")]
    latency_rate: Option<f64>,
    /// Milliseconds after which the batch lane takes its next batch, if that is not full before
    #[arg(long, default_value_t = 50, value_name = "MS")]
    batch_interval: u64,
    /// Let the handlers check Restate's signatures, all of them but the one that does nothing
    #[arg(long)]
    signed: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Prints a Markdown table
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Measure this project alone, while one thing grows; with `--peers millstream-batch` its batch lane
    #[arg(long, value_enum, value_name = "WHAT")]
    growth: Option<Growth>,
    /// With --growth: only up to this
    #[arg(long, requires = "growth", value_name = "N")]
    up_to: Option<usize>,
    /// With --growth: where to write the figures (JSON) and the plot (SVG)
    #[arg(long, default_value = "docs/performance", value_name = "FOLDER")]
    out: PathBuf,
}

/// Compares, and prints what came of it.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.keys > 0 && arguments.events >= arguments.keys,
        "--events must be at least --keys, which must be at least 1"
    );
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    if let Some(what) = arguments.growth {
        growth::run(what, &arguments).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let comparing = async |bench: &Bench| compare(bench, &arguments).await;
    let report = on_stack(&arguments, USUAL, comparing).await?;
    match (arguments.json, arguments.markdown) {
        (true, _) => println!("{}", serde_json::to_string_pretty(&report)?),
        (false, true) => print!("{}", report.markdown()),
        (false, false) => print!("{report}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Does some work on a stack of its own, whose topics have so many partitions.
async fn on_stack<T>(
    arguments: &Arguments,
    partitions: i32,
    work: impl AsyncFnOnce(&Bench) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let bench = Bench::start(arguments.signed, partitions, arguments.batch_interval).await?;
    let done = tokio::select! {
        done = work(&bench) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    bench.stop().await;
    done
}

async fn compare(bench: &Bench, arguments: &Arguments) -> anyhow::Result<Report> {
    let ours = match arguments.peers[..] {
        [Peer::MillstreamBatch] => Peer::MillstreamBatch,
        _ => Peer::Millstream,
    };
    let wanted =
        |peer: &Peer| *peer == ours || arguments.peers.is_empty() || arguments.peers.contains(peer);
    let mut sides = Vec::new();
    for peer in Peer::ALL.into_iter().filter(wanted) {
        sides.push(bench.side(peer, arguments.keys).await?);
    }
    let kafka = &bench.place.endpoints.kafka;
    let feed = Feed::new(kafka, Arc::clone(&bench.codec), arguments.payload)?;
    let mut rounds: Vec<Vec<Measured>> = Vec::new();
    for number in 0..arguments.warm_up + arguments.rounds {
        let counts = number >= arguments.warm_up;
        // The sides take turns in going first, so that a slow drift of the machine is in all.
        let mut round: Vec<Option<Measured>> = vec![None; sides.len()];
        for step in 0..sides.len() {
            let at = (number + step) % sides.len();
            let side = &mut sides[at];
            let events = arguments.events * side.peer.scale();
            let measured = bench.drain(side, &feed, events).await?;
            eprintln!(
                "round {}{}: {} {:.0}/s",
                number + 1,
                if counts { "" } else { " (warm-up)" },
                side.peer.name(),
                measured.rate
            );
            round[at] = Some(measured);
        }
        if counts {
            rounds.push(round.into_iter().flatten().collect());
        }
    }
    let rates: Vec<f64> = (0..sides.len())
        .map(|at| crate::bench::median_of(rounds.iter().map(|round| round[at].rate)))
        .collect();
    // What batches is measured at one rate, which is no burden for any of them.
    let batching = sides
        .iter()
        .zip(&rates)
        .filter(|(side, _)| side.peer.batches());
    let slowest = batching
        .map(|(_, rate)| *rate)
        .fold(f64::INFINITY, f64::min);
    let mut latencies = Vec::new();
    for (side, own) in sides.iter_mut().zip(rates) {
        let own = if side.peer.batches() { slowest } else { own };
        let rate = arguments.latency_rate.unwrap_or(own / 2.0);
        latencies.push(match arguments.latency {
            0.0 => None,
            seconds => Some(latency::measure(bench, side, &feed, rate, seconds).await?),
        });
    }
    Ok(Report::new(arguments, &sides, &rounds, latencies))
}
