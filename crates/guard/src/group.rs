//! A relay's place in its consumer group: batches of records, and who read them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{
    BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use millstream_pipeline::kafka::Watch;
use millstream_pipeline::kafka::transaction::Offsets;

/// Records in one transaction, at most.
const BATCH: usize = 500;
/// How long a batch waits for more records after its first.
const WAIT: Duration = Duration::from_millis(20);

/// How long is waited for a consumer to leave its group.
const CLOSING_LIMIT: Duration = Duration::from_secs(10);

/// Membership of the group. Partitions are given up all at once at a rebalance (eager), and read
/// from the committed offsets afterwards.
pub struct Group {
    consumer: Arc<StreamConsumer<Membership>>,
    watch: Arc<Watch>,
}

/// Records of one assignment, in the order of each partition.
pub struct Batch {
    pub messages: Vec<OwnedMessage>,
    pub offsets: Offsets,
}

/// Which assignment this is, and what the group knows us by in it.
///
/// The metadata is taken when partitions are assigned, not when offsets are committed: by then we
/// might be a new member, who may commit, while the records were read by an old one, who may not.
#[derive(Default)]
struct Membership {
    assignment: AtomicU64,
    member: Mutex<Option<Arc<ConsumerGroupMetadata>>>,
}

impl ClientContext for Membership {}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.assignment.fetch_add(1, Ordering::SeqCst);
        self.set(None);
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.set(consumer.group_metadata().map(Arc::new));
        }
    }
}

impl Membership {
    fn set(&self, member: Option<Arc<ConsumerGroupMetadata>>) {
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = member;
    }

    fn member(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.member
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn assignment(&self) -> u64 {
        self.assignment.load(Ordering::SeqCst)
    }
}

impl Group {
    /// Joins `group` for `topic`.
    pub fn join(mut config: ClientConfig, group: &str, topic: &str) -> KafkaResult<Self> {
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "range")
            // A relay that was killed is missed after this time.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            // A topic that is created later is found after this time.
            .set("topic.metadata.refresh.interval.ms", "5000");
        let consumer: StreamConsumer<Membership> =
            config.create_with_context(Membership::default())?;
        consumer.subscribe(&[topic])?;
        let (consumer, watch) = (
            Arc::new(consumer),
            Watch::of_member("guard", &config, topic),
        );
        // Only who waits for records can stand still.
        watch.busy(true);
        Ok(Self { consumer, watch })
    }

    /// Comes back when no records come although some wait and others could read them.
    pub async fn deaf(&self) {
        self.watch.deaf(&self.consumer).await;
    }

    /// The next records; `None`: there are none, because of `stop` or of a rebalance.
    pub async fn next(&self, stop: &CancellationToken) -> KafkaResult<Option<Batch>> {
        self.watch.busy(false);
        let batch = self.batch(stop).await;
        self.watch.busy(true);
        batch
    }

    async fn batch(&self, stop: &CancellationToken) -> KafkaResult<Option<Batch>> {
        let membership = self.consumer.context();
        let mut messages: Vec<OwnedMessage> = Vec::new();
        let mut assignment = membership.assignment();
        let mut until: Option<Instant> = None;
        while messages.len() < BATCH {
            let received = match until {
                None => stop.run_until_cancelled(self.consumer.recv()).await,
                Some(until) => timeout_at(until, self.consumer.recv()).await.ok(),
            };
            let Some(received) = received else { break };
            let message = match received {
                Ok(message) => message.detach(),
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error),
                Err(error) => {
                    // librdkafka reconnects and rejoins by itself; it only tells that it has to.
                    tracing::debug!(%error, "reading a foreign topic");
                    continue;
                }
            };
            // Rebalances happen within `recv`. What was read before one is read again after it.
            if membership.assignment() != assignment {
                assignment = membership.assignment();
                messages.clear();
            }
            messages.push(message);
            until.get_or_insert_with(|| Instant::now() + WAIT);
        }
        if messages.is_empty() || membership.assignment() != assignment {
            return Ok(None);
        }
        let Some(member) = membership.member() else {
            return Err(KafkaError::Canceled);
        };
        let list = next_offsets(&messages)?;
        let offsets = Offsets { list, member };
        Ok(Some(Batch { messages, offsets }))
    }

    /// Leaves the group, so that others take over at once.
    pub async fn leave(self) {
        // Closing blocks, and without brokers it does for long.
        let closing = tokio::task::spawn_blocking(move || drop(self));
        let _ = tokio::time::timeout(CLOSING_LIMIT, closing).await;
    }
}

fn next_offsets(messages: &[OwnedMessage]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for message in messages {
        let (topic, partition) = (message.topic(), message.partition());
        let next = Offset::Offset(message.offset() + 1);
        match list.find_partition(topic, partition) {
            Some(_) => list.set_partition_offset(topic, partition, next)?,
            None => list.add_partition_offset(topic, partition, next)?,
        }
    }
    Ok(list)
}
