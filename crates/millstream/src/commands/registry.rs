//! `registry`: the built-in schema registry.

use std::net::SocketAddr;
use std::process::ExitCode;

use millstream_registry::RegistryConfig;

use crate::shutdown;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Kafka's bootstrap servers
    #[arg(
        long,
        env = "MILLSTREAM_KAFKA",
        default_value = "localhost:9092",
        value_name = "HOST:PORT"
    )]
    kafka: String,
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    listen: SocketAddr,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = RegistryConfig::new(arguments.kafka, arguments.listen);
    millstream_registry::serve(config, shutdown::on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}
