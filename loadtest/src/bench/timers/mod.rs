//! Timers: how late they fire when many are due together, and what it costs other events that very
//! many are pending.
//!
//! Timers are set as a program outside does, by events on the topic `timers`; what they hold is a
//! mail, which no handler takes. Lateness is the record's timestamp on `outbound-emails` minus the
//! time that the timer was due.

mod due;
mod pending;
mod report;
pub mod setter;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};

use report::Report;
use setter::Setter;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Timers that are due together; 0: none
    #[arg(long, default_value_t = 10_000)]
    timers: usize,
    /// Seconds over which they are due, evenly; 0: all at one moment
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// Seconds before the first of them is due, to set them
    #[arg(long, default_value_t = 60)]
    lead: u64,
    /// Timers of the next day that are pending while other events are handled; 0: none
    #[arg(long, default_value_t = 100_000)]
    pending: usize,
    /// Other events per round
    #[arg(long, default_value_t = 10_000)]
    events: usize,
    /// Rounds of other events, without the pending timers and again with them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests, one after the other, to measure latency with
    #[arg(long, default_value_t = 500)]
    latency: usize,
    /// Folder of the running dev stack
    #[arg(long, default_value = DEV_FOLDER)]
    folder: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(arguments.rounds > 0, "--rounds must be 1 or more");
    let endpoints = Endpoints::read(&arguments.folder)?.with_context(|| {
        format!(
            "no dev stack in {}; start one with `millstream dev`",
            arguments.folder.display()
        )
    })?;
    let setter = Setter::new(endpoints)?;
    let due = match arguments.timers {
        0 => None,
        _ => Some(due::measure(&setter, &arguments).await?),
    };
    let pending = match arguments.pending {
        0 => None,
        _ => Some(pending::measure(&setter, &arguments).await?),
    };
    let report = Report { due, pending };
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}
