//! What the pipeline costs: events per second of `product-reservations` (state, idempotency keys,
//! results) against a virtual object that does nothing.
//!
//! Both are fed by the same kind of subscription from a topic with as many partitions, with the
//! very same keys and values. Only the ratio of the two inside one run says something: this
//! machine's speed, and what else runs on it, is in both. How a round goes: the commands are
//! produced while nobody is subscribed, then a subscription with a group of its own is made; what
//! counts is the time from the first event handled to the last. The sides take turns, and the
//! first round is thrown away.

pub mod broker;
pub mod commands;
pub mod latency;
pub mod log_records;
pub mod noop;
pub mod process;
pub mod report;
pub mod results;
pub mod rig;
pub mod side;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use millstream_devstack::Ports;
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};

use report::{Report, Round};
use rig::Rig;
use side::Side;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Events per round and side
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Keys, picked evenly
    #[arg(long, default_value_t = 1_000)]
    keys: usize,
    /// Rounds, of which the first is a warm-up and does not count
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Requests, one after the other, to measure latency with; 0: none
    #[arg(long, default_value_t = 1_000)]
    latency: usize,
    /// Folder of the running dev stack
    #[arg(long, default_value = DEV_FOLDER)]
    folder: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        arguments.rounds >= 3,
        "--rounds must be 3 or more: the first does not count"
    );
    ensure!(
        arguments.keys > 0 && arguments.events >= arguments.keys,
        "--events must be at least --keys"
    );
    let endpoints = Endpoints::read(&arguments.folder)?.with_context(|| {
        format!(
            "no dev stack in {}; start one with `millstream dev`",
            arguments.folder.display()
        )
    })?;
    let rig = Rig::set_up(endpoints, restate_metrics(&arguments.folder)).await?;
    // Whatever happens, the subscription that the stack had is put back.
    let measured = tokio::select! {
        rounds = measure(&rig, &arguments) => rounds,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    rig.put_back().await?;
    let rounds = measured?;
    let latency = match arguments.latency {
        0 => None,
        requests => Some(latency::measure(&rig.endpoints, requests).await?),
    };
    let report = Report::new(&arguments, rounds, latency, rig.handlers_peak_rss()?);
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

async fn measure(rig: &Rig, arguments: &Arguments) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let commands = rig.commands(arguments.events, arguments.keys).await?;
        // The sides take turns in going first, so that a slow drift of the machine is in both.
        let (noop, pipeline);
        if number % 2 == 0 {
            noop = rig.round(Side::Noop, &commands).await?;
            pipeline = rig.round(Side::Pipeline, &commands).await?;
        } else {
            pipeline = rig.round(Side::Pipeline, &commands).await?;
            noop = rig.round(Side::Noop, &commands).await?;
        }
        let round = Round {
            number,
            warm_up: number == 0,
            ratio: pipeline.rate / noop.rate,
            noop,
            pipeline,
        };
        eprintln!("{}", round.line());
        rounds.push(round);
    }
    Ok(rounds)
}

/// Where Restate shows its own metrics, if the dev stack says so.
fn restate_metrics(folder: &std::path::Path) -> Option<String> {
    let text = std::fs::read(folder.join("ports.json")).ok()?;
    let ports: Ports = serde_json::from_slice(&text).ok()?;
    Some(format!("http://127.0.0.1:{}/metrics", ports.restate_node))
}
