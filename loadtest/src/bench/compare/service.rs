//! The keyed count on the pipeline, and `loadtest serve-counter`, the process that serves it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::serve;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline, Service};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::chaos::ledger::catalogue::counts::{CountOne, Counted};
use crate::chaos::ledger::catalogue::counts_batch;
use crate::chaos::ledger::catalogue::{self, TOPICS};
use crate::chaos::ledger::serve::{handlers, shutdown};

const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// Counts the commands of each key.
pub struct Counter {
    service: Service,
    /// Bytes that each object's state carries along, to see what large states cost.
    ballast: usize,
}

impl Counter {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, ballast: usize) -> Self {
        let service = pipeline.service("Counter");
        Self { service, ballast }
    }
}

/// What is known of one key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Count {
    #[serde(default)]
    count: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ballast: String,
}

impl Count {
    fn one_more(&mut self, ballast: usize) -> i64 {
        self.count += 1;
        if self.ballast.len() != ballast {
            self.ballast = "x".repeat(ballast);
        }
        self.count
    }
}

/// The same in the batch lane.
fn batch_counter(pipeline: &Pipeline, ballast: usize) -> Decider {
    pipeline
        .decider("BatchCounter")
        .on::<catalogue::CountsBatch, _>(move |state: &mut Count, _: counts_batch::CountOne| {
            let count = state.one_more(ballast);
            Ok(counts_batch::Counted { count })
        })
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl Counter {
    /// Handles `counts`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let ballast = self.ballast;
        self.service
            .handle::<catalogue::Counts, _>(&ctx, record, |state: &mut Count, _: CountOne| {
                let count = state.one_more(ballast);
                Ok(Counted { count })
            })
            .await
    }
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    schema_registry: String,
    /// Address that Restate calls
    #[arg(long)]
    listen: SocketAddr,
    /// Address of /metrics and /health
    #[arg(long)]
    metrics: SocketAddr,
    /// Public key that Restate signs its requests with
    #[arg(long)]
    identity_key: Vec<String>,
    /// Bytes that each object's state carries along
    #[arg(long, default_value_t = 0)]
    ballast: usize,
    /// Count in the batch lane
    #[arg(long)]
    batch: bool,
}

/// Serves the counter until it is told to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints {
        kafka: arguments.kafka,
        schema_registry: arguments.schema_registry,
        ..Endpoints::default()
    };
    let pipeline = Pipeline::new(&endpoints, TOPICS, DEFAULT_PREFIX)?;
    let (builder, ballast) = (pipeline.endpoint(), arguments.ballast);
    let builder = match arguments.batch {
        true => builder.bind(batch_counter(&pipeline, ballast)),
        false => builder.bind(Counter::new(&pipeline, ballast)),
    };
    let stop = shutdown()?;
    let metrics = tokio::spawn(serve::metrics_server(arguments.metrics, stop.clone()).await?);
    let handlers = handlers(&pipeline, builder, &arguments.identity_key)?;
    handlers.serve(arguments.listen, stop.cancelled()).await?;
    pipeline.flush(FLUSH_LIMIT).await?;
    metrics.await??;
    Ok(ExitCode::SUCCESS)
}
