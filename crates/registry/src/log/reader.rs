//! Reading the log from its beginning, for ever.

use std::sync::{Arc, RwLock};

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::Location;
use crate::record::Record;
use crate::state::State;
use millstream_pipeline::kafka::Watch;

/// How far the state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The offset after the last record that the state contains.
    pub next: i64,
}

/// Applies the log to the state, from its first record on. Ends only when the reading cannot go on
/// where it is: the records there are gone, because the topic was made anew. The caller begins again
/// with an empty state.
pub async fn follow(
    location: &Location,
    state: Arc<RwLock<State>>,
    progress: &watch::Sender<Progress>,
) -> Result<std::convert::Infallible, KafkaError> {
    let mut config = millstream_pipeline::kafka::client(&location.kafka);
    config
        // Without a group nothing is committed; librdkafka wants the name all the same.
        .set("group.id", millstream_pipeline::kafka::group::OF_REGISTRY)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.error.backoff.ms", "100")
        .set("topic.metadata.refresh.interval.ms", "5000");
    let watch = Watch::new("registry", &config);
    let mut at = TopicPartitionList::new();
    at.add_partition_offset(&location.topic, 0, Offset::Beginning)?;
    loop {
        let consumer: Arc<StreamConsumer> = Arc::new(config.create()?);
        consumer.assign(&at)?;
        watch.begins(&at)?;
        tokio::select! {
            ended = read(&consumer, location, &state, progress) => return ended,
            deaf = watch.deaf(&consumer) => at = deaf,
        }
        // It may take its time to close.
        tokio::task::spawn_blocking(move || drop(consumer));
    }
}

/// Applies what one consumer reads.
async fn read(
    consumer: &StreamConsumer,
    location: &Location,
    state: &RwLock<State>,
    progress: &watch::Sender<Progress>,
) -> Result<std::convert::Infallible, KafkaError> {
    loop {
        let message = match consumer.recv().await {
            Ok(message) => message,
            Err(error) if lost(&error) => return Err(error),
            Err(error) => {
                // librdkafka goes on by itself when the brokers are back.
                warn!(%error, topic = location.topic, "reading the log is interrupted");
                continue;
            }
        };
        let next = message.offset() + 1;
        if next <= progress.borrow().next {
            return Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::OffsetOutOfRange,
            ));
        }
        match Record::read(message.key().unwrap_or_default(), message.payload()) {
            Ok(record) => {
                debug!(offset = message.offset(), ?record, "read");
                let mut state = state
                    .write()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                if let Err(conflict) = state.apply(record) {
                    warn!(offset = message.offset(), "{conflict}");
                }
            }
            Err(error) => {
                warn!(offset = message.offset(), %error, "a record that is not the registry's is skipped");
            }
        }
        progress.send_replace(Progress { next });
    }
}

/// Whether the position is not to be found again.
fn lost(error: &KafkaError) -> bool {
    let codes = [
        RDKafkaErrorCode::AutoOffsetReset,
        RDKafkaErrorCode::OffsetOutOfRange,
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
        RDKafkaErrorCode::UnknownTopicId,
        RDKafkaErrorCode::Fatal,
    ];
    error
        .rdkafka_error_code()
        .is_some_and(|code| codes.contains(&code))
}
