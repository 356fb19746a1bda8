//! `produce`: JSON lines from standard input become events on a topic.

use std::process::ExitCode;

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use millstream_pipeline::codec::json::{self, JsonEncoder, Meta};
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_pipeline::{kafka, program};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{declared_topic, explained};
use crate::application::About;
use crate::output;
use millstream_control::EndpointArgs;

/// Records that may wait for their acknowledgement at once.
const IN_FLIGHT: usize = 1000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line: {\"key\": \"product1\", \"type\": \"ReserveProduct\", \"data\": {\"reservation_id\": \"r1\"}}
`type` may be left out on a topic with one kind of event. `meta` is made up where it is not given.
What `tail` prints can be read again: topic, partition, offset, timestamp and headers are
those of the new record. Members that nobody knows are refused. Events of a declared topic are
written with the declared schema, others with the newest one that the registry has for the topic.")]
pub struct Arguments {
    /// Topic to produce to
    topic: String,
    /// Leave `meta` null, like a producer that knows nothing of Millstream
    #[arg(long)]
    no_meta: bool,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    let meta = if arguments.no_meta {
        Meta::Absent
    } else {
        Meta::From(program::name().into())
    };
    let mut encoder = JsonEncoder::new(&endpoints.schema_registry, &arguments.topic, about.topics)?;
    let publisher = Publisher::new(kafka::client(&endpoints.kafka))?;
    let is_there = publisher.has_topic(&arguments.topic).await;
    if !explained(is_there, &endpoints.kafka).await? {
        let topic = &arguments.topic;
        match declared_topic(topic, about) {
            Ok(_) => anyhow::bail!("Kafka has no topic {topic} yet; run `{} apply`", about.name),
            Err(unknown) => return Err(unknown.context(format!("Kafka has no topic {topic}"))),
        }
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut in_flight = FuturesOrdered::new();
    let (mut number, mut produced) = (0_usize, 0_usize);
    let read = loop {
        // Polled together, so that records leave in batches, in their order, and without waiting
        // for the next line.
        let line = tokio::select! {
            line = lines.next_line(), if in_flight.len() < IN_FLIGHT => line?,
            Some(done) = in_flight.next() => {
                explained(done, &endpoints.kafka).await?;
                produced += 1;
                continue;
            }
        };
        let Some(line) = line else { break Ok(()) };
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let publisher = &publisher;
        match record(number, &line, &mut encoder, &meta).await {
            Ok(record) => {
                in_flight.push_back(async move { publisher.publish(&record).await });
            }
            Err(error) => break Err(error),
        }
    };
    // The events before a bad line are produced, and counted.
    while let Some(done) = in_flight.next().await {
        explained(done, &endpoints.kafka).await?;
        produced += 1;
    }
    let events = if produced == 1 { "event" } else { "events" };
    output::say(format!(
        "{produced} {events} produced to {}",
        arguments.topic
    ));
    read.map(|()| ExitCode::SUCCESS)
}

async fn record(
    number: usize,
    line: &str,
    encoder: &mut JsonEncoder,
    meta: &Meta,
) -> anyhow::Result<Record> {
    let line = json::parse(line.as_bytes())
        .with_context(|| format!("line {number} is not an event; see `produce --help`"))?;
    encoder
        .line(line, meta)
        .await
        .with_context(|| format!("line {number}"))
}
