//! Reads a shard's partition of each topic, up to the last stable offset.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::place::Place;
use super::{ShardError, Taken};
use crate::kafka::Ends;
use crate::kafka::offsets;
use crate::lane::batch::log::{Position, Read};
use crate::observe::metrics::metrics;

/// How long the brokers may take to hand over a record, or to say that there is none.
const DEAF: Duration = Duration::from_secs(5);
/// How long the brokers may take to say where a partition begins and ends.
const BOUNDS: Duration = Duration::from_secs(5);

pub(super) struct Reader {
    consumer: BaseConsumer<Ends>,
    place: Arc<Place>,
    /// What it hands over next; `None`: it reads nothing now.
    at: Option<Vec<i64>>,
    /// When it handed over a batch last.
    handed_over: Option<Instant>,
}

impl Reader {
    pub fn new(mut config: ClientConfig, place: Arc<Place>) -> Result<Self, ShardError> {
        config
            .set("group.id", &place.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // Whether something was deleted, or the topic is another one, is looked at here.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            // Bounded memory, without the usual second's pause after a full queue: a batch of that is
            // worked off in some twenty milliseconds.
            .set("queued.max.messages.kbytes", "2048")
            .set("fetch.queue.backoff.ms", "5");
        let consumer = config
            .create_with_context(Ends)
            .map_err(ShardError::kafka("reading"))?;
        Ok(Self {
            consumer,
            place,
            at: None,
            handed_over: None,
        })
    }

    /// The next records behind `position`. At the `first` time it is waited for one, or for all ends;
    /// then for one, as long as a lease waits.
    pub fn read(
        &mut self,
        position: Position,
        first: bool,
        epoch: u32,
    ) -> Result<Read<Taken>, ShardError> {
        let mut next = self.begun(position.0, first)?;
        let limits = self.place.limits;
        let begun = Instant::now();
        let (mut records, mut bytes, mut ends) = (Vec::new(), 0, 0);
        let mut until = begun + if first { DEAF } else { limits.idle };
        while records.len() < limits.records && bytes < limits.bytes {
            let left = until.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                None if left.is_zero() => break,
                None => {}
                Some(Ok(message)) => {
                    let topic = self
                        .place
                        .topics
                        .iter()
                        .position(|it| it == message.topic());
                    let Some(topic) = topic else { continue };
                    if records.is_empty() {
                        // While the last batch was decided, and the one before it kept, this one has waited.
                        until = self
                            .handed_over
                            .map_or(begun, |last| last + limits.interval);
                    }
                    next[topic] = message.offset() + 1;
                    bytes += message.payload_len();
                    // Handlers are not told of headers, and to take them apart costs as much as all
                    // the rest. Whoever publishes records as they came asks for them.
                    records.push(match self.place.headers {
                        true => Taken::whole(&message, topic, epoch),
                        false => Taken::of(&message, topic, epoch),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    ends += 1;
                    if first && records.is_empty() && ends == self.place.topics.len() {
                        break;
                    }
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset) => {
                        (next, ends) = (self.elsewhere(next)?, 0);
                    }
                    // Brokers that are away come back, or the wait is over.
                    Some(
                        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
                    ) => {}
                    _ => return Err(ShardError::kafka("reading")(error)),
                },
            }
        }
        if first && records.is_empty() && ends < self.place.topics.len() {
            return Err(ShardError::Deaf {
                topics: self.place.topics.join(", "),
                seconds: DEAF.as_secs(),
            });
        }
        let (count, millis) = (records.len(), begun.elapsed().as_millis());
        let partition = self.place.partition;
        tracing::debug!(partition, count, millis, "records are read");
        self.pass_over(&mut next)?;
        let idle = records.is_empty();
        if idle {
            let none = TopicPartitionList::new();
            let unassigned = self.consumer.assign(&none);
            unassigned.map_err(ShardError::kafka("reading"))?;
        } else {
            self.handed_over = Some(Instant::now());
        }
        self.at = (!idle).then(|| next.clone());
        let next = Position(next);
        Ok(Read { records, next })
    }

    /// Whether the group's offsets, which every transaction commits with the position, are not these.
    pub fn is_elsewhere(&self, Position(position): &Position) -> Result<bool, ShardError> {
        let asking = || ShardError::kafka("asking for the position");
        let list = self.place.at(position).map_err(asking())?;
        let committed = self.consumer.committed_offsets(list, BOUNDS);
        let committed = committed.map_err(asking())?;
        let mut known = self.place.topics.iter().zip(position);
        Ok(known.any(|(topic, next)| {
            let found = committed.find_partition(topic, self.place.partition);
            // Kafka forgets the offsets of a group after some time.
            let found = found.and_then(|it| it.offset().to_raw());
            found.is_some_and(|offset| offset >= 0 && offset != *next)
        }))
    }

    /// Goes to these offsets, if it is not there.
    fn begun(&mut self, position: Vec<i64>, first: bool) -> Result<Vec<i64>, ShardError> {
        let at = self.at.take();
        if first || at.as_ref() != Some(&position) {
            self.assign(&position)?;
        }
        Ok(position)
    }

    fn assign(&self, offsets: &[i64]) -> Result<(), ShardError> {
        let list = self.place.at(offsets);
        list.and_then(|list| self.consumer.assign(&list))
            .map_err(ShardError::kafka("reading"))
    }

    /// Behind marks of transactions and records of aborted ones: the consumer has passed over them
    /// once it was asked for more.
    fn pass_over(&self, next: &mut [i64]) -> Result<(), ShardError> {
        let passed = self.consumer.position();
        for it in passed.map_err(ShardError::kafka("reading"))?.elements() {
            let topic = self
                .place
                .topics
                .iter()
                .position(|topic| topic == it.topic());
            if let (Some(topic), Offset::Offset(offset)) = (topic, it.offset()) {
                next[topic] = next[topic].max(offset);
            }
        }
        Ok(())
    }

    /// One of these offsets is not there. What retention has deleted is lost: reading goes on where
    /// the log begins.
    fn elsewhere(&self, mut next: Vec<i64>) -> Result<Vec<i64>, ShardError> {
        for (topic, offset) in self.place.topics.iter().zip(&mut next) {
            let partition = self.place.partition;
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, partition);
            let bounds = offsets::bounds(&self.consumer, &list, BOUNDS);
            let bounds = bounds.map_err(ShardError::kafka("reading"))?;
            let Some((_, start, end)) = bounds.first().copied() else {
                continue;
            };
            if *offset > end {
                return Err(ShardError::Beyond {
                    topic: topic.clone(),
                    partition,
                    position: *offset,
                    end,
                });
            }
            let lost = start - *offset;
            if lost > 0 {
                tracing::error!(
                    topic,
                    partition,
                    from = *offset,
                    to = start,
                    "records were deleted before they were decided; raise the topic's retention"
                );
                metrics()
                    .batch_lost
                    .with_label_values(&[topic])
                    .inc_by(lost.unsigned_abs());
                *offset = start;
            }
        }
        self.assign(&next)?;
        Ok(next)
    }
}
