//! Whether the keys of a topic are on the partitions where Java's client, and every producer of ours,
//! puts them.
//!
//! librdkafka's default partitioner is another one. Where both kinds of producer write a topic, a key is
//! on two partitions, and an object sees its events in any order.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::{StreamExt, stream};
use millstream_events::{Declaration, Lane};
use rdkafka::message::Message;
use serde::Serialize;

use super::kafka::Kafka;
use super::restate::Service;
use super::scan::read;
use millstream_pipeline::record::partition;

/// How many records of each partition are looked at: the newest.
const NEWEST: i64 = 20;
/// How long it may take for all topics.
const LIMIT: Duration = Duration::from_secs(5);
/// Topics that are looked at at once.
const PARALLEL: usize = 8;
/// So many records are named.
const EXAMPLES: usize = 3;
/// So many keys are told apart.
const MOST_KEYS: usize = 100_000;
/// So much of a key is shown.
const SHOWN: usize = 60;

/// What was found of the keys of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Records with a key that were looked at.
    pub looked_at: u64,
    /// Those of them that are not where Java's client puts them.
    pub misplaced: u64,
    /// How many different keys these have, up to a hundred thousand.
    pub misplaced_keys: usize,
    /// The first of them, in words.
    pub examples: Vec<String>,
    #[serde(skip)]
    partitions: i32,
    #[serde(skip)]
    keys: HashSet<u64>,
}

/// A topic whose order matters and whose newest records are not where they should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Misplaced {
    /// The topic.
    pub topic: String,
    /// What was found.
    pub placement: Placement,
}

impl Placement {
    /// Of a topic with so many partitions.
    pub(crate) fn among(partitions: usize) -> Self {
        Self {
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            ..Self::default()
        }
    }

    /// Takes one record's key into account. One without a key may be anywhere.
    pub(crate) fn count(&mut self, key: Option<&[u8]>, topic: &str, partition: i32, offset: i64) {
        let Some(key) = key.filter(|key| !key.is_empty() && self.partitions > 0) else {
            return;
        };
        self.looked_at += 1;
        let expected = partition::of_key(key, self.partitions);
        if expected == partition {
            return;
        }
        self.misplaced += 1;
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        if self.keys.len() < MOST_KEYS && self.keys.insert(hash.finish()) {
            self.misplaced_keys += 1;
            if self.examples.len() < EXAMPLES {
                let text = String::from_utf8_lossy(key);
                let text: String = text.chars().take(SHOWN).collect();
                self.examples.push(format!(
                    "key {text:?} at {topic}/{partition}/{offset} belongs on partition {expected}"
                ));
            }
        }
    }

    /// What is wrong and what to do, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
        (self.misplaced > 0).then(|| {
            let more = if self.misplaced_keys < MOST_KEYS { "" } else { " or more" };
            format!(
                "{} of {} records, of {}{more} keys, are not where Java's client and ours put them: {}. Where two \
                 kinds of producer write, a key is on two partitions and its order is lost; set \
                 partitioner=murmur2_random in every librdkafka client that writes it (its default is another)",
                self.misplaced,
                self.looked_at,
                self.misplaced_keys,
                self.examples.join(", ")
            )
        })
    }
}

impl Misplaced {
    /// What is wrong and what to do.
    pub fn warning(&self) -> String {
        let trouble = self.placement.trouble().unwrap_or_default();
        format!(
            "{topic}: of the newest records {trouble}; `{program} doctor --scan {topic}` reads all of them",
            program = millstream_pipeline::program::name(),
            topic = self.topic
        )
    }
}

/// Those of the topics whose order somebody relies on, and whose newest records are not where they
/// should be. A topic that Kafka cannot tell of in time is left out.
pub(crate) async fn misplaced(
    declarations: &[&Declaration],
    kafka: &Kafka,
    services: &[Service],
) -> Vec<Misplaced> {
    let ordered = declarations.iter().filter(|it| is_ordered(it, services));
    let topics: Vec<&'static str> = ordered.map(|declaration| declaration.name).collect();
    let looks = stream::iter(topics)
        .map(|topic| async move {
            let placement = look(kafka, topic).await?;
            let topic = topic.to_owned();
            (placement.misplaced > 0).then_some(Misplaced { topic, placement })
        })
        .buffer_unordered(PARALLEL)
        .take_until(tokio::time::sleep(LIMIT));
    let mut found: Vec<Misplaced> = looks
        .filter_map(|found| async move { found })
        .collect()
        .await;
    found.sort_by(|a, b| a.topic.cmp(&b.topic));
    found
}

/// Whether an exclusive handler takes its events: that of an object, one after the other.
fn is_ordered(declaration: &Declaration, services: &[Service]) -> bool {
    let is_leased = declaration.lane == Lane::Batch;
    is_leased
        || declaration.subscriptions.iter().any(|to| {
            let mut handlers = services
                .iter()
                .filter(|service| service.name == to.service)
                .flat_map(|service| &service.handlers);
            handlers.any(|it| it.name == to.handler && it.ty.as_deref() == Some("Exclusive"))
        })
}

/// Looks at the newest records of each partition.
async fn look(kafka: &Kafka, topic: &'static str) -> Option<Placement> {
    let reader = kafka.reader("millstream-status").ok()?;
    let look = move || {
        let partitions =
            millstream_pipeline::kafka::offsets::partitions(&reader, topic, LIMIT)?.count();
        let mut placement = Placement::among(partitions);
        read(&reader, topic, NEWEST, |record| {
            placement.count(record.key(), topic, record.partition(), record.offset());
        })?;
        Ok(placement)
    };
    kafka.blocking("read the newest records", look).await.ok()
}

#[cfg(test)]
mod tests {
    use millstream_events::Topic;
    use millstream_topics::{ProductReservations, UploadEmails};

    use super::*;
    use crate::restate::{Handler, RetryPolicy};

    #[test]
    fn keys_that_another_client_puts_elsewhere_are_told_with_examples() {
        let mut placement = Placement::among(8);
        for number in 0..100 {
            let key = format!("key-{number}");
            let right = partition::of_key(key.as_bytes(), 8);
            placement.count(Some(key.as_bytes()), "t", right, number);
        }
        assert_eq!((placement.looked_at, placement.misplaced), (100, 0));
        assert_eq!(placement.trouble(), None);
        placement.count(None, "t", 3, 100);
        placement.count(Some(b""), "t", 3, 100);
        assert_eq!(placement.looked_at, 100, "no key belongs anywhere");
        for (offset, partition) in [(7, 0), (8, 0), (9, 5)] {
            placement.count(Some(b"abc"), "t", partition, offset);
        }
        // By Kafka's own tests murmur2 of `abc` is 479470107.
        assert_eq!(479_470_107 % 8, 3);
        placement.count(Some(&[0xff; 2000]), "t", -1, 5);
        let (misplaced, keys) = (placement.misplaced, placement.misplaced_keys);
        assert_eq!((misplaced, keys, placement.looked_at), (4, 2, 104));
        let trouble = placement.trouble().unwrap();
        let example = r#"key "abc" at t/0/7 belongs on partition 3"#;
        assert!(trouble.contains("4 of 104 records, of 2 keys"), "{trouble}");
        assert!(trouble.contains(example), "{trouble}");
        assert!(trouble.len() < 1000, "{}", trouble.len());
    }

    #[test]
    fn order_matters_where_an_exclusive_handler_takes_the_events() {
        let service = |name: &str, ty: &str| Service {
            name: name.into(),
            ty: "VirtualObject".into(),
            handlers: vec![Handler {
                name: "onEvent".into(),
                ty: Some(ty.into()),
                rest: Default::default(),
            }],
            deployment_id: String::new(),
            retry_policy: RetryPolicy::default(),
            rest: Default::default(),
        };
        let declaration = ProductReservations::DECLARATION;
        let exclusive = service("ProductReservations", "Exclusive");
        assert!(is_ordered(declaration, std::slice::from_ref(&exclusive)));
        let shared = service("ProductReservations", "Shared");
        assert!(!is_ordered(declaration, &[shared]));
        assert!(!is_ordered(UploadEmails::DECLARATION, &[exclusive]));
    }
}
