//! A shard's partition of the state topic: the state of each key, and the position.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::{ShardError, Spilled, metadata};
use crate::kafka::Ends;
use crate::kafka::offsets;
use crate::lane::batch::log::{Loaded, Position};
use crate::record::each_header;

/// The key of the position's record. No entity has it.
pub(super) const POSITION: &[u8] = b"";

/// The header of a state with the generation that it belongs to.
pub(super) const GENERATION: &str = "millstream-generation";

/// The layout that is written.
const LAYOUT: u32 = 1;

/// How long the brokers may hand over nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// The position's record, as JSON.
#[derive(Serialize, Deserialize)]
struct Written<'w> {
    layout: u32,
    generation: u32,
    /// How often it was rewound in this generation.
    #[serde(default, skip_serializing_if = "is_zero")]
    epoch: u32,
    /// The next offset of each topic.
    #[serde(borrow)]
    next: BTreeMap<&'w str, i64>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub(super) fn position(place: &Place, next: &[i64], epoch: u32) -> Vec<u8> {
    let topics = place.topics.iter().map(String::as_str);
    let written = Written {
        layout: LAYOUT,
        generation: place.generation,
        epoch,
        next: topics.zip(next.iter().copied()).collect(),
    };
    serde_json::to_vec(&written).unwrap_or_default()
}

/// Reads the partition to its end; and how often the shard was rewound.
pub(super) fn load(
    config: ClientConfig,
    place: &Place,
) -> Result<(Loaded<Spilled>, u32), ShardError> {
    let mut states = Spilled::new(place.limits.memory);
    let (consumer, position) = read(config, place, |key, value| {
        Ok(states.put(key.into(), value.map(Bytes::copy_from_slice))?)
    })?;
    let (position, epoch) = begin(&consumer, place, position.as_deref())?;
    let position = Position(position);
    let notes = metadata::notes(&consumer, place, &position, SILENCE);
    let notes = notes.map_err(ShardError::kafka("loading states"))?;
    let loaded = Loaded {
        states,
        position,
        notes,
    };
    Ok((loaded, epoch))
}

/// Hands over what the partition has of states, each key's newest last, and answers the position's record.
pub(super) fn read(
    mut config: ClientConfig,
    place: &Place,
    mut state: impl FnMut(&str, Option<&[u8]>) -> Result<(), ShardError>,
) -> Result<(BaseConsumer<Ends>, Option<Vec<u8>>), ShardError> {
    let loading = || ShardError::kafka("loading states");
    config
        .set("group.id", &place.group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.queue.backoff.ms", "5");
    let consumer: BaseConsumer<Ends> = config.create_with_context(Ends).map_err(loading())?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&place.state_topic, place.partition, Offset::Beginning)
        .and_then(|()| consumer.assign(&list))
        .map_err(loading())?;
    let mut position = None;
    let mut heard = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (key, value) = (message.key().unwrap_or_default(), message.payload());
                if key == POSITION {
                    position = value.map(<[u8]>::to_vec);
                    continue;
                }
                if generation(&message) < Some(place.generation) {
                    continue;
                }
                let key = std::str::from_utf8(key);
                let key = key.map_err(|_| unreadable(place, "a key is no text".into()))?;
                state(key, value)?;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if heard.elapsed() > SILENCE => return Err(loading()(error)),
            None if heard.elapsed() > SILENCE => {
                return Err(ShardError::Deaf {
                    topics: place.state_topic.clone(),
                    seconds: SILENCE.as_secs(),
                });
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok((consumer, position))
}

/// The generation that a state belongs to.
fn generation(message: &impl Message<Headers: Headers>) -> Option<u32> {
    let mut headers = each_header(message.headers()?);
    let header = headers.find(|header| header.key == GENERATION)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}

/// The position as it was written; where a topic begins if it is not in there, or in an older
/// generation. And how often the shard was rewound.
pub(super) fn begin(
    consumer: &BaseConsumer<Ends>,
    place: &Place,
    written: Option<&[u8]>,
) -> Result<(Vec<i64>, u32), ShardError> {
    let no_json = |error: serde_json::Error| unreadable(place, format!("the position: {error}"));
    let written: Option<Written<'_>> = written
        .map(serde_json::from_slice)
        .transpose()
        .map_err(no_json)?;
    if let Some(written) = &written
        && written.layout != LAYOUT
    {
        let reason = format!(
            "its layout is {}, and {LAYOUT} is known here",
            written.layout
        );
        return Err(unreadable(place, reason));
    }
    if let Some(written) = &written
        && written.generation > place.generation
    {
        let reason = format!(
            "it is in generation {}, and its topics say {} here: a generation never goes down",
            written.generation, place.generation
        );
        return Err(unreadable(place, reason));
    }
    let written = written.filter(|it| it.generation == place.generation);
    let epoch = written.as_ref().map_or(0, |it| it.epoch);
    let known = written.map(|it| it.next).unwrap_or_default();
    let mut next = Vec::with_capacity(place.topics.len());
    for topic in &place.topics {
        next.push(match known.get(topic.as_str()) {
            Some(offset) => *offset,
            None => {
                let mut list = TopicPartitionList::new();
                list.add_partition(topic, place.partition);
                let bounds = offsets::bounds(consumer, &list, SILENCE);
                let bounds = bounds.map_err(ShardError::kafka("loading states"))?;
                bounds.first().map_or(0, |(_, start, _)| *start)
            }
        });
    }
    Ok((next, epoch))
}

fn unreadable(place: &Place, reason: String) -> ShardError {
    ShardError::Unreadable {
        topic: place.state_topic.clone(),
        partition: place.partition,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_json_by_topic() {
        let place = Place::new("m", "UsageMeter", &["usage-records", "usage-quotas"], 3);
        let text = position(&place, &[5, 7], 0);
        let expected = r#"{"layout":1,"generation":1,"next":{"usage-quotas":7,"usage-records":5}}"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        let text = String::from_utf8(position(&place, &[5, 7], 2)).unwrap();
        assert!(text.contains(r#""epoch":2"#), "{text}");
    }
}
