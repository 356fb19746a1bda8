//! Questions to the brokers, asked by another client than the one whose health is in question: a
//! client that has lost its brokers cannot tell that from silence.

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::kafka::Ends;
use crate::kafka::offsets;

/// How long one answer may take.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// A client for questions. It is kept as long as it is answered and made anew after any error, so it
/// cannot be deaf for longer than one question. Its calls block.
pub struct Asker {
    config: ClientConfig,
    client: Option<BaseConsumer<Ends>>,
}

impl Asker {
    /// Asks as a client with these settings would, with the same rights.
    pub fn new(config: &ClientConfig) -> Self {
        let mut config = config.clone();
        if config.get("group.id").is_none() {
            config.set("group.id", "millstream-reader");
        }
        config
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            // What it has to say is in the answers; and a producer's settings mean nothing to it.
            .set_log_level(RDKafkaLogLevel::Emerg);
        Self {
            config,
            client: None,
        }
    }

    /// The next offset of each of these partitions, as committed readers see it.
    pub fn ends(&mut self, partitions: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        self.ask(|client| offsets::ends(client, partitions, ANSWER_LIMIT))
    }

    /// The partitions of a topic, with what the group of the settings goes on from.
    pub fn committed(&mut self, topic: &str) -> KafkaResult<TopicPartitionList> {
        self.ask(|client| {
            let partitions = offsets::partitions(client, topic, ANSWER_LIMIT)?;
            let mut from = client.committed_offsets(partitions.clone(), ANSWER_LIMIT)?;
            let starts = offsets::bounds(client, &partitions, ANSWER_LIMIT)?;
            for (partition, start, _) in starts {
                let known = from.find_partition(topic, partition).map(|it| it.offset());
                if !matches!(known, Some(Offset::Offset(offset)) if offset >= start) {
                    from.set_partition_offset(topic, partition, Offset::Offset(start))?;
                }
            }
            Ok(from)
        })
    }

    /// Whether any broker answers.
    pub fn is_answered(&mut self) -> bool {
        self.ask(|client| client.fetch_metadata(None, ANSWER_LIMIT).map(drop))
            .is_ok()
    }

    /// Whether every partition of a topic has a leader.
    pub fn has_leaders(&mut self, topic: &str) -> KafkaResult<bool> {
        self.ask(|client| {
            let metadata = client.fetch_metadata(Some(topic), ANSWER_LIMIT)?;
            let found = metadata.topics().first().filter(|it| it.error().is_none());
            Ok(found.is_some_and(|topic| {
                let partitions = topic.partitions();
                !partitions.is_empty() && partitions.iter().all(|it| it.leader() >= 0)
            }))
        })
    }

    /// The time of the record that a reader finds at this offset or after it, in milliseconds since
    /// 1970-01-01 UTC; `None`: there is none. An end alone does not say so: marks of transactions and
    /// records of aborted ones have offsets, too.
    pub fn record_at(&self, topic: &str, partition: i32, offset: i64) -> KafkaResult<Option<i64>> {
        let client: BaseConsumer<Ends> = self.config.create_with_context(Ends)?;
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        client.assign(&at)?;
        let until = Instant::now() + 2 * ANSWER_LIMIT;
        let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match client.poll(left) {
                Some(Ok(message)) => return Ok(Some(message.timestamp().to_millis().unwrap_or(0))),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) if is_missing(&error) || is_forbidden(&error) => {
                    return Err(error);
                }
                // A passing one, or one of the group's, which nobody here joins.
                Some(Err(_)) if !left.is_zero() => {}
                Some(Err(error)) => return Err(error),
                None => return Err(timed_out),
            }
        }
    }

    fn ask<T>(
        &mut self,
        question: impl Fn(&BaseConsumer<Ends>) -> KafkaResult<T>,
    ) -> KafkaResult<T> {
        if let Some(client) = self.client.take()
            && let Ok(answer) = question(&client)
        {
            self.client = Some(client);
            return Ok(answer);
        }
        let client = self.config.create_with_context(Ends)?;
        let answer = question(&client)?;
        self.client = Some(client);
        Ok(answer)
    }
}

fn is_forbidden(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Whether an error says that what was asked about does not exist, rather than that nobody answers.
pub fn is_missing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition)
    )
}
