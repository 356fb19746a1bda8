//! Which partitions a topic has, and where they begin and end, asked of the brokers for all of them
//! at once.
//!
//! librdkafka's `query_watermark_offsets` asks for one partition, and for one that its client has not
//! met it waits a tenth of a second: a second for a topic of eight partitions.

use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

/// The partitions of a topic. One that is not there, or not for us, is an error: reading it would
/// wait for ever.
pub fn partitions<C: ConsumerContext>(
    client: &impl Consumer<C>,
    topic: &str,
    limit: Duration,
) -> KafkaResult<TopicPartitionList> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    let mut list = TopicPartitionList::new();
    for found in metadata.topics() {
        if let Some(error) = found.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        for partition in found.partitions() {
            list.add_partition(topic, partition.id());
        }
    }
    Ok(list)
}

/// What was found of a topic; `None` when there is no such topic.
pub fn of_known<T>(found: KafkaResult<T>) -> KafkaResult<Option<T>> {
    match found {
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(None),
        found => found.map(Some),
    }
}

/// The next offset of each of these partitions.
pub fn ends<C: ConsumerContext>(
    client: &impl Consumer<C>,
    partitions: &TopicPartitionList,
    limit: Duration,
) -> KafkaResult<TopicPartitionList> {
    at(client, partitions, Offset::End, limit)
}

/// The first offset and the next one of each of these partitions, in their order.
pub fn bounds<C: ConsumerContext>(
    client: &impl Consumer<C>,
    partitions: &TopicPartitionList,
    limit: Duration,
) -> KafkaResult<Vec<(i32, i64, i64)>> {
    let starts = at(client, partitions, Offset::Beginning, limit)?;
    let ends = at(client, partitions, Offset::End, limit)?;
    let bounds = starts.elements().into_iter().zip(ends.elements());
    Ok(bounds
        .map(|(start, end)| {
            (
                start.partition(),
                number(start.offset()),
                number(end.offset()),
            )
        })
        .collect())
}

/// The same partitions and offsets in a list of their own. What a client hands out holds on to that
/// client's partitions, and another one that is assigned it aborts.
pub fn detached(list: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let mut own = TopicPartitionList::new();
    for it in list.elements() {
        own.add_partition_offset(it.topic(), it.partition(), it.offset())?;
    }
    Ok(own)
}

/// Kafka's request ListOffsets takes -2 and -1 in place of a time, as librdkafka does.
fn at<C: ConsumerContext>(
    client: &impl Consumer<C>,
    partitions: &TopicPartitionList,
    place: Offset,
    limit: Duration,
) -> KafkaResult<TopicPartitionList> {
    let mut asked = partitions.clone();
    if asked.count() == 0 {
        return Ok(asked);
    }
    asked.set_all_offsets(place)?;
    let found = client.offsets_for_times(asked, limit)?;
    for partition in found.elements() {
        if let Err(KafkaError::OffsetFetch(code)) = partition.error() {
            // The error has no place for it.
            let (topic, partition) = (partition.topic(), partition.partition());
            tracing::warn!(topic, partition, %code, "where it begins and ends is not to be had");
            return Err(KafkaError::MetadataFetch(code));
        }
    }
    Ok(found)
}

/// An offset that a broker answered with, as a number.
pub fn number(offset: Offset) -> i64 {
    match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    }
}
