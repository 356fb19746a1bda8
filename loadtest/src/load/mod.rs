//! `loadtest run` and `loadtest find-max`: the load generator.
//!
//! Events are sent by a schedule that nothing can hold up, and a latency counts from the time when
//! its event should have been sent. So a system that stalls is seen with all that it held up
//! (Gil Tene's "coordinated omission"; the method is that of the OpenMessaging Benchmark and wrk2).
//!
//! A [`workload`] file becomes a [`plan`]; [`drive`] runs it with three threads, which [`send`],
//! [`collect`] results and look at the [`lag`]; all that happens is told to [`track`]; [`report`]
//! and [`html`] show what came of it.

mod clock;
mod collect;
mod drive;
mod find_max;
mod host;
mod html;
mod keys;
mod lag;
mod metrics;
mod outlet;
mod place;
mod plan;
mod progress;
mod report;
mod schedule;
mod send;
mod series;
mod thresholds;
mod track;
mod values;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use millstream_topics::TOPICS;

pub use find_max::Arguments as FindMaxArguments;
pub use find_max::run as find_max;

use plan::Plan;
use progress::Progress;
use report::Report;
use workload::Workload;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workload, in TOML; see loadtest/workloads
    workload: PathBuf,
    /// Makes other random numbers than the workload's `seed`
    #[arg(long)]
    seed: Option<u64>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Writes a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    place: place::PlaceArguments,
}

/// Runs a workload. The exit status is 1 if a threshold does not hold or the run was interrupted.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut workload = Workload::read(&arguments.workload)?;
    workload.seed = arguments.seed.unwrap_or(workload.seed);
    let plan = Arc::new(Plan::new(workload, TOPICS)?);
    let place = arguments.place.resolve()?;
    let _metrics = arguments.place.serve_metrics().await?;
    let mut progress = Progress::new(plan.schedule.seconds());
    let outcome = drive::drive(&plan, &place, |sample| progress.show(sample)).await?;
    drop(progress);
    let report = Report::new(&plan, outcome)?;
    if let Some(file) = &arguments.html {
        std::fs::write(file, html::page(&report))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    Ok(match report.ok && !report.interrupted {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
