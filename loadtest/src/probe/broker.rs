//! Kafka as the benchmark needs it: a topic, its ends, and where a group begins.

use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::kafka::offsets::{self, number};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::block_in_place;

/// How long the broker may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to try to set a group's offsets, which fails while the group has members.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);

/// The broker.
pub struct Broker {
    bootstrap: String,
    client: BaseConsumer,
}

/// The end of each partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends(Vec<i64>);

impl Ends {
    /// How many records lie between an earlier state and this.
    pub fn since(&self, earlier: &Self) -> u64 {
        (self.0.iter().sum::<i64>() - earlier.0.iter().sum::<i64>()).max(0) as u64
    }
}

impl Broker {
    /// The broker at this address.
    pub fn new(bootstrap: &str) -> anyhow::Result<Self> {
        let client = millstream_pipeline::kafka::client(bootstrap)
            .set("group.id", "loadtest")
            .set("enable.auto.commit", "false")
            .create()?;
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            client,
        })
    }

    /// Makes a topic; one that is there is left alone.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        self.create(NewTopic::new(name, partitions, TopicReplication::Fixed(1)))
            .await
    }

    /// Makes a topic whose records carry the time at which the broker took them.
    pub async fn create_stamped_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        self.create(topic.set("message.timestamp.type", "LogAppendTime"))
            .await
    }

    async fn create(&self, topic: NewTopic<'_>) -> anyhow::Result<()> {
        let admin: AdminClient<_> = millstream_pipeline::kafka::client(&self.bootstrap).create()?;
        for result in admin.create_topics([&topic], &AdminOptions::new()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => anyhow::bail!("cannot make topic {name}: {error}"),
            }
        }
        Ok(())
    }

    /// How many records were ever produced to a topic; `None`: there is no such topic.
    pub fn produced(&self, topic: &str) -> anyhow::Result<Option<u64>> {
        let ends = block_in_place(|| ends(&self.client, topic))?;
        Ok(ends.map(|ends| ends.iter().map(|(_, end)| end.unsigned_abs()).sum()))
    }

    /// Where a topic ends.
    pub fn ends(&self, topic: &str, partitions: i32) -> anyhow::Result<Ends> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let ends = block_in_place(|| offsets::ends(&self.client, &list, LIMIT))?;
        let ends = ends.elements();
        Ok(Ends(ends.iter().map(|end| number(end.offset())).collect()))
    }

    /// Lets a group that has no members go on at these offsets.
    pub async fn commit(&self, group: &str, topic: &str, ends: &Ends) -> anyhow::Result<()> {
        let member: BaseConsumer = millstream_pipeline::kafka::client(&self.bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()?;
        let offsets = list(topic, ends)?;
        let deadline = tokio::time::Instant::now() + COMMIT_LIMIT;
        loop {
            match block_in_place(|| member.commit(&offsets, CommitMode::Sync)) {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(error)
                        .with_context(|| format!("cannot set the offsets of {group}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Hands every record between two states of a topic to `take`.
    pub fn read(
        &self,
        topic: &str,
        from: &Ends,
        to: &Ends,
        mut take: impl FnMut(&BorrowedMessage<'_>),
    ) -> anyhow::Result<()> {
        let mut left = to.since(from);
        let past = |partition: i32, offset: i64| {
            usize::try_from(partition)
                .ok()
                .and_then(|at| to.0.get(at))
                .is_none_or(|end| offset >= *end)
        };
        block_in_place(|| {
            self.client.assign(&list(topic, from)?)?;
            while left > 0 {
                let message = self
                    .client
                    .poll(LIMIT)
                    .context("the results cannot be read")??;
                if !past(message.partition(), message.offset()) {
                    take(&message);
                    left -= 1;
                }
            }
            self.client.unassign()?;
            Ok(())
        })
    }
}

/// Where the partitions of a topic end; `None`: there is no such topic.
pub fn ends(client: &BaseConsumer, topic: &str) -> anyhow::Result<Option<Vec<(i32, i64)>>> {
    let Some(partitions) = offsets::of_known(offsets::partitions(client, topic, LIMIT))? else {
        return Ok(None);
    };
    let ends = offsets::ends(client, &partitions, LIMIT)?;
    let ends = ends.elements();
    let ends = ends
        .iter()
        .map(|end| (end.partition(), number(end.offset())));
    Ok(Some(ends.collect()))
}

/// The partitions of a topic, to be read from these ends on.
pub fn list(topic: &str, ends: &Ends) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, end) in ends.0.iter().enumerate() {
        list.add_partition_offset(topic, i32::try_from(partition)?, Offset::Offset(*end))?;
    }
    Ok(list)
}
