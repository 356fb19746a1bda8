//! `millstream status`: what does the installation do at this moment?

mod tables;
mod watch;

use std::process::ExitCode;

use millstream_pipeline::declarations::status;

use super::declared::{InstallationArgs, declarations};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    installation: InstallationArgs,
    /// Print it as JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Show it again and again until Ctrl-C, without what is idle
    #[arg(long)]
    watch: bool,
    /// Seconds between two looks of --watch
    #[arg(long, default_value_t = 2, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.installation.endpoints.resolve()?;
    let settings = arguments.installation.settings();
    let look = || status(declarations(), &endpoints, &settings);
    if arguments.watch {
        watch::run(look, std::time::Duration::from_secs(arguments.interval)).await?;
    } else if arguments.json {
        output::json(&look().await?)?;
    } else {
        output::line(tables::all(&look().await?));
    }
    Ok(ExitCode::SUCCESS)
}
