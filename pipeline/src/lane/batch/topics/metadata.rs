//! Notes as metadata of the group's offsets: `kafka-consumer-groups` and the like leave them alone.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::kafka::Ends;
use crate::lane::batch::log::Position;
use crate::lane::batch::notes::{Note, Notes};

/// A note, as JSON. Kafka takes 4096 bytes.
#[derive(Serialize, Deserialize)]
struct Written {
    generation: u32,
    until: i64,
    by: Vec<u64>,
}

/// The offsets of a shard, with its notes.
pub(super) fn offsets(
    place: &Place,
    position: &Position,
    notes: &Notes,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (index, (topic, offset)) in place.topics.iter().zip(&position.0).enumerate() {
        let mut added = list.add_partition(topic, place.partition);
        added.set_offset(rdkafka::Offset::Offset(*offset))?;
        if let Some(Note { until, by }) = notes.of(index).cloned() {
            let generation = place.generation;
            let written = Written {
                generation,
                until,
                by,
            };
            added.set_metadata(serde_json::to_string(&written).unwrap_or_default());
        }
    }
    Ok(list)
}

/// The notes that were committed. What nobody can read says nothing.
pub(super) fn notes(
    consumer: &BaseConsumer<Ends>,
    place: &Place,
    position: &Position,
    limit: Duration,
) -> KafkaResult<Notes> {
    let mut asked = TopicPartitionList::new();
    for topic in &place.topics {
        asked.add_partition(topic, place.partition);
    }
    let committed = consumer.committed_offsets(asked, limit)?;
    let kept = place.topics.iter().map(|topic| {
        let found = committed.find_partition(topic, place.partition)?;
        let written: Written = serde_json::from_str(found.metadata()).ok()?;
        let Written {
            generation,
            until,
            by,
        } = written;
        (generation == place.generation).then_some(Note { until, by })
    });
    Ok(Notes::new(kept.collect(), position))
}
