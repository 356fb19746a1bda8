//! Changes to topics and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::admin::{AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use super::{Kafka, TIMEOUT, options};
use crate::Error;
use millstream_pipeline::kafka::{Ends, offsets};

/// Longest wait for a change to show on every broker. Hundreds of new partitions are as many folders,
/// each made durable by itself: on a busy disk they take more than half a minute.
const SETTLE: Duration = Duration::from_secs(120);
/// For how long too few brokers are no reason to refuse a topic: one that has just started, or stood
/// still for a moment, does not count for a while.
const BROKERS_COME_BACK: Duration = Duration::from_secs(10);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(50);

impl Kafka {
    /// Makes a topic and waits until each of its partitions has a leader.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: Option<i32>,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let mut topic = NewTopic::new(
            name,
            partitions,
            TopicReplication::Fixed(replication.unwrap_or(-1)),
        );
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let what = format!("create topic {name}");
        let until = Instant::now() + BROKERS_COME_BACK;
        loop {
            let results = self
                .admin()?
                .create_topics([&topic], &options())
                .await
                .map_err(self.error(&what))?;
            match results.into_iter().find_map(Result::err) {
                // Somebody else made it at the same time: the next plan compares it.
                None | Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => break,
                Some((_, RDKafkaErrorCode::InvalidReplicationFactor)) if Instant::now() < until => {
                    tokio::time::sleep(POLL).await;
                }
                Some((_, code)) => {
                    return Err(Error::KafkaRefused {
                        what,
                        message: code.to_string(),
                    });
                }
            }
        }
        self.wait_for_leaders(name, partitions).await
    }

    async fn wait_for_leaders(&self, name: &str, partitions: i32) -> Result<(), Error> {
        let (reader, topic) = (self.reader("millstream-plan")?, name.to_owned());
        let led = self
            .blocking(format!("describe {name}"), move || {
                let until = Instant::now() + SETTLE;
                while Instant::now() < until {
                    let metadata = reader.fetch_metadata(Some(&topic), TIMEOUT)?;
                    let led = metadata
                        .topics()
                        .iter()
                        .flat_map(|topic| topic.partitions())
                        .filter(|partition| partition.error().is_none() && partition.leader() >= 0)
                        .count();
                    if i32::try_from(led).is_ok_and(|led| led >= partitions) {
                        return Ok(true);
                    }
                    std::thread::sleep(POLL);
                }
                Ok(false)
            })
            .await?;
        let what = || format!("choosing leaders of {name}");
        if led {
            Ok(())
        } else {
            Err(Error::TimedOut {
                what: what(),
                seconds: SETTLE.as_secs(),
            })
        }
    }

    /// Changes some settings of a topic and keeps the others.
    ///
    /// The client has only the call that replaces all settings, so the others are read and sent
    /// along.
    pub async fn alter_topic(
        &self,
        name: &str,
        changed: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let (topics, _) = self.topics(&BTreeSet::from([name.to_owned()])).await?;
        let mut all: BTreeMap<String, String> = topics
            .get(name)
            .into_iter()
            .flat_map(|topic| &topic.settings)
            .filter(|(_, setting)| setting.explicit)
            .map(|(key, setting)| (key.clone(), setting.value.clone()))
            .collect();
        all.extend(changed.clone());
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (key, value) in &all {
            alter = alter.set(key, value);
        }
        let what = format!("alter the settings of {name}");
        let results = self
            .admin()?
            .alter_configs([&alter], &options())
            .await
            .map_err(self.error(&what))?;
        for result in results {
            if let Err((_, code)) = result {
                return Err(Error::KafkaRefused {
                    what,
                    message: code.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Deletes a topic; one that is gone already is deleted.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let what = format!("delete topic {name}");
        let results = self
            .admin()?
            .delete_topics(&[name], &options())
            .await
            .map_err(self.error(&what))?;
        for result in results {
            if let Err((_, code)) = result
                && code != RDKafkaErrorCode::UnknownTopicOrPartition
            {
                return Err(Error::KafkaRefused {
                    what,
                    message: code.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Forgets what `group` has committed, as soon as its last consumer has left.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let what = format!("delete consumer group {group}");
        let admin = self.admin()?;
        let until = Instant::now() + SETTLE;
        loop {
            let results = admin
                .delete_groups(&[group], &options())
                .await
                .map_err(self.error(&what))?;
            match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => return Ok(()),
                Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) if Instant::now() < until => {
                    tokio::time::sleep(POLL).await;
                }
                Some(Err((_, code))) => {
                    return Err(Error::KafkaRefused {
                        what,
                        message: code.to_string(),
                    });
                }
            }
        }
    }

    /// Makes `group` continue at the first record of each partition of `topic` that is not older
    /// than `to_ms`, as soon as the group's last consumer has left.
    pub async fn move_group(&self, group: &str, topic: &str, to_ms: i64) -> Result<(), Error> {
        let what = format!("move consumer group {group}");
        let until = Instant::now() + SETTLE;
        loop {
            let (consumer, topic) = (self.reader(group)?, topic.to_owned());
            let moved = self
                .blocking(&what, move || commit_at(&consumer, &topic, to_ms))
                .await;
            match moved {
                Err(error) if Instant::now() < until => {
                    tracing::debug!(%error, group, "the group still has a consumer");
                    tokio::time::sleep(POLL).await;
                }
                moved => return moved,
            }
        }
    }
}

/// A commit by a consumer outside the group is taken only while nobody is in it.
fn commit_at(consumer: &BaseConsumer<Ends>, topic: &str, to_ms: i64) -> KafkaResult<()> {
    let partitions = offsets::partitions(consumer, topic, TIMEOUT)?;
    let ends = offsets::ends(consumer, &partitions, TIMEOUT)?;
    let mut times = partitions;
    times.set_all_offsets(Offset::Offset(to_ms))?;
    let found = consumer.offsets_for_times(times, TIMEOUT)?;
    for end in ends.elements() {
        if let Some(mut at) = found.find_partition(topic, end.partition())
            && !matches!(at.offset(), Offset::Offset(_))
        {
            // Nothing is as young as that: continue at the end.
            at.set_offset(end.offset())?;
        }
    }
    consumer.commit(&found, CommitMode::Sync)
}
