//! Reads a topic and counts the records that no handler can take, and those that another producer
//! would put elsewhere.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::Error;
use super::doctor::{Check, Outcome};
use super::kafka::Kafka;
use super::placement::Placement;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka::{Ends, offsets};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time without any progress.
const STALLED: Duration = Duration::from_secs(30);

/// What a topic's keys look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scan {
    /// Records that were read.
    pub records: u64,
    /// Records with an empty key or none: each becomes a dead letter.
    pub empty_keys: u64,
    /// Records whose key is not UTF-8: each stops Restate's whole subscription.
    pub undecodable_keys: u64,
    /// The first of them, as `topic/partition/offset`.
    pub first: Option<String>,
    /// Whether keys are where Java's client puts them.
    pub placement: Placement,
}

/// Reads all records that `topic` has now.
pub async fn scan(endpoints: &Endpoints, topic: &str) -> Result<Scan, Error> {
    let kafka = Kafka::new(&endpoints.kafka);
    let reader = kafka.reader("millstream-scan")?;
    let topic = topic.to_owned();
    let what = format!("read topic {topic}");
    let read = move || {
        let partitions = offsets::partitions(&reader, &topic, TIMEOUT)?.count();
        let mut scan = Scan {
            placement: Placement::among(partitions),
            ..Scan::default()
        };
        read(&reader, &topic, i64::MAX, |record| {
            scan.count(record.key(), &topic, record.partition(), record.offset());
        })?;
        Ok(scan)
    };
    kafka.blocking(what, read).await
}

/// Hands over what `topic` has now, of each partition the `newest` records; answers whether that
/// was all.
pub(crate) fn read(
    reader: &BaseConsumer<Ends>,
    topic: &str,
    newest: i64,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> KafkaResult<bool> {
    let partitions = offsets::partitions(reader, topic, TIMEOUT)?;
    let mut assigned = TopicPartitionList::new();
    let mut ends = std::collections::BTreeMap::new();
    let mut all = true;
    for (partition, start, end) in offsets::bounds(reader, &partitions, TIMEOUT)? {
        if end > start {
            ends.insert(partition, end);
            let first = start.max(end.saturating_sub(newest));
            all &= first == start;
            assigned.add_partition_offset(topic, partition, Offset::Offset(first))?;
        }
    }
    reader.assign(&assigned)?;
    let mut progress = Instant::now();
    while !ends.is_empty() {
        match reader.poll(Duration::from_millis(500)) {
            None if progress.elapsed() > STALLED => {
                return Err(KafkaError::MessageConsumption(
                    rdkafka::error::RDKafkaErrorCode::RequestTimedOut,
                ));
            }
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(record)) => {
                let end = ends.get(&record.partition()).copied().unwrap_or(0);
                if record.offset() < end {
                    each(&record);
                }
                if record.offset() + 1 >= end {
                    ends.remove(&record.partition());
                }
            }
        }
        progress = Instant::now();
    }
    Ok(all)
}

impl Scan {
    /// What it means for the installation.
    pub fn check(&self, topic: &str) -> Check {
        let Self {
            records,
            empty_keys,
            undecodable_keys,
            first,
            placement,
        } = self;
        let at = first.as_deref().unwrap_or_default();
        let (mut outcome, mut message) = match (undecodable_keys, empty_keys) {
            (0, 0) => (
                Outcome::Ok,
                format!("{topic}: {records} records, all keys are usable"),
            ),
            (0, empty) => (
                Outcome::Warn,
                format!(
                    "{topic}: {empty} of {records} records have no key, the first at {at}; each becomes a dead letter"
                ),
            ),
            (undecodable, empty) => (
                Outcome::Fail,
                format!(
                    "{topic}: {undecodable} of {records} records have a key that is not UTF-8 and {empty} have none, \
                     the first at {at}; one that is not UTF-8 stops the whole subscription: correct the producer, \
                     declare guard = true, and move the subscription past the record"
                ),
            ),
        };
        match placement.trouble() {
            Some(trouble) => {
                if outcome == Outcome::Ok {
                    outcome = Outcome::Warn;
                }
                message = format!("{message}; {trouble}");
            }
            None => message.push_str(", and all are where Java's client puts them"),
        }
        Check {
            check: "keys",
            outcome,
            message,
        }
    }

    /// Takes one record's key into account.
    pub(crate) fn count(&mut self, key: Option<&[u8]>, topic: &str, partition: i32, offset: i64) {
        self.records += 1;
        self.placement.count(key, topic, partition, offset);
        let offenders = match key {
            None | Some([]) => &mut self.empty_keys,
            Some(key) if std::str::from_utf8(key).is_err() => &mut self.undecodable_keys,
            Some(_) => return,
        };
        *offenders += 1;
        self.first
            .get_or_insert_with(|| format!("{topic}/{partition}/{offset}"));
    }
}
