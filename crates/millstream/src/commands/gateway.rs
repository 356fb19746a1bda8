//! `gateway`: HTTP in and out of topics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use millstream_gateway::{Origin, Settings, WebhookSecrets};

use crate::access::{AccessArgs, HEADING as ACCESS, LIMITS};
use crate::application::About;
use crate::{identity, output, shutdown};
use millstream_control::EndpointArgs;

/// Where the secrets of webhooks may be, instead of a file.
const WEBHOOK_SECRETS: &str = "MILLSTREAM_WEBHOOK_SECRETS";

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
    #[command(flatten)]
    access: AccessArgs,
    /// Origins whose pages may use the gateway from a browser, such as https://app.example; several
    /// with commas
    #[arg(long = "cors-origin", env = "MILLSTREAM_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',', help_heading = ACCESS)]
    cors_origins: Vec<Origin>,
    /// What webhooks are signed with, as JSON: {"<topic>": ["<secret>", ...]}; read again when it
    /// changes. MILLSTREAM_WEBHOOK_SECRETS may hold the JSON itself
    #[arg(long, env = "MILLSTREAM_WEBHOOK_SECRETS_FILE", value_name = "FILE", help_heading = ACCESS)]
    webhook_secrets: Option<PathBuf>,
    /// Private key that signs what is sent on behalf of clients; needed with --keys and --jwks
    #[arg(long, env = "MILLSTREAM_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
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
    /// Events under way beyond which they are sent in batches, a few milliseconds later
    #[arg(long, default_value_t = Settings::default().batch_from, value_name = "N", help_heading = LIMITS)]
    batch_from: usize,
    /// Seconds that the head of a request, and its body, may take to come
    #[arg(long, default_value_t = 20, value_name = "SECONDS", help_heading = LIMITS)]
    slowest: u64,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    let access = arguments
        .access
        .settings("the gateway does not know who may send requests")?;
    let webhook_secrets = match (&arguments.webhook_secrets, std::env::var(WEBHOOK_SECRETS)) {
        (Some(path), _) => WebhookSecrets::File(path.clone()),
        (None, Ok(text)) => WebhookSecrets::Text(text),
        (None, Err(_)) => WebhookSecrets::None,
    };
    let seconds = Duration::from_secs;
    let settings = Settings {
        listen: arguments.listen,
        admin: arguments.metrics,
        access,
        origins: arguments.cors_origins,
        webhook_secrets,
        signer: identity::signer(arguments.signing_key.as_deref())?.map(Arc::new),
        wait: seconds(arguments.wait),
        longest_wait: seconds(arguments.longest_wait),
        keep: seconds(arguments.keep.saturating_mul(3600)),
        max_waiting: arguments.max_waiting,
        max_connections: arguments.max_connections,
        max_body: arguments.max_body,
        max_bodies: arguments.max_bodies,
        max_producing: arguments.max_producing,
        batch_from: arguments.batch_from,
        header_limit: seconds(arguments.slowest),
        body_limit: seconds(arguments.slowest),
        ..Settings::default()
    };
    let stop = shutdown::on_signal()?;
    output::say(format!(
        "gateway on http://{}, metrics on http://{}/metrics",
        settings.listen, settings.admin
    ));
    millstream_gateway::run(&endpoints, about.topics, settings, stop).await?;
    Ok(ExitCode::SUCCESS)
}
