//! `loadtest serve-gateway`: a gateway for the ledger's topics.

use std::net::SocketAddr;
use std::process::ExitCode;

use millstream_gateway::Settings;
use millstream_gateway::access::AccessSettings;
use millstream_pipeline::config::Endpoints;

use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::serve::shutdown;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    schema_registry: String,
    /// Address that clients connect to
    #[arg(long)]
    listen: SocketAddr,
    /// Address of /metrics, /health and /ready
    #[arg(long)]
    metrics: SocketAddr,
    /// Requests that may wait at once
    #[arg(long, default_value_t = Settings::default().max_waiting)]
    max_waiting: usize,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints {
        kafka: arguments.kafka,
        schema_registry: arguments.schema_registry,
        ..Endpoints::default()
    };
    let settings = Settings {
        listen: arguments.listen,
        admin: arguments.metrics,
        max_waiting: arguments.max_waiting,
        access: AccessSettings {
            open: true,
            ..AccessSettings::default()
        },
        ..Settings::default()
    };
    millstream_gateway::run(&endpoints, OWN_TOPICS, settings, shutdown()?).await?;
    Ok(ExitCode::SUCCESS)
}
