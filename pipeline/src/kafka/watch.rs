//! A long-lived consumer, watched by its progress against the ends of its partitions.
//!
//! librdkafka can lose all its brokers, or the leader of a partition, for good and without a word
//! (docs/decisions/0023). So another client asks where the partitions end. Where records wait and
//! the consumer takes none although that client could, its owner drops it and makes another one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::watch;

use super::asker::{Asker, is_missing};
use super::standing::{Position, Standing};
use crate::kafka::offsets::{detached, number};
use crate::observe::metrics::metrics;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// After so many looks at which it had moved nothing a consumer is tried.
const PATIENCE: u32 = 3;

/// How a consumer is, as far as was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It takes what comes.
    Well,
    /// No broker answers anybody.
    Away,
    /// Records wait that it does not take, and others can.
    Deaf,
}

/// What a consumer reads.
enum Reads {
    /// Partitions that it was assigned, from these offsets on.
    Assigned(TopicPartitionList),
    /// Those of a topic that its group gives it.
    Group(String),
}

/// A watch over one consumer after the other: those that take each other's place.
pub struct Watch {
    client: &'static str,
    asker: Mutex<Asker>,
    reads: Mutex<Reads>,
    busy: AtomicBool,
    health: watch::Sender<Health>,
    pause: Duration,
}

impl Watch {
    /// A watch over a consumer with these settings that is given its partitions. `client` is its name
    /// in the metric.
    pub fn new(client: &'static str, config: &ClientConfig) -> Arc<Self> {
        let reads = Reads::Assigned(TopicPartitionList::new());
        Self::over(client, config, reads, PAUSE)
    }

    /// The same over a member of the group that the settings name, which reads one topic.
    pub fn of_member(client: &'static str, config: &ClientConfig, topic: &str) -> Arc<Self> {
        Self::over(client, config, Reads::Group(topic.to_owned()), PAUSE)
    }

    fn over(
        client: &'static str,
        config: &ClientConfig,
        reads: Reads,
        pause: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            asker: Mutex::new(Asker::new(config)),
            reads: Mutex::new(reads),
            busy: AtomicBool::new(false),
            health: watch::Sender::new(Health::Well),
            pause,
        })
    }

    /// How the consumer is.
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// The consumer is assigned these partitions as well, from these offsets on.
    pub fn begins(&self, at: &TopicPartitionList) -> KafkaResult<()> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Reads::Assigned(known) = &mut *reads {
            for new in at.elements() {
                match known.find_partition(new.topic(), new.partition()) {
                    Some(mut known) => known.set_offset(new.offset())?,
                    None => {
                        known.add_partition_offset(new.topic(), new.partition(), new.offset())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whoever reads is busy with what it has read, and asks for nothing.
    pub fn busy(&self, is_busy: bool) {
        self.busy.store(is_busy, Ordering::Relaxed);
    }

    /// Comes back when `consumer` stands still although records wait for it; with the offsets at
    /// which another one goes on.
    pub async fn deaf<K, C>(self: &Arc<Self>, consumer: &Arc<K>) -> TopicPartitionList
    where
        K: Consumer<C> + Send + Sync + 'static,
        C: ConsumerContext,
    {
        let mut standing = Standing::default();
        loop {
            tokio::time::sleep(self.pause).await;
            let (watch, consumer) = (Arc::clone(self), Arc::clone(consumer));
            let looking = tokio::task::spawn_blocking(move || {
                let found = watch.look(&*consumer, &mut standing);
                (found, standing)
            });
            // It does not panic, and a runtime that ends needs no answer.
            let Ok((found, seen)) = looking.await else {
                return std::future::pending().await;
            };
            standing = seen;
            if let Some(at) = found {
                return at;
            }
        }
    }

    /// Looks once; where the consumer stands still, the offsets at which another one goes on.
    fn look<C: ConsumerContext>(
        &self,
        consumer: &impl Consumer<C>,
        standing: &mut Standing,
    ) -> Option<TopicPartitionList> {
        let mut asker = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = self.positions(consumer, &mut asker);
        let (at, positions) = match looked {
            Ok(found) => found,
            Err(error) => {
                standing.forget();
                let health = match is_missing(&error) {
                    true => Health::Well,
                    false => Health::Away,
                };
                if self.health.send_replace(health) != health {
                    tracing::warn!(client = self.client, %error, "Kafka does not answer");
                }
                return None;
            }
        };
        if self.busy.load(Ordering::Relaxed) {
            standing.forget();
        }
        let suspects = standing.look(&positions, PATIENCE);
        for suspect in suspects {
            let (topic, partition) = (&suspect.place.0, suspect.place.1);
            match asker.record_at(topic, partition, suspect.next) {
                Ok(Some(_)) if self.still_stands(consumer, &mut asker, &suspect) => {
                    tracing::error!(
                        client = self.client,
                        topic,
                        partition,
                        offset = suspect.next,
                        end = suspect.end,
                        "a consumer takes no records although others can; another one takes its place"
                    );
                    let label = [self.client];
                    metrics()
                        .kafka_clients_renewed
                        .with_label_values(&label)
                        .inc();
                    self.health.send_replace(Health::Deaf);
                    return Some(at);
                }
                Ok(Some(_)) => {}
                Ok(None) => standing.is_empty(&suspect),
                Err(error) => {
                    tracing::debug!(client = self.client, %error, "trying a consumer's place");
                    break;
                }
            }
        }
        if self.health.send_replace(Health::Well) != Health::Well {
            tracing::info!(client = self.client, "Kafka answers");
        }
        None
    }

    /// Whether it has moved nothing while another one tried.
    fn still_stands<C: ConsumerContext>(
        &self,
        consumer: &impl Consumer<C>,
        asker: &mut Asker,
        suspect: &Position,
    ) -> bool {
        let now = self.positions(consumer, asker);
        now.is_ok_and(|(_, now)| {
            now.iter()
                .any(|it| it.place == suspect.place && it.next == suspect.next)
        })
    }

    /// Where the consumer is in each of its partitions.
    fn positions<C: ConsumerContext>(
        &self,
        consumer: &impl Consumer<C>,
        asker: &mut Asker,
    ) -> KafkaResult<(TopicPartitionList, Vec<Position>)> {
        let mut at = detached(&consumer.position()?)?;
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        match &*reads {
            Reads::Assigned(starts) => fill(&mut at, starts)?,
            Reads::Group(topic) => {
                // Without a partition of its own it may have lost the group: nobody else must stand
                // still then.
                let unknown = |at: &TopicPartitionList| {
                    let mut all = at.elements().into_iter();
                    at.count() == 0 || all.any(|it| !matches!(it.offset(), Offset::Offset(_)))
                };
                if unknown(&at) {
                    let committed = asker.committed(topic)?;
                    match at.count() {
                        0 => at = committed,
                        _ => fill(&mut at, &committed)?,
                    }
                }
            }
        }
        drop(reads);
        let ends = asker.ends(&at)?;
        let positions = at.elements().into_iter().filter_map(|it| {
            let Offset::Offset(next) = it.offset() else {
                return None;
            };
            let end = ends.find_partition(it.topic(), it.partition())?.offset();
            Some(Position {
                place: (it.topic().to_owned(), it.partition()),
                next,
                end: number(end),
            })
        });
        let positions = positions.collect();
        Ok((at, positions))
    }
}

/// Gives partitions of which nothing was read yet the offset that they begin at.
fn fill(at: &mut TopicPartitionList, starts: &TopicPartitionList) -> KafkaResult<()> {
    for mut it in at.elements() {
        if !matches!(it.offset(), Offset::Offset(_))
            && let Some(start) = starts.find_partition(it.topic(), it.partition())
        {
            it.set_offset(start.offset())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::StreamConsumer;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use tokio::time::timeout;

    use super::*;
    use crate::kafka::publisher::{Publisher, Record};

    const SOON: Duration = Duration::from_secs(5);

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    async fn produce(cluster: &Cluster) {
        let publisher = Publisher::new(super::super::client(&cluster.bootstrap_servers())).unwrap();
        let record = Record {
            topic: "t".into(),
            value: Some(vec![1]),
            ..Record::default()
        };
        publisher.publish(&record).await.unwrap();
    }

    /// A consumer that is paused is as one that has lost its brokers: records wait, none comes.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_consumer_that_takes_nothing_is_told_from_one_that_has_nothing_to_take() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        produce(&cluster).await;
        let mut config = super::super::client(&cluster.bootstrap_servers());
        config
            .set("group.id", "watched")
            .set("enable.auto.commit", "false");
        let consumer: Arc<StreamConsumer> = Arc::new(config.create().unwrap());
        let mut at = TopicPartitionList::new();
        at.add_partition_offset("t", 0, Offset::Offset(0)).unwrap();
        consumer.assign(&at).unwrap();
        let reads = Reads::Assigned(TopicPartitionList::new());
        let watch = Watch::over("test", &config, reads, Duration::from_millis(50));
        watch.begins(&at).unwrap();
        timeout(SOON, consumer.recv()).await.unwrap().unwrap();
        let quiet = timeout(Duration::from_secs(1), watch.deaf(&consumer)).await;
        assert!(quiet.is_err(), "there is nothing to take");
        consumer.pause(&at).unwrap();
        produce(&cluster).await;
        let deaf = timeout(SOON, watch.deaf(&consumer)).await.unwrap();
        let next = deaf.find_partition("t", 0).unwrap().offset();
        assert_eq!(next, Offset::Offset(1), "the next one goes on there");
        assert_eq!(watch.health(), Health::Deaf);
        let renewed = metrics().kafka_clients_renewed.with_label_values(&["test"]);
        assert_eq!(renewed.get(), 1);
        // It takes again what comes.
        let next: Arc<StreamConsumer> = Arc::new(config.create().unwrap());
        next.assign(&deaf).unwrap();
        timeout(SOON, next.recv()).await.unwrap().unwrap();
        let quiet = timeout(Duration::from_secs(1), watch.deaf(&next)).await;
        assert!(quiet.is_err(), "it moves");
        assert_eq!(watch.health(), Health::Well);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_consumer_is_not_deaf_while_no_broker_answers_anybody() {
        let cluster: Cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = super::super::client(&cluster.bootstrap_servers());
        config.set("group.id", "watched");
        let consumer: Arc<StreamConsumer> = Arc::new(config.create().unwrap());
        let mut at = TopicPartitionList::new();
        at.add_partition_offset("t", 0, Offset::Offset(0)).unwrap();
        consumer.assign(&at).unwrap();
        let reads = Reads::Assigned(TopicPartitionList::new());
        let watch = Watch::over("away", &config, reads, Duration::from_millis(50));
        watch.begins(&at).unwrap();
        produce(&cluster).await;
        cluster.broker_down(1).unwrap();
        let deaf = timeout(Duration::from_secs(8), watch.deaf(&consumer)).await;
        assert!(deaf.is_err());
        assert_eq!(watch.health(), Health::Away);
    }
}
