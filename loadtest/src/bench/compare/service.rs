//! The keyed count on the pipeline, and `loadtest serve-counter`, the process that serves it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Topic;
use millstream_pipeline::lane::batch::topics::Limits;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::serve;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline, Service};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::partitions::{self, CountsAmong};
use crate::chaos::ledger::catalogue::counts::{CountOne, Counted};
use crate::chaos::ledger::catalogue::{self, counts_batch};
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

/// The same in the batch lane, for topics with so many partitions.
fn batch_counter(pipeline: &Pipeline, ballast: usize, partitions: i32) -> anyhow::Result<Decider> {
    Ok(match partitions {
        1 => counter_of::<CountsAmong<1>>(pipeline, ballast),
        2 => counter_of::<CountsAmong<2>>(pipeline, ballast),
        4 => counter_of::<CountsAmong<4>>(pipeline, ballast),
        8 => counter_of::<CountsAmong<8>>(pipeline, ballast),
        16 => counter_of::<CountsAmong<16>>(pipeline, ballast),
        32 => counter_of::<CountsAmong<32>>(pipeline, ballast),
        other => {
            bail!("it counts in the batch lane on 1, 2, 4, 8, 16 or 32 partitions, not {other}")
        }
    })
}

fn counter_of<T>(pipeline: &Pipeline, ballast: usize) -> Decider
where
    T: Topic<Event = counts_batch::CountOne, Result = counts_batch::Counted>,
{
    pipeline.decider("BatchCounter").on::<T, _>(
        move |state: &mut Count, _: counts_batch::CountOne| {
            let count = state.one_more(ballast);
            Ok(counts_batch::Counted { count })
        },
    )
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
    /// Partitions of its topics
    #[arg(long, default_value_t = partitions::USUAL)]
    partitions: i32,
    /// Count in the batch lane
    #[arg(long)]
    batch: bool,
    /// Milliseconds after which the next batch is taken, if it is not full before
    #[arg(long, default_value_t = 50)]
    batch_interval: u64,
}

/// Serves the counter until it is told to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints {
        kafka: arguments.kafka,
        schema_registry: arguments.schema_registry,
        ..Endpoints::default()
    };
    let partitions = arguments.partitions;
    let topics = partitions::topics(partitions);
    let pipeline = Pipeline::new(&endpoints, &topics, DEFAULT_PREFIX)?;
    let (builder, ballast) = (pipeline.endpoint(), arguments.ballast);
    let builder = match arguments.batch {
        true => {
            let limits = Limits {
                interval: Duration::from_millis(arguments.batch_interval),
                ..Limits::default()
            };
            let counter = batch_counter(&pipeline, ballast, partitions)?;
            builder.bind(counter.limits(limits))
        }
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

#[cfg(test)]
mod tests {
    use super::super::growth::Growth;
    use super::*;

    #[tokio::test]
    async fn each_number_of_partitions_is_served() {
        for value in Growth::Partitions.values() {
            let partitions = i32::try_from(*value).unwrap();
            let topics = partitions::topics(partitions);
            let pipeline = Pipeline::new(&Endpoints::default(), &topics, DEFAULT_PREFIX).unwrap();
            let counter = batch_counter(&pipeline, 0, partitions).unwrap();
            assert_eq!(counter.settings().unwrap().partitions, partitions);
            let of = |name: &str| topics.iter().find(|topic| topic.name == name).unwrap();
            for name in ["batch-counter-work", "batch-counter-state"] {
                assert_eq!(of(name).partitions, partitions);
            }
            for name in ["counts", "counts-batch"] {
                let results = of(name).results.as_ref().unwrap();
                assert_eq!(of(name).partitions, partitions);
                assert_eq!(results.partitions, partitions);
            }
            assert_eq!(of("ledger").partitions, partitions::USUAL);
        }
    }

    #[tokio::test]
    async fn other_numbers_are_refused() {
        let topics = partitions::topics(3);
        let pipeline = Pipeline::new(&Endpoints::default(), &topics, DEFAULT_PREFIX).unwrap();
        assert!(batch_counter(&pipeline, 0, 3).is_err());
    }
}
