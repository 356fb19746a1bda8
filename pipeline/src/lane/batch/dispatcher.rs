//! Sends work orders where records wait and nothing moves. Every process that serves a lane has one;
//! a consumer group of their own shares the partitions out among them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::lane::Settings;
use super::watch::Watched;
use crate::kafka::group::of_dispatchers;
use crate::kafka::offsets::{bounds, ends, number};
use crate::kafka::publisher::{Publisher, Record};
use crate::observe::metrics::metrics;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// The same where nothing has moved for long: each look asks the brokers.
const LOOK_AT_MOST: Duration = Duration::from_millis(50);
/// Where nothing waits and nothing has come, it is asked so often up to where all is decided: somebody
/// may have set it back.
const SET_BACK: Duration = Duration::from_secs(1);
/// How long the brokers may take to answer one.
const LIMIT: Duration = Duration::from_secs(10);
/// Pause after they did not.
const AWAY: Duration = Duration::from_secs(1);

/// Sends work orders for one service.
pub struct Dispatcher {
    settings: Settings,
    /// Joins the group, asks where the topics end, and reads nothing.
    member: BaseConsumer,
    /// Asks up to where they are decided.
    asker: BaseConsumer,
    publisher: Publisher,
    /// The work order of each partition.
    orders: Vec<Record>,
    watched: HashMap<i32, Watched>,
    begun: Instant,
    /// What the last look saw, and since when it has been so.
    last: BTreeMap<i32, Standing>,
    moved: Instant,
    /// When the brokers were last asked up to where all is decided.
    asked: Instant,
}

impl Dispatcher {
    /// For this service, with the work order of each partition.
    pub fn new(
        config: &ClientConfig,
        settings: Settings,
        publisher: Publisher,
        orders: Vec<Record>,
    ) -> KafkaResult<Self> {
        let group = settings.place(0).group;
        let member: BaseConsumer = (config.clone())
            .set(
                "group.id",
                of_dispatchers(&settings.prefix, &settings.service),
            )
            .set("enable.auto.commit", "false")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            .set("auto.offset.reset", "latest")
            // The topics may be made after this process was started.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .create()?;
        let topics: Vec<_> = settings.topics.iter().take(1).map(String::as_str).collect();
        member.subscribe(&topics)?;
        let asker = (config.clone())
            .set("group.id", group)
            // A transaction that is under way must not hold the answer up.
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Self {
            settings,
            member,
            asker,
            publisher,
            orders,
            watched: HashMap::new(),
            begun: Instant::now(),
            last: BTreeMap::new(),
            moved: Instant::now(),
            asked: Instant::now(),
        })
    }

    /// Looks and sends until `stop`. Then its share goes to others at once.
    pub async fn run(mut self, stop: CancellationToken) {
        let runtime = Handle::current();
        let running = tokio::task::spawn_blocking(move || {
            while !stop.is_cancelled() {
                if let Err(error) = self.look(&runtime) {
                    let service = &self.settings.service;
                    tracing::warn!(service, %error, "no work orders are sent; it is tried again");
                    std::thread::sleep(AWAY);
                }
            }
        });
        let _ = running.await;
    }

    fn look(&mut self, runtime: &Handle) -> KafkaResult<()> {
        // Membership lives on being polled. Records that come in spite of all are read by leases.
        let quiet = self.moved.elapsed() / 100;
        let _ = self.member.poll(quiet.clamp(LOOK, LOOK_AT_MOST));
        let share = self.member.assignment()?;
        if share.count() == 0 {
            self.watched.clear();
            return Ok(());
        }
        self.member.pause(&share)?;
        let mut list = TopicPartitionList::new();
        for mine in share.elements() {
            for topic in &self.settings.topics {
                list.add_partition(topic, mine.partition());
            }
        }
        let standing = self.standing(&list)?;
        self.watched
            .retain(|partition, _| standing.contains_key(partition));
        if standing != self.last {
            self.moved = Instant::now();
            self.last.clone_from(&standing);
        }
        let now = self.begun.elapsed();
        for (partition, Standing { ends, next }) in standing {
            let watched = self.watched.entry(partition).or_default();
            if watched.look(now, &ends, &next) {
                runtime.block_on(self.send(partition));
            }
        }
        Ok(())
    }

    /// Where the topics of each partition end, and up to where they are decided.
    fn standing(&mut self, list: &TopicPartitionList) -> KafkaResult<BTreeMap<i32, Standing>> {
        // Up to the last stable offset, which is what a lease reads.
        let ends = ends(&self.member, list, LIMIT)?;
        if self.asked.elapsed() < SET_BACK && self.all_is_decided_up_to(&ends) {
            return Ok(self.last.clone());
        }
        self.asked = Instant::now();
        let mut standing: BTreeMap<i32, Standing> = BTreeMap::new();
        let committed = self.asker.committed_offsets(list.clone(), LIMIT)?;
        let mut next = Vec::with_capacity(list.count());
        for it in list.elements() {
            let found = committed.find_partition(it.topic(), it.partition());
            next.push(found.and_then(|found| match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }));
        }
        // Nothing is committed before the first lease that has decided anything.
        let mut unknown = next.iter().zip(ends.elements());
        let starts = match unknown.any(|(next, end)| next.is_none() && number(end.offset()) > 0) {
            true => bounds(&self.member, list, LIMIT)?,
            false => Vec::new(),
        };
        for (index, end) in ends.elements().into_iter().enumerate() {
            let start = starts.get(index).map_or(0, |(_, start, _)| *start);
            let of = standing.entry(end.partition()).or_default();
            of.ends.push(number(end.offset()));
            of.next
                .push(next.get(index).copied().flatten().unwrap_or(start));
        }
        Ok(standing)
    }

    /// Whether the last look saw the same ends, and everything before them decided.
    fn all_is_decided_up_to(&self, ends: &TopicPartitionList) -> bool {
        let mut known: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for end in ends.elements() {
            let of = known.entry(end.partition()).or_default();
            of.push(number(end.offset()));
        }
        let last = self.last.iter();
        last.clone().all(|(_, last)| last.ends == last.next)
            && known
                .iter()
                .eq(last.map(|(partition, last)| (partition, &last.ends)))
    }

    async fn send(&self, partition: i32) {
        let order = usize::try_from(partition).ok();
        let Some(order) = order.and_then(|it| self.orders.get(it)) else {
            return;
        };
        let service = self.settings.service.as_str();
        match self.publisher.publish(order).await {
            Ok(_) => {
                tracing::debug!(service, partition, "a work order is sent");
                metrics().batch_orders.with_label_values(&[service]).inc();
            }
            // It counts as lost, and another one follows.
            Err(error) => tracing::warn!(service, partition, %error, "a work order was not sent"),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Standing {
    ends: Vec<i64>,
    next: Vec<i64>,
}
