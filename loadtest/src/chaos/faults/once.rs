//! The topic that has each result once, as any reader of committed records sees it that knows nothing of
//! the reader rule: compared with what the rule accepts of the raw results.

mod compare;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::Record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::harness::Harness;
use super::trial::Trial;
use crate::chaos::ledger::checker::Report;
use crate::chaos::ledger::event::{Book, is_of_run};
use crate::chaos::ledger::watch::{once_of, results_of, watermarks};
use compare::{Comparison, Differences, Found};

/// How long the brokers may hand over nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// What a run has on both topics.
pub struct Once {
    raw: Stretch,
    once: Stretch,
}

/// A topic from where it ended when the run began.
struct Stretch {
    topic: &'static str,
    begins: HashMap<(String, i32), (i64, i64)>,
}

impl Once {
    /// From now on, if the ledger has such a topic.
    pub async fn begin(harness: &Harness, book: Book) -> anyhow::Result<Option<Self>> {
        let Some(once) = once_of(book) else {
            return Ok(None);
        };
        let kafka = &harness.endpoints.kafka;
        Ok(Some(Self {
            raw: Stretch::begin(kafka, results_of(book)).await?,
            once: Stretch::begin(kafka, once).await?,
        }))
    }

    /// Reads what a run of which nothing more is to come has on both.
    pub async fn compare(self, harness: &Harness, run: &str) -> anyhow::Result<Compared> {
        let (raw, once) = (self.raw.topic, self.once.topic);
        let (bootstrap, run) = (harness.endpoints.kafka.clone(), run.to_owned());
        let codec = Arc::clone(&harness.codec);
        let differences = tokio::task::spawn_blocking(move || {
            let mut comparison = Comparison::default();
            self.raw.read(&bootstrap, &codec, &run, |seen| {
                // Else it is a dead letter.
                if seen.undecodable.is_none() {
                    comparison.raw(&found(seen));
                }
            })?;
            self.once.read(&bootstrap, &codec, &run, |seen| {
                comparison.once(&found(seen));
            })?;
            anyhow::Ok(comparison.finish())
        })
        .await??;
        Ok(Compared {
            raw,
            once,
            differences,
        })
    }
}

/// How a run's results differ from those that are published once.
pub struct Compared {
    raw: &'static str,
    once: &'static str,
    differences: Differences,
}

impl Compared {
    /// Expects that what the rule accepts is there, once and as it came.
    pub fn judge(self, trial: &Trial<'_>, report: &Report) {
        let Self {
            raw,
            once,
            differences,
        } = self;
        for (name, _, finding) in differences.kinds() {
            trial.figure(name, finding.count as f64);
        }
        for sentence in differences.sentences(once) {
            trial.expect(false, sentence);
        }
        // Two that have read nothing are no different.
        let (read, seen) = (differences.accepted, accepted(report));
        trial.expect(
            read == seen,
            format!("{raw}: {once} is compared with {read} results, and the checker took {seen}"),
        );
    }
}

impl Stretch {
    async fn begin(bootstrap: &str, topic: &'static str) -> anyhow::Result<Self> {
        let begins = watermarks(bootstrap, topic).await?;
        Ok(Self { topic, begins })
    }

    /// Hands over what `run` has there.
    fn read(
        &self,
        bootstrap: &str,
        codec: &Codec,
        run: &str,
        mut take: impl FnMut(Seen),
    ) -> anyhow::Result<()> {
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
        let (runtime, mut ended) = (Handle::current(), HashSet::new());
        while ended.len() < self.begins.len() {
            let polled = consumer.poll(SILENCE);
            match polled.with_context(|| format!("nothing comes of {}", self.topic))? {
                Ok(message) => {
                    let mut seen = Seen::of(&message);
                    let key = seen.key.as_deref();
                    if key.is_some_and(|key| is_of_run(key, run)) {
                        let is_told = runtime.block_on(seen.decode(codec));
                        anyhow::ensure!(is_told, "the registry cannot be asked what a result is");
                        take(seen);
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
                // librdkafka connects again by itself.
                Err(error) => tracing::debug!(%error, "reading"),
            }
        }
        Ok(())
    }
}

fn found(seen: Seen) -> Found {
    Found {
        partition: seen.partition,
        record: Record {
            topic: seen.topic,
            key: seen.raw_key,
            value: seen.value,
            headers: seen.raw_headers,
        },
        meta: seen.meta,
    }
}

/// What a reader of the raw topic takes.
fn accepted(report: &Report) -> u64 {
    report.raw_results - report.raw_duplicates - report.conflicts
}
