//! The catalogue's services that do nothing but decide come to the same in both lanes: what Restate
//! delivered is decided again as one batch, and every record and every state is the same.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_handlers::deciders;
use millstream_pipeline::codec::json::{JsonEncoder, Meta};
use millstream_pipeline::events::Lane;
use millstream_pipeline::lane::batch::handlers::Handlers;
use millstream_pipeline::lane::batch::log::{Decide, Loaded, Position};
use millstream_pipeline::lane::batch::memory::{Memory, Overlay};
use millstream_pipeline::lane::batch::notes::Notes;
use millstream_pipeline::lane::batch::topics::Taken;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::record::Record;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline};
use millstream_topics::TOPICS;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::config;
use crate::support::{LIMIT, client, endpoints, sql, unique, until};

/// The only difference that there may be is what the state says of offsets: the batch lane's are the
/// shard's. An account remembers when movements came, which is later here.
fn comparable(service: &str, mut state: Value) -> Value {
    state["_m"]["o"] = Value::Null;
    if service == "Accounts" {
        state["movements"] = Value::Null;
    }
    state
}

/// Value and headers.
type Told<'r> = (Option<&'r [u8]>, Vec<(&'r str, Option<&'r [u8]>)>);

/// What of the record must be the same: a dead letter tells of the process that kept it.
fn told(record: &Record) -> Told<'_> {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| (&**name, value.as_deref()));
    let headers = match record.topic.ends_with("-dlq") {
        true => headers
            .filter(|(name, _)| name.ends_with("exception.class.name"))
            .collect(),
        false => headers.collect(),
    };
    (record.value.as_deref(), headers)
}

async fn read(
    topic: String,
    wanted: impl Fn(&OwnedMessage) -> bool + Send + 'static,
) -> Vec<OwnedMessage> {
    let reading = move || {
        let consumer: BaseConsumer = config()
            .set("group.id", "test")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions();
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut seen, mut ends) = (Vec::new(), 0);
        while ends < partitions.len() {
            match consumer.poll(LIMIT).unwrap() {
                Ok(message) => seen.push(message.detach()),
                Err(KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{error}"),
            }
        }
        seen.retain(wanted);
        seen
    };
    tokio::task::spawn_blocking(reading).await.unwrap()
}

/// Lets Restate deliver every kind of event that the service handles, three times over; the records in
/// the order in which they were handled, and the state after them.
async fn delivered(decider: &Decider, service: &str, key: &str) -> (Vec<Taken>, Value) {
    let topics = decider.settings().unwrap().topics;
    let (mut taken, mut state) = (Vec::new(), Value::Null);
    for _ in 0..3 {
        // What asks comes first, and so is refused first.
        for (number, topic) in topics.iter().enumerate().rev() {
            let declared = TOPICS.iter().find(|it| it.name == topic).unwrap();
            let registry = &endpoints().schema_registry;
            let mut encoder = JsonEncoder::new(registry, topic, TOPICS).unwrap();
            for event in declared.events {
                let data: Value = serde_json::from_str((event.schema)().example).unwrap();
                let line = json!({ "key": key, "type": event.full_name, "data": data });
                let meta = Meta::From("test".into());
                let record = encoder.line(line, &meta).await.unwrap();
                let (partition, offset) = client().await.send_raw(&record).await.unwrap();
                let place = format!("{topic}/{partition}");
                state = until("the event to be handled", async || {
                    let entries = sql::state(endpoints(), service, key).await;
                    let (_, state) = entries.into_iter().next()?;
                    (state["_m"]["o"][&place][1] == offset).then_some(state)
                })
                .await;
                let is_it =
                    move |it: &OwnedMessage| (it.partition(), it.offset()) == (partition, offset);
                let message = read(topic.clone(), is_it).await.pop().unwrap();
                taken.push(Taken::of(&message, number, 0));
            }
        }
    }
    (taken, state)
}

async fn compare(decider: Decider) {
    let service = decider.settings().unwrap().service;
    let key = unique("both");
    let (taken, kept) = delivered(&decider, &service, &key).await;

    let memory = Memory::new(Loaded {
        states: HashMap::<Arc<str>, Bytes>::new(),
        position: Position(Vec::new()),
        notes: Notes::default(),
    });
    let mut states = Overlay::new(&memory);
    let handlers = Handlers::of(decider);
    let (outputs, _) = handlers.decide(&mut states, taken).await.unwrap();
    let state = states.get(&Arc::from(key.as_str())).unwrap().unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(
        comparable(&service, state),
        comparable(&service, kept),
        "{service}"
    );
    assert!(!outputs.is_empty(), "{service}");
    let mut topics: Vec<_> = outputs.iter().map(|it| it.topic.clone()).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let batch = outputs.iter().filter(|it| it.topic == topic);
        let batch: Vec<_> = batch.map(told).collect();
        let of_key = key.clone().into_bytes();
        let events = read(topic.clone(), move |it| it.key() == Some(&of_key)).await;
        let events: Vec<_> = events.iter().map(Record::copy_of).collect();
        let events: Vec<_> = events.iter().map(told).collect();
        assert_eq!(batch, events, "{service}: {topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_only_decides_comes_to_the_same_in_both_lanes() {
    let pipeline = Pipeline::new(endpoints(), TOPICS, DEFAULT_PREFIX).unwrap();
    let (event, batch): (Vec<_>, Vec<_>) = deciders(&pipeline)
        .into_iter()
        .partition(|it| it.lane() == Lane::Event);
    assert!(event.len() > 5 && !batch.is_empty());
    // What is in the batch lane already has nothing in Restate to be compared with.
    futures::future::join_all(event.into_iter().map(compare)).await;
}
