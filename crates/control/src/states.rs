//! States of objects, in whichever lane they are: Restate's, or a topic's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_events::{Declaration, Lane};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::lane::batch::topics::Place;
use millstream_pipeline::record::{each_header, partition};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use super::kafka::Kafka;
use super::restate::Restate;

/// How long the brokers may hand over nothing.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it may take to notice that reading is not to go on.
const SLICE: Duration = Duration::from_millis(100);
/// The group whose name librdkafka asks for. Nobody joins it.
const GROUP: &str = "millstream-status";
/// The header of a state in the batch lane with the generation that it belongs to.
const GENERATION: &str = "millstream-generation";

/// What an object keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectState {
    /// Its key.
    pub key: String,
    /// Business fields, and the bookkeeping under `_m`.
    pub state: Value,
}

/// The states of a service's objects by key, or of one of them.
pub async fn states(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    service: &str,
    key: Option<&str>,
) -> Result<Vec<ObjectState>, Error> {
    match shards_of(declarations, service) {
        Some(shards) => in_topic(shards, endpoints, service, key).await,
        None => in_restate(endpoints, service, key).await,
    }
}

/// How the states of a service in the batch lane are spread.
#[derive(Debug, Clone, Copy)]
pub struct Shards {
    partitions: i32,
    /// States of older generations are none any more.
    generation: u32,
}

impl Shards {
    /// The partition of a key.
    pub fn of_key(self, key: &str) -> i32 {
        partition::of_key(key.as_bytes(), self.partitions)
    }
}

/// Those of a service in the batch lane, whose states lie in a topic; `None`: Restate has them.
pub fn shards_of(declarations: &[&Declaration], service: &str) -> Option<Shards> {
    declarations.iter().find_map(|topic| shards(topic, service))
}

fn shards(topic: &Declaration, service: &str) -> Option<Shards> {
    let once = topic.results.as_ref().and_then(|results| {
        let once = results.once.filter(|once| once.service == service)?;
        Some((results.partitions, once.generation))
    });
    let mut handlers = topic.subscriptions.iter();
    let is_leased = topic.lane == Lane::Batch && handlers.any(|to| to.service == service);
    let own = is_leased.then_some((topic.partitions, topic.generation));
    let (partitions, generation) = once.or(own)?;
    Some(Shards {
        partitions,
        generation,
    })
}

async fn in_restate(
    endpoints: &Endpoints,
    service: &str,
    key: Option<&str>,
) -> Result<Vec<ObjectState>, Error> {
    #[derive(Deserialize)]
    struct Row {
        key: String,
        text: Option<String>,
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let of_key = key.map(|key| format!(" AND service_key = {}", quoted(key)));
    let sql = format!(
        "SELECT service_key AS key, value_utf8 AS text FROM state \
         WHERE key = 'state' AND service_name = {}{} ORDER BY service_key",
        quoted(service),
        of_key.unwrap_or_default()
    );
    let rows: Vec<Row> = Restate::new(&endpoints.restate_admin)?.query(&sql).await?;
    let states = rows.into_iter().map(|Row { key, text }| ObjectState {
        key,
        state: text.map_or(Value::Null, |text| json(text.as_bytes())),
    });
    Ok(states.collect())
}

async fn in_topic(
    shards: Shards,
    endpoints: &Endpoints,
    service: &str,
    key: Option<&str>,
) -> Result<Vec<ObjectState>, Error> {
    let take = |states: &mut BTreeMap<String, Value>, key: String, value: Option<&[u8]>| {
        match value {
            Some(value) => states.insert(key, json(value)),
            None => states.remove(&key),
        };
    };
    let (none, goes_on) = (BTreeMap::new(), || true);
    let states = read(shards, endpoints, service, key, none, take, goes_on).await?;
    let states = states.into_iter();
    let states = states.map(|(key, state)| ObjectState { key, state });
    Ok(states.collect())
}

/// Some keys of a service in the batch lane.
#[derive(Debug, Default)]
pub struct Keys {
    /// The first ones by name, with the bytes of their states.
    pub keys: BTreeMap<String, usize>,
    /// Whether there are no others.
    pub is_whole: bool,
}

/// The first keys of a service in the batch lane that begin with `prefix`. All
/// states are read for them; it is an error when that does not go on to their end.
pub async fn keys_in_topic(
    shards: Shards,
    endpoints: &Endpoints,
    (service, prefix): (&str, &str),
    limit: usize,
    goes_on: impl Fn() -> bool + Send + 'static,
) -> Result<Keys, Error> {
    let none = Keys {
        is_whole: true,
        ..Keys::default()
    };
    let prefix = prefix.to_owned();
    let take = move |seen: &mut Keys, key: String, value: Option<&[u8]>| {
        match value {
            Some(value) if key.starts_with(&prefix) => {
                seen.keys.insert(key, value.len());
            }
            _ => {
                seen.keys.remove(&key);
            }
        }
        // Some more than are shown: a state may still be deleted.
        if seen.keys.len() > 2 * limit {
            seen.keys.pop_last();
            seen.is_whole = false;
        }
    };
    let mut seen = read(shards, endpoints, service, None, none, take, goes_on).await?;
    while seen.keys.len() > limit {
        seen.keys.pop_last();
        seen.is_whole = false;
    }
    Ok(seen)
}

/// The state of a key of a service in the batch lane, with its bytes; an error when reading does not go
/// on to the newest one.
pub async fn state_in_topic(
    shards: Shards,
    endpoints: &Endpoints,
    (service, key): (&str, &str),
    goes_on: impl Fn() -> bool + Send + 'static,
) -> Result<Option<(usize, Value)>, Error> {
    let take = |seen: &mut Option<Vec<u8>>, _: String, value: Option<&[u8]>| {
        *seen = value.map(<[u8]>::to_vec);
    };
    let found = read(shards, endpoints, service, Some(key), None, take, goes_on).await?;
    Ok(found.map(|bytes| (bytes.len(), json(&bytes))))
}

/// Reads the topic of states, or the key's partition of it, to its end: `take` gets each state, and
/// `None` for one that was deleted. When it no longer `goes_on`, it has timed out.
async fn read<T: Send + 'static>(
    shards: Shards,
    endpoints: &Endpoints,
    service: &str,
    key: Option<&str>,
    mut seen: T,
    mut take: impl FnMut(&mut T, String, Option<&[u8]>) + Send + 'static,
    goes_on: impl Fn() -> bool + Send + 'static,
) -> Result<T, Error> {
    let name = Place::new("", service, &[], 0).state_topic;
    let Shards {
        partitions,
        generation,
    } = shards;
    let partitions = match key {
        Some(key) => {
            let partition = shards.of_key(key);
            partition..partition + 1
        }
        None => 0..partitions,
    };
    let wanted = key.map(str::to_owned);
    let kafka = Kafka::new(&endpoints.kafka);
    let consumer = kafka.reader(GROUP)?;
    let reading = move || {
        let mut list = TopicPartitionList::new();
        for partition in partitions.clone() {
            list.add_partition_offset(&name, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let mut ends = 0;
        let mut heard = Instant::now();
        while ends < partitions.len() {
            if heard.elapsed() > SILENCE || !goes_on() {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            let Some(polled) = consumer.poll(SLICE) else {
                continue;
            };
            heard = Instant::now();
            let message = match polled {
                Ok(message) => message,
                Err(KafkaError::PartitionEOF(_)) => {
                    ends += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // The record without a key is the position.
            let key = message.key().filter(|key| !key.is_empty());
            let Some(Ok(key)) = key.map(|key| String::from_utf8(key.to_vec())) else {
                continue;
            };
            // The others may be too many for memory.
            if wanted.as_ref().is_some_and(|wanted| *wanted != key) {
                continue;
            }
            if generation_of(&message) < Some(generation) {
                continue;
            }
            take(&mut seen, key, message.payload());
        }
        Ok(seen)
    };
    kafka
        .blocking(format!("read the states of {service}"), reading)
        .await
}

fn generation_of(message: &impl Message<Headers: Headers>) -> Option<u32> {
    let mut headers = each_header(message.headers()?);
    let header = headers.find(|header| header.key == GENERATION)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}

/// What is no JSON is shown as text.
fn json(text: &[u8]) -> Value {
    let read = serde_json::from_slice(text);
    read.unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned().into())
}
