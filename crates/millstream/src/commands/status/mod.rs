//! `status`: what does the installation do at this moment?

mod tables;
mod watch;

use std::process::ExitCode;

use millstream_control::{glance, status};

use super::declared::InstallationArgs;
use crate::application::About;
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

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.installation.endpoints.resolve()?;
    let settings = arguments.installation.settings();
    if arguments.watch {
        let look = || glance(about.topics, &endpoints, &settings);
        watch::run(look, std::time::Duration::from_secs(arguments.interval)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = status(about.topics, &endpoints, &settings).await?;
    match arguments.json {
        true => output::json(&found)?,
        false => output::line(tables::all(&found)),
    }
    Ok(ExitCode::SUCCESS)
}
