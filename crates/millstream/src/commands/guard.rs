//! `guard`: the relay between foreign topics and their handlers.

use std::net::SocketAddr;
use std::process::ExitCode;

use millstream_guard::Settings;
use millstream_pipeline::{program, serve};

use crate::application::About;
use crate::{output, shutdown};
use millstream_control::EndpointArgs;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// Prefix of the consumer groups
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    prefix: String,
    /// Name of this process, unlike every other; one that stays the same recovers fastest
    #[arg(long, env = "MILLSTREAM_INSTANCE", value_name = "NAME")]
    instance: Option<String>,
    /// Address of /metrics and /health
    #[arg(
        long,
        default_value = "0.0.0.0:9465",
        env = "MILLSTREAM_GUARD_METRICS_LISTEN",
        value_name = "ADDRESS"
    )]
    metrics: SocketAddr,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    let mut settings = Settings {
        prefix: arguments.prefix,
        ..Settings::default()
    };
    if let Some(instance) = arguments.instance {
        settings.instance = instance;
    }
    let stop = shutdown::on_signal()?;
    let metrics = tokio::spawn(serve::metrics_server(arguments.metrics, stop.clone()).await?);
    output::say(format!(
        "guard `{}`, metrics on http://{}/metrics",
        settings.instance, arguments.metrics
    ));
    millstream_guard::run(&endpoints, about.topics, &settings, stop).await?;
    metrics.await??;
    Ok(ExitCode::SUCCESS)
}
