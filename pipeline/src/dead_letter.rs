//! Dead letters: records that could not be handled, kept as they came.
//!
//! A dead letter goes to `<topic>-dlq` with the original key and bytes, the record's own headers,
//! and the reason in the two header families that people know: Kafka Connect's
//! (`__connect.errors.*`, text) and Spring's (`kafka_dlt-*`, numbers in big-endian bytes).
//! Restate hands over neither headers nor whether key and value were null, so the record is read
//! from Kafka once more.
//!
//! Sources: Kafka KIP-298; Spring Kafka's `KafkaHeaders`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::code::Failure;
use crate::position::Position;
use crate::publish::Record;

/// How long reading a record again may take before the attempt fails.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// The first of the headers that say why a record is a dead letter. Those before it are the
/// original's own.
pub(crate) const FIRST_HEADER: &str = "__connect.errors.topic";
/// Stands for the original's own headers where nobody knows them any more.
pub(crate) const UNAVAILABLE: &str = "original-headers";

/// Reads records again by their position. Cheap to share.
#[derive(Clone)]
pub struct Originals {
    config: ClientConfig,
    consumer: Arc<Mutex<Option<BaseConsumer>>>,
}

impl Originals {
    /// A reader with these client settings.
    pub fn new(mut config: ClientConfig) -> Self {
        config
            .set("group.id", "millstream-dead-letters")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // Says that a topic ends before the record: it was made anew.
            .set("enable.partition.eof", "true")
            .set("queued.min.messages", "1")
            .set("fetch.wait.max.ms", "50");
        Self {
            config,
            consumer: Arc::default(),
        }
    }

    /// The record at `position` with this value (null or empty: none) and its own headers; `None`
    /// when the topic has it no longer.
    pub async fn read(
        &self,
        position: &Position,
        value: Bytes,
    ) -> Result<Option<Record>, KafkaError> {
        let (reader, position) = (self.clone(), position.clone());
        tokio::task::spawn_blocking(move || reader.read_blocking(&position, &value))
            .await
            .unwrap_or(Err(KafkaError::Canceled))
    }

    fn read_blocking(
        &self,
        position: &Position,
        value: &[u8],
    ) -> Result<Option<Record>, KafkaError> {
        let mut slot = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let consumer = match slot.as_mut() {
            Some(consumer) => consumer,
            None => slot.insert(self.config.create()?),
        };
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(
            &position.topic,
            position.partition,
            Offset::Offset(position.offset),
        )?;
        consumer.assign(&at)?;
        let found = poll_for(consumer, position, value);
        consumer.unassign()?;
        found
    }
}

fn poll_for(
    consumer: &BaseConsumer,
    position: &Position,
    value: &[u8],
) -> Result<Option<Record>, KafkaError> {
    let until = Instant::now() + READ_LIMIT;
    let mut topic_is_gone = false;
    loop {
        match consumer.poll(until.saturating_duration_since(Instant::now())) {
            None if topic_is_gone => return Ok(None),
            None => {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) if partition == position.partition => {
                return Ok(None);
            }
            // An error that belongs to an earlier assignment, or a passing one.
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    return Ok(None);
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
            // In a topic made anew, another record may stand there.
            Some(Ok(message))
                if message.offset() == position.offset
                    && message.payload().unwrap_or_default() == value =>
            {
                return Ok(Some(copy(&message)));
            }
            Some(Ok(_)) => return Ok(None),
        }
    }
}

fn copy(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    Record {
        topic: message.topic().to_owned(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Where a dead letter comes from and why it is one.
#[derive(Debug)]
pub struct Reason<'a> {
    /// Where the record stands.
    pub position: &'a Position,
    /// Who could not handle it, `Service/handler`.
    pub handler: &'a str,
    /// The consumer group that delivered it.
    pub group: &'a str,
    /// Why.
    pub failure: &'a Failure,
}

/// Makes the dead letter of a record.
pub fn dead_letter(topic: String, original: Record, reason: &Reason<'_>) -> Record {
    let Reason {
        position,
        handler,
        group,
        failure,
    } = reason;
    let mut headers = original.headers;
    let mut text = |name: &str, value: &str| {
        headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
    };
    text(FIRST_HEADER, &position.topic);
    text(
        "__connect.errors.partition",
        &position.partition.to_string(),
    );
    text("__connect.errors.offset", &position.offset.to_string());
    text("__connect.errors.connector.name", handler);
    text("__connect.errors.task.id", "0");
    text("__connect.errors.exception.class.name", failure.code);
    text("__connect.errors.exception.message", &failure.message);
    text("kafka_dlt-original-topic", &position.topic);
    text("kafka_dlt-original-timestamp-type", "CREATE_TIME");
    text("kafka_dlt-original-consumer-group", group);
    text("kafka_dlt-exception-fqcn", failure.code);
    text("kafka_dlt-exception-message", &failure.message);
    let mut bytes = |name: &str, value: &[u8]| {
        headers.push((name.to_owned(), Some(value.to_vec())));
    };
    bytes(
        "kafka_dlt-original-partition",
        &position.partition.to_be_bytes(),
    );
    bytes("kafka_dlt-original-offset", &position.offset.to_be_bytes());
    bytes(
        "kafka_dlt-original-timestamp",
        &position.timestamp_ms.to_be_bytes(),
    );
    Record {
        topic,
        key: original.key,
        value: original.value,
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_keeps_the_record_and_says_why_in_both_families() {
        let position = Position {
            topic: "t".into(),
            partition: 3,
            offset: 258,
            timestamp_ms: 1_700_000_000_000,
        };
        let original = Record {
            topic: "t".into(),
            key: Some(b"k".to_vec()),
            value: None,
            headers: vec![("own".into(), Some(b"header".to_vec()))],
        };
        let failure = Failure::new(crate::code::UNDECODABLE, "why");
        let reason = Reason {
            position: &position,
            handler: "S/h",
            group: "g",
            failure: &failure,
        };
        let letter = dead_letter("t-dlq".into(), original, &reason);
        let header = |name: &str| {
            let found = letter.headers.iter().find(|(key, _)| key == name);
            found.and_then(|(_, value)| value.clone()).unwrap()
        };
        assert_eq!(
            (letter.topic.as_str(), letter.key.as_deref(), &letter.value),
            ("t-dlq", Some(&b"k"[..]), &None)
        );
        assert_eq!(header("own"), b"header");
        assert_eq!(header("__connect.errors.offset"), b"258");
        assert_eq!(
            header("__connect.errors.exception.class.name"),
            b"undecodable"
        );
        assert_eq!(
            header("kafka_dlt-original-offset"),
            [0, 0, 0, 0, 0, 0, 1, 2]
        );
        assert_eq!(header("kafka_dlt-original-partition"), [0, 0, 0, 3]);
    }
}
