//! The thread that looks once a second how far the subscriptions are behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_control::PartitionOffsets;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Declaration;
use millstream_pipeline::kafka::group;
use millstream_pipeline::kafka::offsets;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use tokio_util::sync::CancellationToken;

/// How long the broker may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How often to look.
const EVERY: Duration = Duration::from_secs(1);
/// How often a waiting thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// How many records each group has not taken yet.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<Mutex<BTreeMap<String, i64>>>);

impl Lag {
    /// By group, at the last look; nothing before the first.
    pub fn by_group(&self) -> BTreeMap<String, i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Of all groups; `None` before the first look, and where nobody is subscribed.
    pub fn total(&self) -> Option<i64> {
        let groups = self.by_group();
        (!groups.is_empty()).then(|| groups.values().sum())
    }

    /// Starts looking at the subscriptions of these topics.
    pub fn start(
        &self,
        endpoints: &Endpoints,
        topics: &[&'static Declaration],
        prefix: &str,
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>> {
        let mut groups = Vec::new();
        for topic in topics {
            for (group, read) in groups_of(topic, prefix) {
                let consumer: BaseConsumer = millstream_pipeline::kafka::client(&endpoints.kafka)
                    .set("group.id", &group)
                    .set("enable.auto.commit", "false")
                    .create()?;
                groups.push(Group {
                    group,
                    topic: read,
                    consumer,
                });
            }
        }
        let shown = self.clone();
        thread::Builder::new()
            .name("lag".into())
            .spawn(move || {
                let mut next = Instant::now();
                while !stop.is_cancelled() {
                    if Instant::now() < next {
                        thread::sleep(LOOK);
                        continue;
                    }
                    next = Instant::now() + EVERY;
                    for group in &groups {
                        match group.lag() {
                            Ok(lag) => shown.show(&group.group, lag),
                            Err(error) => tracing::debug!(%error, group.group, "no lag"),
                        }
                    }
                }
            })
            .context("no thread can be made")
    }

    fn show(&self, group: &str, lag: i64) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.insert(group.to_owned(), lag);
    }
}

/// The groups that take a topic's records, with the topics that they read: handlers, and the guard.
fn groups_of(topic: &Declaration, prefix: &str) -> Vec<(String, String)> {
    let handlers = topic.subscriptions.iter().map(|subscription| {
        let handler = format!("{}/{}", subscription.service, subscription.handler);
        let group = group::of_handler(prefix, topic.name, &handler);
        (group, topic.subscribed_topic())
    });
    let guard = (group::of_guard(prefix, topic.name), topic.name.to_owned());
    handlers.chain(topic.guard.then_some(guard)).collect()
}

struct Group {
    group: String,
    topic: String,
    /// Belongs to the group but never joins it.
    consumer: BaseConsumer,
}

impl Group {
    fn lag(&self) -> KafkaResult<i64> {
        let partitions = offsets::partitions(&self.consumer, &self.topic, LIMIT)?;
        let committed = (self.consumer).committed_offsets(partitions.clone(), LIMIT)?;
        let bounds = offsets::bounds(&self.consumer, &partitions, LIMIT)?;
        let mut lag = 0;
        for (partition, start, end) in bounds {
            let found = committed.find_partition(&self.topic, partition);
            let committed = match found.map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            };
            let offsets = PartitionOffsets {
                partition,
                start,
                end,
                committed,
            };
            lag += offsets.lag();
        }
        Ok(lag)
    }
}
