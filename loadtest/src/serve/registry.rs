//! `loadtest registry`: the built-in schema registry, so that the suite needs no other program.

use std::net::SocketAddr;
use std::process::ExitCode;

use millstream_registry::RegistryConfig;

use crate::chaos::ledger::serve::shutdown;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    listen: SocketAddr,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = RegistryConfig::new(arguments.kafka, arguments.listen);
    millstream_registry::serve(config, shutdown()?).await?;
    Ok(ExitCode::SUCCESS)
}
