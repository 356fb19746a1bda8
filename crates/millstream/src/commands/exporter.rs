//! `exporter`: what `status` shows, for Prometheus.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use millstream_control::export;
use millstream_pipeline::serve;

use super::declared::InstallationArgs;
use crate::application::About;
use crate::{output, shutdown};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    installation: InstallationArgs,
    /// Seconds between two looks
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Address of /metrics and /health
    #[arg(
        long,
        default_value = "0.0.0.0:9467",
        env = "MILLSTREAM_EXPORTER_METRICS_LISTEN",
        value_name = "ADDRESS"
    )]
    metrics: SocketAddr,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.installation.endpoints.resolve()?;
    let settings = arguments.installation.settings();
    let stop = shutdown::on_signal()?;
    let metrics = tokio::spawn(serve::metrics_server(arguments.metrics, stop.clone()).await?);
    output::say(format!("metrics on http://{}/metrics", arguments.metrics));
    let interval = Duration::from_secs(arguments.interval);
    export(about.topics, &endpoints, &settings, interval, stop).await?;
    metrics.await??;
    Ok(ExitCode::SUCCESS)
}
