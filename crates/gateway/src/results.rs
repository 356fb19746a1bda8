//! All results as they come: given to those who wait, noted for those who ask later.
//!
//! Each replica reads every result topic from its end, without a consumer group. A record is looked
//! at by its header `ce_causationid` alone; only what somebody waits for is decoded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use millstream_events::{Event, RequestFailed};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::answer::Candidate;
use super::noted::{Noted, Partition, Place};
use super::numbers::{Numbered, Numbers};
use super::request_id::topic_digest;
use super::waiting::Waiting;
use millstream_pipeline::codec::{Codec, DecodeError};
use millstream_pipeline::kafka::offsets;
use millstream_pipeline::kafka::{Health, Watch};
use millstream_pipeline::observe::metrics::metrics;
use millstream_pipeline::record::cloudevents::{CAUSATION_ID, EPOCH, SEQUENCE, SOURCE, TYPE};
use millstream_pipeline::record::each_header;

/// How long the broker may take to tell of a topic.
const METADATA_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks for topics that are not there yet, or for a registry that is away.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What comes on the result topics.
pub struct Results {
    config: ClientConfig,
    watch: Arc<Watch>,
    codec: Arc<Codec>,
    /// Those who wait.
    pub waiting: Arc<Waiting>,
    noted: Mutex<Noted>,
    numbers: Mutex<Numbers>,
    topics: Vec<&'static str>,
    followed: RwLock<HashMap<&'static str, Followed>>,
}

/// A result topic that is read.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    /// Its name.
    pub name: &'static str,
    /// Its number in [`Partition`].
    pub number: u16,
    /// How many partitions it has.
    pub partitions: i32,
}

impl Results {
    /// Results on these topics, read with these client settings, noted up to a limit.
    pub fn new(
        mut config: ClientConfig,
        codec: Arc<Codec>,
        topics: Vec<&'static str>,
        waiting: Arc<Waiting>,
        max_noted: usize,
    ) -> Self {
        config
            .set("group.id", millstream_pipeline::kafka::group::OF_GATEWAY)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A topic made anew is read from its beginning.
            .set("auto.offset.reset", "earliest")
            // Bounded memory, without the usual second's pause after a full queue.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "5");
        Self {
            watch: Watch::new("results", &config),
            config,
            codec,
            waiting,
            noted: Mutex::new(Noted::new(max_noted)),
            numbers: Mutex::default(),
            topics,
            followed: RwLock::default(),
        }
    }

    /// The topic, if it is read.
    pub fn topic(&self, name: &str) -> Option<Followed> {
        let followed = self.followed.read().unwrap_or_else(PoisonError::into_inner);
        followed.get(name).copied()
    }

    /// The name of the topic with this digest in ids.
    pub fn by_digest(&self, digest: [u8; 4]) -> Option<&'static str> {
        let mut topics = self.topics.iter();
        topics.find(|topic| topic_digest(topic) == digest).copied()
    }

    /// Whether all topics are read.
    pub fn is_complete(&self) -> bool {
        let followed = self.followed.read().unwrap_or_else(PoisonError::into_inner);
        followed.len() == self.topics.len()
    }

    /// The notes.
    pub fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the consumer of results is.
    pub fn health(&self) -> Health {
        self.watch.health()
    }

    /// Reads until the future is dropped. Topics that are not there yet are looked for. A consumer
    /// that stands still gives way to another one, which goes on where it stood.
    pub async fn follow(self: Arc<Self>) -> Result<(), KafkaError> {
        let mut at = TopicPartitionList::new();
        loop {
            let consumer: Arc<StreamConsumer> = Arc::new(self.config.create()?);
            if at.count() > 0 {
                consumer.assign(&at)?;
            }
            at = tokio::select! {
                () = self.look(&consumer) => continue,
                () = self.read(&consumer) => continue,
                at = self.watch.deaf(&consumer) => at,
            };
            // It may take its time to close.
            tokio::task::spawn_blocking(move || drop(consumer));
        }
    }

    /// Reads for ever.
    async fn read(self: &Arc<Self>, consumer: &StreamConsumer) {
        loop {
            match consumer.recv().await {
                Ok(message) => self.see(&message),
                // librdkafka reconnects by itself; it only tells that it has to.
                Err(error) => {
                    tracing::debug!(%error, "reading results");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Looks for topics, for ever.
    async fn look(self: &Arc<Self>, consumer: &Arc<StreamConsumer>) {
        while !self.is_complete() {
            let (results, consumer) = (Arc::clone(self), Arc::clone(consumer));
            let looked = tokio::task::spawn_blocking(move || results.look_for_topics(&consumer));
            match looked.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "looking for result topics"),
                Err(error) => tracing::error!(%error, "looking for result topics"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        std::future::pending().await
    }

    /// Begins to read the topics that are there.
    fn look_for_topics(&self, consumer: &StreamConsumer) -> Result<(), KafkaError> {
        let mut found = Vec::new();
        let mut partitions = TopicPartitionList::new();
        // Asked by another client, which is as good as the consumer and cannot have gone deaf.
        let client: BaseConsumer = self.config.create()?;
        for (number, name) in self.topics.iter().enumerate() {
            if self.topic(name).is_some() {
                continue;
            }
            let metadata = client.fetch_metadata(Some(name), METADATA_LIMIT)?;
            let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            let topic = metadata.topics().first();
            let Some(topic) = topic
                .filter(|topic| topic.error() != Some(missing) && !topic.partitions().is_empty())
            else {
                tracing::info!(
                    topic = name,
                    "waiting for a result topic; run `{program} apply`",
                    program = millstream_pipeline::program::name()
                );
                continue;
            };
            let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            partitions.add_partition_range(name, 0, count - 1);
            found.push(Followed {
                name,
                number: u16::try_from(number).unwrap_or(u16::MAX),
                partitions: count,
            });
        }
        // "At the end" is made a number here: what comes from now on is seen for sure.
        let ends = offsets::ends(&client, &partitions, METADATA_LIMIT)?;
        let ends = offsets::detached(&ends)?;
        // Nothing that comes is looked at until its topic is known.
        let mut followed = self
            .followed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        consumer.incremental_assign(&ends)?;
        self.watch.begins(&ends)?;
        for topic in found {
            for end in ends.elements_for_topic(topic.name) {
                if let Offset::Offset(offset) = end.offset() {
                    self.noted()
                        .begin(partition(topic, end.partition()), offset);
                }
            }
            followed.insert(topic.name, topic);
        }
        Ok(())
    }

    /// Notes a record, and decodes it for those who wait.
    fn see(self: &Arc<Self>, message: &BorrowedMessage<'_>) {
        let Some(topic) = self.topic(message.topic()) else {
            return;
        };
        self.check(topic, message);
        let Some(event_id) = cause(message) else {
            return;
        };
        let place = Place {
            partition: partition(topic, message.partition()),
            offset: message.offset(),
            failed: is_failure(message),
        };
        self.noted().note(event_id, place);
        let is_claimed = self.waiting.has(event_id);
        let claimed = if is_claimed { "yes" } else { "no" };
        metrics()
            .gateway_results
            .with_label_values(&[claimed])
            .inc();
        if is_claimed {
            let (results, event_id) = (Arc::clone(self), event_id.to_owned());
            let candidate = candidate(message);
            // The registry may have to be asked, which must not hold up the others.
            tokio::spawn(async move { results.deliver(event_id, candidate).await });
        }
    }

    /// Counts what the reader rule says of a numbered result.
    fn check(&self, topic: Followed, message: &BorrowedMessage<'_>) {
        let Some(numbered) = number(topic, message) else {
            return;
        };
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = numbers.see(numbered);
        drop(numbers);
        let verdict = verdict.as_str();
        if matches!(verdict, "gap" | "conflict") {
            tracing::error!(
                topic = topic.name,
                partition = message.partition(),
                offset = message.offset(),
                seq = numbered.seq,
                verdict,
                "a result is out of order"
            );
        }
        metrics()
            .reader_events
            .with_label_values(&[topic.name, verdict])
            .inc();
    }

    async fn deliver(&self, event_id: String, candidate: Candidate) {
        while self.waiting.has(&event_id) {
            match candidate.clone().decode(&self.codec).await {
                Ok(Some(answer)) if answer.meta.causation_id.as_deref() == Some(&event_id) => {
                    return self.waiting.answer(&event_id, &Arc::new(answer));
                }
                Ok(_) => return,
                Err(DecodeError::Registry(error)) => {
                    tracing::warn!(%error, "a result waits for the registry");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => {
                    return tracing::error!(%error, event_id, "a result cannot be decoded");
                }
            }
        }
    }
}

/// A partition by the number of its topic.
pub fn partition(topic: Followed, partition: i32) -> Partition {
    (topic.number, u16::try_from(partition).unwrap_or(u16::MAX))
}

/// The id of the event that a record answers, as its headers say it.
pub fn cause<'m>(message: &'m BorrowedMessage<'_>) -> Option<&'m str> {
    header(message, CAUSATION_ID)
}

/// The number of a record, and whose numbering it belongs to, as its headers say it.
fn number<'m>(topic: Followed, message: &'m BorrowedMessage<'_>) -> Option<Numbered<'m>> {
    let (source, epoch) = (header(message, SOURCE)?, header(message, EPOCH)?);
    Some(Numbered {
        of: (topic.name, message.key()?, source, epoch),
        seq: header(message, SEQUENCE)?.parse().ok()?,
        value: message.payload().unwrap_or_default(),
    })
}

/// Whether a record is a `RequestFailed`, as its headers say it.
pub fn is_failure(message: &BorrowedMessage<'_>) -> bool {
    header(message, TYPE) == Some(RequestFailed::FULL_NAME)
}

fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let header = each_header(message.headers()?).find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}

/// A record, taken out of its message.
pub fn candidate(message: &BorrowedMessage<'_>) -> Candidate {
    Candidate {
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}
