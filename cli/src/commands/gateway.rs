//! `millstream gateway`: HTTP in and out of topics.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use millstream_pipeline::gateway::{self, Settings};
use millstream_topics::TOPICS;

use crate::endpoints::EndpointArgs;
use crate::{output, shutdown};

/// Where `--help` lists the limits.
const LIMITS: &str = "Limits";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// Address that clients connect to
    #[arg(
        long,
        default_value = "0.0.0.0:8088",
        env = "MILLSTREAM_GATEWAY_LISTEN",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Address of /metrics, /health and /ready
    #[arg(
        long,
        default_value = "0.0.0.0:9466",
        env = "MILLSTREAM_GATEWAY_METRICS_LISTEN",
        value_name = "ADDRESS"
    )]
    metrics: SocketAddr,
    /// Serve without asking who sends: for development alone
    #[arg(long, env = "MILLSTREAM_INSECURE_DEV")]
    insecure_dev: bool,
    /// Seconds that a request waits for its result unless the client says otherwise
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    wait: u64,
    /// Seconds that a client may make it wait at most
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    longest_wait: u64,
    /// Hours that a request id is answered for
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    keep: u64,
    /// Requests that may wait at once
    #[arg(long, default_value_t = Settings::default().max_waiting, value_name = "N", help_heading = LIMITS)]
    max_waiting: usize,
    /// Connections at once
    #[arg(long, default_value_t = Settings::default().max_connections, value_name = "N", help_heading = LIMITS)]
    max_connections: usize,
    /// Bytes of a body
    #[arg(long, default_value_t = Settings::default().max_body, value_name = "BYTES", help_heading = LIMITS)]
    max_body: usize,
    /// Bytes of all bodies that are read at once
    #[arg(long, default_value_t = Settings::default().max_bodies, value_name = "BYTES", help_heading = LIMITS)]
    max_bodies: usize,
    /// Events that Kafka has not acknowledged yet
    #[arg(long, default_value_t = Settings::default().max_producing, value_name = "N", help_heading = LIMITS)]
    max_producing: usize,
    /// Seconds that the head of a request, and its body, may take to come
    #[arg(long, default_value_t = 20, value_name = "SECONDS", help_heading = LIMITS)]
    slowest: u64,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    anyhow::ensure!(
        arguments.insecure_dev,
        "the gateway does not know yet who sends a request; --insecure-dev serves everybody"
    );
    let seconds = Duration::from_secs;
    let settings = Settings {
        listen: arguments.listen,
        admin: arguments.metrics,
        wait: seconds(arguments.wait),
        longest_wait: seconds(arguments.longest_wait),
        keep: seconds(arguments.keep.saturating_mul(3600)),
        max_waiting: arguments.max_waiting,
        max_connections: arguments.max_connections,
        max_body: arguments.max_body,
        max_bodies: arguments.max_bodies,
        max_producing: arguments.max_producing,
        header_limit: seconds(arguments.slowest),
        body_limit: seconds(arguments.slowest),
        ..Settings::default()
    };
    let stop = shutdown::on_signal()?;
    output::say(format!(
        "gateway on http://{}, metrics on http://{}/metrics",
        settings.listen, settings.admin
    ));
    gateway::run(&endpoints, TOPICS, settings, stop).await?;
    Ok(ExitCode::SUCCESS)
}
