//! Where the installation under test is, and where this process shows its metrics.

use std::net::SocketAddr;
use std::path::PathBuf;

use millstream_control::{DEFAULT_PREFIX, EndpointArgs};
use millstream_pipeline::kafka::Options;
use millstream_pipeline::serve::metrics_server;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::drive::Place;

#[derive(Debug, clap::Args)]
pub struct PlaceArguments {
    /// Serves /metrics and /health
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// The gateway, where it is not the dev stack's
    #[arg(
        long,
        env = "MILLSTREAM_GATEWAY",
        hide_env_values = true,
        value_name = "URL"
    )]
    gateway: Option<String>,
    /// API key for the gateway
    #[arg(
        long,
        env = "MILLSTREAM_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    api_key: Option<String>,
    /// Prefix of the installation's consumer groups
    #[arg(long, default_value = DEFAULT_PREFIX)]
    prefix: String,
}

impl PlaceArguments {
    /// What the flags say, else the environment, else the running dev stack, else the usual ports.
    pub fn resolve(&self) -> anyhow::Result<Place> {
        let config = std::env::var_os("MILLSTREAM_KAFKA_CONFIG").map(PathBuf::from);
        Options::read(config.as_deref(), std::env::vars())?.set()?;
        let mut endpoints = self.endpoints.resolve()?;
        if self.gateway.is_some() {
            endpoints.gateway.clone_from(&self.gateway);
        }
        Ok(Place {
            endpoints,
            prefix: self.prefix.clone(),
            api_key: self.api_key.clone(),
        })
    }

    /// Serves metrics, if an address was given, until what it returns is dropped.
    pub async fn serve_metrics(&self) -> anyhow::Result<Option<DropGuard>> {
        let Some(address) = self.metrics else {
            return Ok(None);
        };
        let stop = CancellationToken::new();
        tokio::spawn(metrics_server(address, stop.clone()).await?);
        Ok(Some(stop.drop_guard()))
    }
}
