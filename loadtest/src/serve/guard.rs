//! `loadtest guard`: one guard relay, to be paused and killed.

use std::net::SocketAddr;
use std::process::ExitCode;

use millstream_guard::Settings;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::serve::metrics_server;

use crate::chaos::ledger::catalogue::TOPICS;
use crate::chaos::ledger::serve::shutdown;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    schema_registry: String,
    /// Address of /metrics and /health
    #[arg(long)]
    listen: SocketAddr,
    /// Name of this process
    #[arg(long)]
    instance: String,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints {
        kafka: arguments.kafka,
        schema_registry: arguments.schema_registry,
        ..Endpoints::default()
    };
    let settings = Settings {
        instance: arguments.instance,
        ..Settings::default()
    };
    let stop = shutdown()?;
    let metrics = tokio::spawn(metrics_server(arguments.listen, stop.clone()).await?);
    millstream_guard::run(&endpoints, TOPICS, &settings, stop).await?;
    metrics.await??;
    Ok(ExitCode::SUCCESS)
}
