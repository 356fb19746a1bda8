//! The gateway: what it adds to a request, how many requests it takes, and what waiting ones cost.
//!
//! Four parts, on a running dev stack, all with commands of `product-reservations`:
//!
//! - overhead: one request at a time, by a Kafka client and over HTTP in turn;
//! - accepted: as many `respond-async` requests as are answered, while no handler is subscribed;
//! - with handlers: requests at a fixed rate, faster in each step, whether or not earlier ones were
//!   answered (open loop), until p99 of the 202 is too long;
//! - waiting: memory of the gateway's process while very many requests wait.
//!
//! The client writes ready-made bytes to connections that stay open: it shares the machine with
//! what it measures.

mod accepted;
mod connection;
mod overhead;
mod paused;
mod report;
mod steps;
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_devstack::Ports;
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};

use connection::Target;
use paused::Paused;
use report::Report;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Requests of either kind, one after the other, to measure overhead with; 0: leave it out
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
    /// Seconds of accepting without a handler; 0: leave it out
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that send
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of each step with handlers; 0: leave it out
    #[arg(long, default_value_t = 10)]
    step_seconds: u64,
    /// Requests a second of the first step
    #[arg(long, default_value_t = 500)]
    first_rate: u64,
    /// Milliseconds that p99 of a step may have
    #[arg(long, default_value_t = 100)]
    p99_ms: u64,
    /// Requests that wait at once; 0: leave it out
    #[arg(long, default_value_t = 10_000)]
    waiting: usize,
    /// Folder of the running dev stack
    #[arg(long, default_value = DEV_FOLDER)]
    folder: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// The running stack.
struct Stack {
    endpoints: Endpoints,
    target: Target,
    /// Where the gateway shows its metrics.
    metrics: String,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        arguments.connections > 0 && arguments.first_rate > 0,
        "--connections and --first-rate must be 1 or more"
    );
    let stack = Stack::running(&arguments)?;
    connection::raise_file_limit()?;
    let overhead = match arguments.requests {
        0 => None,
        requests => Some(overhead::measure(&stack, requests).await?),
    };
    let steps = match arguments.step_seconds {
        0 => Vec::new(),
        _ => steps::measure(&stack, &arguments).await?,
    };
    let (mut accepted, mut waiting) = (None, None);
    if arguments.seconds > 0 || arguments.waiting > 0 {
        let paused = Paused::begin(&stack.endpoints).await?;
        // Whatever happens, the subscription is put back.
        let measured = tokio::select! {
            measured = without_handlers(&stack, &arguments) => measured,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        };
        paused.end().await?;
        (accepted, waiting) = measured?;
    }
    let report = Report {
        overhead,
        accepted,
        p99_limit_ms: arguments.p99_ms,
        steps,
        waiting,
    };
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

type WithoutHandlers = (Option<accepted::Accepted>, Option<waiting::Waiting>);

async fn without_handlers(stack: &Stack, arguments: &Arguments) -> anyhow::Result<WithoutHandlers> {
    // First, while the gateway's memory is as it begins.
    let waiting = match arguments.waiting {
        0 => None,
        requests => Some(waiting::measure(stack, requests).await?),
    };
    let accepted = match arguments.seconds {
        0 => None,
        seconds => {
            let duration = Duration::from_secs(seconds);
            Some(accepted::measure(stack, arguments.connections, duration).await?)
        }
    };
    Ok((accepted, waiting))
}

impl Stack {
    fn running(arguments: &Arguments) -> anyhow::Result<Self> {
        let folder = &arguments.folder;
        let endpoints = Endpoints::read(folder)?.with_context(|| {
            format!(
                "no dev stack in {}; start one with `millstream dev`",
                folder.display()
            )
        })?;
        let url = endpoints.gateway.as_ref();
        let url = url.context("the dev stack has no gateway")?;
        let ports = std::fs::read(folder.join("ports.json")).context("the dev stack's ports")?;
        let ports: Ports = serde_json::from_slice(&ports)?;
        Ok(Self {
            target: Target::new(url)?,
            metrics: format!("http://127.0.0.1:{}/metrics", ports.gateway_metrics),
            endpoints,
        })
    }

    fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let pid = self.endpoints.pids.get(name).copied();
        pid.with_context(|| format!("dev.json names no process {name}"))
    }
}
