//! Reading records once more by their position, for dead letters: Restate hands over neither
//! headers nor whether key and value were null, and the batch lane does not take headers apart that
//! nobody else needs.
//!
//! One thread serves all handlers of a process. What is wanted of one partition meanwhile is read
//! in one go: a flood of bad records costs one pass over its partition, not one seek each, and
//! attempts that were given up are not served.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use crate::kafka::Asker;
use crate::kafka::Ends;
use crate::observe::metrics::metrics;
use crate::record::Record;
use crate::record::source_offset::SourceOffset;

/// How long the next record may take to come before the attempts that wait for it fail.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Records between two wanted ones that are read rather than jumped over.
const NEAR: i64 = 1000;

/// Reads records again by their position. Cheap to share.
#[derive(Clone)]
pub struct Originals {
    wanted: mpsc::UnboundedSender<Wanted>,
    /// Whether Kafka has none of them any more.
    #[cfg(test)]
    are_gone: bool,
}

struct Wanted {
    position: SourceOffset,
    value: Bytes,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Option<Record>, KafkaError>;

impl Originals {
    /// A reader with these client settings. Kafka is contacted when the first record is wanted.
    pub fn new(mut config: ClientConfig) -> Self {
        config
            .set("group.id", crate::kafka::group::OF_ORIGINALS)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // Says that a topic ends before the record: it was made anew.
            .set("enable.partition.eof", "true")
            // Little is fetched beyond what is wanted, and the next fetch does not wait for the
            // usual second after a full queue.
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "50");
        let (wanted, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("originals".into());
        if let Err(error) = thread.spawn(move || serve(&config, receiver)) {
            // Every read then fails and is tried again, which somebody will notice.
            tracing::error!(%error, "no thread for reading dead letters");
        }
        Self {
            wanted,
            #[cfg(test)]
            are_gone: false,
        }
    }

    /// The same of topics that have none of their records any more.
    #[cfg(test)]
    pub(crate) fn gone(self) -> Self {
        Self {
            are_gone: true,
            ..self
        }
    }

    /// The record at `position` with this value (null or empty: none) and its own headers; `None`
    /// when the topic has it no longer.
    pub async fn read(&self, position: &SourceOffset, value: Bytes) -> Answer {
        #[cfg(test)]
        if self.are_gone {
            return Ok(None);
        }
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted {
            position: position.clone(),
            value,
            answer,
        };
        if self.wanted.send(wanted).is_err() {
            return Err(KafkaError::Canceled);
        }
        answered.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

/// Serves what is wanted, partition by partition, until nobody can want anything any more.
fn serve(config: &ClientConfig, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
    let mut consumer: Option<BaseConsumer<Ends>> = None;
    let mut waiting: Vec<Wanted> = Vec::new();
    loop {
        if waiting.is_empty() {
            match wanted.blocking_recv() {
                Some(first) => waiting.push(first),
                None => return,
            }
        }
        while let Ok(more) = wanted.try_recv() {
            waiting.push(more);
        }
        waiting.retain(|wanted| !wanted.answer.is_closed());
        let Some(SourceOffset {
            topic, partition, ..
        }) = waiting.first().map(|first| first.position.clone())
        else {
            continue;
        };
        let (mut batch, others): (Vec<_>, _) = waiting.into_iter().partition(|wanted| {
            wanted.position.topic == topic && wanted.position.partition == partition
        });
        waiting = others;
        batch.sort_by_key(|wanted| wanted.position.offset);
        let mut batch = VecDeque::from(batch);
        if let Err(error) = read(config, &mut consumer, &mut batch) {
            answer_all(&mut batch, &Err(error));
        }
    }
}

/// Answers a batch of one partition, in the order of offsets; an error is for those that are left.
fn read(
    config: &ClientConfig,
    slot: &mut Option<BaseConsumer<Ends>>,
    batch: &mut VecDeque<Wanted>,
) -> Result<(), KafkaError> {
    let consumer = match slot {
        Some(consumer) => consumer,
        None => slot.insert(config.create_with_context(Ends)?),
    };
    let result = read_through(consumer, batch).and_then(|()| consumer.unassign());
    if result.is_err() {
        // It may have lost its brokers for good: the next attempt has another one.
        *slot = None;
        let is_silence = |error: &KafkaError| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
        };
        if result.as_ref().is_err_and(is_silence) && Asker::new(config).is_answered() {
            let label = ["originals"];
            metrics()
                .kafka_clients_renewed
                .with_label_values(&label)
                .inc();
        }
    }
    result
}

fn read_through(
    consumer: &BaseConsumer<Ends>,
    batch: &mut VecDeque<Wanted>,
) -> Result<(), KafkaError> {
    let mut until = Instant::now() + READ_LIMIT;
    let mut topic_is_gone = false;
    let mut is_assigned = false;
    while let Some(Wanted { position, .. }) = batch.front() {
        if !is_assigned {
            assign(consumer, position)?;
            is_assigned = true;
        }
        match consumer.poll(until.saturating_duration_since(Instant::now())) {
            None if topic_is_gone => answer_all(batch, &Ok(None)),
            None => {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) if partition == position.partition => {
                answer_all(batch, &Ok(None));
            }
            // An error that belongs to an earlier assignment, or a passing one.
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    if let Some(gone) = batch.pop_front() {
                        // Whoever waited may have gone.
                        let _ = gone.answer.send(Ok(None));
                    }
                    is_assigned = false;
                }
                // A broker that has just started may not know its topics yet.
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition,
                ) if Instant::now() < until => topic_is_gone = true,
                _ if Instant::now() < until => {}
                _ => return Err(error),
            },
            Some(Ok(message)) if message.topic() != position.topic => {}
            Some(Ok(message)) if message.partition() != position.partition => {}
            Some(Ok(message)) => {
                answer_through(batch, &message);
                until = Instant::now() + READ_LIMIT;
                let next = batch.front().map(|wanted| wanted.position.offset);
                is_assigned = next.is_none_or(|next| next - message.offset() <= NEAR);
            }
        }
    }
    Ok(())
}

fn assign(consumer: &BaseConsumer<Ends>, position: &SourceOffset) -> Result<(), KafkaError> {
    let mut at = TopicPartitionList::new();
    let offset = Offset::Offset(position.offset);
    at.add_partition_offset(&position.topic, position.partition, offset)?;
    consumer.assign(&at)
}

/// Answers everything up to where `message` stands.
fn answer_through(batch: &mut VecDeque<Wanted>, message: &BorrowedMessage<'_>) {
    while let Some(wanted) = batch.pop_front_if(|wanted| wanted.position.offset <= message.offset())
    {
        // In a topic made anew, another record may stand there.
        let is_it = wanted.position.offset == message.offset()
            && message.payload().unwrap_or_default() == wanted.value;
        let _ = wanted
            .answer
            .send(Ok(is_it.then(|| Record::copy_of(message))));
    }
}

fn answer_all(batch: &mut VecDeque<Wanted>, answer: &Answer) {
    for wanted in batch.drain(..) {
        let _ = wanted.answer.send(answer.clone());
    }
}
