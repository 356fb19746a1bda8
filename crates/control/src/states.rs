//! States of objects, in whichever lane they are: Restate's, or a topic's.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_events::{Declaration, Lane};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::lane::batch::topics::Place;
use millstream_pipeline::record::partition;
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
    match declarations.iter().find_map(|it| place_of(it, service)) {
        Some(place) => in_topic(place, endpoints, service, key).await,
        None => in_restate(endpoints, service, key).await,
    }
}

/// The partitions and the generation of a service of the batch lane, if it reads a topic of this one.
fn place_of(declaration: &Declaration, service: &str) -> Option<(i32, u32)> {
    let once = declaration.results.as_ref().and_then(|results| {
        let once = results.once.filter(|once| once.service == service)?;
        Some((results.partitions, once.generation))
    });
    let mut handlers = declaration.subscriptions.iter();
    let is_leased = declaration.lane == Lane::Batch && handlers.any(|to| to.service == service);
    once.or(is_leased.then_some((declaration.partitions, declaration.generation)))
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

/// Reads the topic of states, or the key's partition of it, to its end.
async fn in_topic(
    (partitions, generation): (i32, u32),
    endpoints: &Endpoints,
    service: &str,
    key: Option<&str>,
) -> Result<Vec<ObjectState>, Error> {
    let name = Place::new("", service, &[], 0).state_topic;
    let partitions = match key {
        Some(key) => {
            let partition = partition::of_key(key.as_bytes(), partitions);
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
        let (mut states, mut ends) = (BTreeMap::new(), 0);
        while ends < partitions.len() {
            let polled = consumer.poll(SILENCE);
            let silent = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
            let message = match polled.unwrap_or(Err(silent)) {
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
            match message.payload() {
                Some(value) => states.insert(key, json(value)),
                None => states.remove(&key),
            };
        }
        Ok(states)
    };
    let states = kafka.blocking(format!("read the states of {service}"), reading);
    let states = states.await?.into_iter();
    let states = states.map(|(key, state)| ObjectState { key, state });
    Ok(states.collect())
}

fn generation_of(message: &impl Message<Headers: Headers>) -> Option<u32> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == GENERATION)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}

/// What is no JSON is shown as text.
fn json(text: &[u8]) -> Value {
    let read = serde_json::from_slice(text);
    read.unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned().into())
}
