//! `healthcheck`: whether a part is healthy, for images that hold no other program.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::net::TcpStream;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What must answer with success (default: the health of each part that listens on its usual
    /// port of this machine)
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    #[command(flatten)]
    addresses: Addresses,
}

/// Where the parts listen: the variables that they read themselves.
#[derive(Debug, clap::Args)]
struct Addresses {
    #[arg(
        long,
        hide = true,
        default_value = "0.0.0.0:9464",
        env = "MILLSTREAM_METRICS_LISTEN"
    )]
    handlers: SocketAddr,
    #[arg(
        long,
        hide = true,
        default_value = "0.0.0.0:9465",
        env = "MILLSTREAM_GUARD_METRICS_LISTEN"
    )]
    guard: SocketAddr,
    #[arg(
        long,
        hide = true,
        default_value = "0.0.0.0:9466",
        env = "MILLSTREAM_GATEWAY_METRICS_LISTEN"
    )]
    gateway: SocketAddr,
    #[arg(
        long,
        hide = true,
        default_value = "0.0.0.0:9467",
        env = "MILLSTREAM_EXPORTER_METRICS_LISTEN"
    )]
    exporter: SocketAddr,
    #[arg(
        long,
        hide = true,
        default_value = "127.0.0.1:8087",
        env = "MILLSTREAM_CONSOLE_LISTEN"
    )]
    console: SocketAddr,
}

impl Addresses {
    /// Port and path of each part's health.
    fn parts(&self) -> [(u16, &'static str); 7] {
        [
            (self.handlers.port(), "/health"),
            (self.guard.port(), "/health"),
            (self.gateway.port(), "/ready"),
            (self.exporter.port(), "/health"),
            (self.console.port(), "/health"),
            (8081, "/subjects"),
            (9480, "/health"),
        ]
    }
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut urls = arguments.urls;
    if urls.is_empty() {
        for (port, path) in arguments.addresses.parts() {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                urls.push(format!("http://127.0.0.1:{port}{path}"));
            }
        }
    }
    ensure!(
        !urls.is_empty(),
        "no part of Millstream listens on its usual port; name the URL to ask"
    );
    // A proxy for the internet has no business with this machine's own ports.
    let client = millstream_pipeline::http::builder()
        .no_proxy()
        .timeout(LIMIT)
        .build()?;
    for url in urls {
        let answer = client.get(&url).send().await;
        let answer = answer.with_context(|| format!("{url} does not answer"))?;
        if !answer.status().is_success() {
            bail!("{url} answers {}", answer.status());
        }
    }
    Ok(ExitCode::SUCCESS)
}
