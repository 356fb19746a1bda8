//! The topic that has each result once, as any reader of committed records sees it that knows nothing of
//! the reader rule.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use millstream_control::Settings;
use millstream_pipeline::kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::harness::Harness;
use super::trial::until;
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::checker::Report;
use crate::chaos::ledger::event::{Book, is_of_run};
use crate::chaos::ledger::watch::watermarks;

/// How long the service may take to have published what is there.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the brokers may hand over nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// What a run has on the topic.
pub struct Once {
    topic: &'static str,
    results: &'static str,
    /// Where the topic ended when the run began.
    begins: HashMap<(String, i32), (i64, i64)>,
}

/// What a reader counts.
#[derive(Debug, Default)]
pub struct Counted {
    pub records: u64,
    /// Those whose id came before.
    pub duplicates: u64,
}

impl Once {
    /// From now on, if the ledger has such a topic.
    pub async fn begin(harness: &Harness, book: Book) -> anyhow::Result<Option<Self>> {
        let results = book.declaration().results.as_ref();
        let Some((results, once)) = results.and_then(|it| Some((it.name, it.once?))) else {
            return Ok(None);
        };
        let begins = watermarks(&harness.endpoints.kafka, once.name).await?;
        let topic = once.name;
        Ok(Some(Self {
            topic,
            results,
            begins,
        }))
    }

    /// What a reader has of the run once nothing more is to come.
    pub async fn count(self, harness: &Harness, run: &str) -> anyhow::Result<Counted> {
        let (endpoints, settings) = (&harness.endpoints, Settings::default());
        let published = until(LIMIT, || async {
            let status = millstream_control::status(OWN_TOPICS, endpoints, &settings).await;
            let lanes = status.map(|status| status.lanes).unwrap_or_default();
            let mut lanes = lanes.iter().filter(|lane| lane.topic == self.results);
            lanes.any(|lane| lane.lag == Some(0))
        });
        anyhow::ensure!(published.await, "{} lags behind for too long", self.topic);
        let (bootstrap, run) = (endpoints.kafka.clone(), run.to_owned());
        tokio::task::spawn_blocking(move || self.read(&bootstrap, &run)).await?
    }

    fn read(&self, bootstrap: &str, run: &str) -> anyhow::Result<Counted> {
        let consumer: BaseConsumer = kafka::client(bootstrap)
            .set("group.id", "loadtest-once")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), (_, end)) in &self.begins {
            list.add_partition_offset(topic, *partition, Offset::Offset(*end))?;
        }
        consumer.assign(&list)?;
        let (mut counted, mut ids, mut ended) =
            (Counted::default(), HashSet::new(), HashSet::new());
        while ended.len() < self.begins.len() {
            match consumer.poll(SILENCE).context("nothing comes")? {
                Ok(message) => {
                    let key = std::str::from_utf8(message.key().unwrap_or_default())?;
                    if is_of_run(key, run) {
                        counted.records += 1;
                        let headers = message.headers().context("no headers")?;
                        let mut headers = headers.iter();
                        let id = headers.find(|it| it.key == "ce_id").and_then(|it| it.value);
                        let is_new = ids.insert(id.context("no id")?.to_vec());
                        counted.duplicates += u64::from(!is_new);
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
                // librdkafka connects again by itself.
                Err(error) => tracing::debug!(%error, "reading"),
            }
        }
        Ok(counted)
    }
}

/// What a reader of the raw topic takes.
pub fn accepted(report: &Report) -> u64 {
    report.raw_results - report.raw_duplicates - report.conflicts
}
