//! How many dead letters nobody has dealt with yet, for `status` and `doctor`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rdkafka::message::{BorrowedMessage, Message};
use serde::Serialize;

use super::kafka::Kafka;
use super::scan::read;
use crate::dead_letters::{DeadLetters, marks};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::dead_letter::headers::{OFFSET, PARTITION, TIMESTAMP, TOPIC};
use millstream_pipeline::record::each_header;

/// How many dead letters of each partition are looked at: the newest.
const NEWEST: i64 = 10_000;
/// How long it may take altogether.
const LIMIT: Duration = Duration::from_secs(5);

/// Dead letters of a topic without a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unmarked {
    /// How many there are among those that were looked at, each once.
    pub count: u64,
    /// Whether there may be more: older ones were not looked at.
    pub at_least: bool,
}

/// Counts the unmarked dead letters on each of these topics, which exist. `None`: Kafka or the
/// registry could not tell in five seconds.
pub(crate) async fn unmarked(
    endpoints: &Endpoints,
    topics: Vec<String>,
) -> Option<BTreeMap<String, Unmarked>> {
    if topics.is_empty() {
        return Some(BTreeMap::new());
    }
    let counted = tokio::time::timeout(LIMIT, count(endpoints, topics)).await;
    counted.ok().flatten()
}

async fn count(endpoints: &Endpoints, topics: Vec<String>) -> Option<BTreeMap<String, Unmarked>> {
    let marks = marked(endpoints).await?;
    let kafka = Kafka::new(&endpoints.kafka);
    let mut found = BTreeMap::new();
    for topic in topics {
        let (reader, name) = (kafka.reader("millstream-status").ok()?, topic.clone());
        let letters = move || {
            let mut letters = HashSet::new();
            let all = read(&reader, &name, NEWEST, |record| {
                letters.extend(named(record))
            })?;
            Ok((letters, all))
        };
        let (letters, all) = kafka.blocking("read dead letters", letters).await.ok()?;
        let unmarked = Unmarked {
            count: letters.difference(&marks).count() as u64,
            at_least: !all,
        };
        found.insert(topic, unmarked);
    }
    Some(found)
}

/// Names of the dead letters that have a mark, with the times of their originals.
async fn marked(endpoints: &Endpoints) -> Option<HashSet<(String, i64)>> {
    let letters = DeadLetters::new(endpoints, &[], "").ok()?;
    let (mut marked, mut is_known) = (HashSet::new(), true);
    let read = letters.read(marks::topic().name, |seen| {
        // Without its schema nobody knows what is marked.
        is_known &= seen.undecodable.is_none() || seen.value.is_none();
        marked.extend(marks::read(&seen).map(|(name, mark)| (name, mark.recorded)));
    });
    read.await.ok()?;
    is_known.then_some(marked)
}

/// Name of a dead letter and the time of its original; `None`: it is not one of ours.
fn named(record: &BorrowedMessage<'_>) -> Option<(String, i64)> {
    let headers = record.headers()?;
    // The reason comes last, also if the original was a dead letter of somebody else.
    let last = |name: &str| {
        let mut values = each_header(headers).filter(|header| header.key == name);
        let first = values.next()?.value;
        values.last().map_or(first, |header| header.value)
    };
    let text = |name| std::str::from_utf8(last(name)?).ok();
    let name = format!("{}/{}/{}", text(TOPIC)?, text(PARTITION)?, text(OFFSET)?);
    let recorded = last(TIMESTAMP)?.try_into().ok()?;
    Some((name, i64::from_be_bytes(recorded)))
}
