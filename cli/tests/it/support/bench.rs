//! Records made byte by byte, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::client::Client;
use millstream_pipeline::codec::{Codec, EncodedBody, with_meta};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Event, EventMeta, EventSet, RequestFailed, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::{HeaderList, wire};
use millstream_topics::TOPICS;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::{LIMIT, client_of, until};

/// Where a record was put: partition and offset.
pub type At = (i32, i64);

/// A client that can also send what no client should.
pub struct Bench {
    pub client: Arc<Client>,
    pub codec: Codec,
    endpoints: Endpoints,
    http: reqwest::Client,
}

impl Bench {
    pub async fn new(endpoints: &Endpoints) -> Self {
        Self {
            client: client_of(endpoints).await,
            codec: Codec::new(&endpoints.schema_registry, TOPICS).unwrap(),
            endpoints: endpoints.clone(),
            http: millstream_pipeline::http::builder()
                .no_proxy()
                .build()
                .unwrap(),
        }
    }

    /// The bytes of a good event.
    pub async fn value<E: EventSet>(&self, event: &E, meta: Option<&EventMeta>) -> Vec<u8> {
        let body = EncodedBody::of(event).unwrap().unwrap();
        self.codec.join(&body, meta).await.unwrap()
    }

    /// Registers `E`'s schema after `change`, under a subject of its own; its id.
    pub async fn register<E: Event>(&self, subject: &str, change: impl FnOnce(&mut Value)) -> u32 {
        let mut schema: Value = serde_json::from_str(E::schema().json).unwrap();
        change(&mut schema);
        let url = format!(
            "{}/subjects/{subject}/versions",
            self.endpoints.schema_registry
        );
        let answer = self
            .http
            .post(url)
            .json(&json!({ "schema": schema.to_string() }))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        u32::try_from(answer["id"].as_u64().unwrap()).unwrap()
    }

    pub async fn send(&self, topic: &str, key: Option<&str>, value: Option<&[u8]>) -> At {
        self.send_with_headers(topic, key, value, Vec::new()).await
    }

    pub async fn send_with_headers(
        &self,
        topic: &str,
        key: Option<&str>,
        value: Option<&[u8]>,
        headers: HeaderList,
    ) -> At {
        let record = Record {
            topic: topic.to_owned(),
            key: key.map(|key| key.as_bytes().to_vec()),
            value: value.map(<[u8]>::to_vec),
            headers,
        };
        self.client.send_raw(&record).await.unwrap()
    }

    /// The dead letter of the record at this place.
    pub async fn dead_letter(&self, topic: &str, at: At) -> Seen {
        let what = format!("the dead letter of {topic}/{}/{}", at.0, at.1);
        self.client
            .wait_for(&what, LIMIT, |seen| is_letter_of(seen, topic, at))
            .await
            .unwrap()
    }

    /// The dead letters of the record at this place that have come so far.
    pub fn dead_letters(&self, topic: &str, at: At) -> Vec<Seen> {
        self.client.seen(|seen| is_letter_of(seen, topic, at))
    }

    /// What was answered to the event with this id so far.
    pub fn answers(&self, id: &str) -> Vec<Seen> {
        self.client.seen(|seen| {
            let meta = seen.meta.as_ref();
            !seen.topic.ends_with("-dlq")
                && !seen.topic.ends_with("-results-once")
                && meta.and_then(|meta| meta.causation_id.as_deref()) == Some(id)
        })
    }

    /// Waits until everything that comes of earlier records of this key has come: dead letter
    /// topics have one partition, so its dead letter is the last.
    pub async fn settle(&self, topic: &Declaration, key: &str) {
        let at = self.send(topic.name, Some(key), Some(b"\x01")).await;
        self.dead_letter(topic.name, at).await;
    }

    /// Waits until the subscription to `T` has nothing left up to this place.
    pub async fn no_lag<T: Topic>(&self, at: At) {
        let topic = T::DECLARATION;
        let to = topic.subscriptions.first().unwrap();
        let group = format!("millstream.{}.{}.{}", topic.name, to.service, to.handler);
        let mut config = kafka::client(&self.endpoints.kafka);
        config.set("group.id", group);
        let consumer: std::sync::Arc<BaseConsumer> = std::sync::Arc::new(config.create().unwrap());
        until("the subscription's commit", || {
            let consumer = std::sync::Arc::clone(&consumer);
            async move {
                let committed = tokio::task::spawn_blocking(move || {
                    let mut wanted = TopicPartitionList::new();
                    wanted.add_partition(topic.name, at.0);
                    consumer.committed_offsets(wanted, Duration::from_secs(5))
                });
                let committed = committed.await.unwrap().ok()?;
                let offset = committed.find_partition(topic.name, at.0)?.offset();
                matches!(offset, Offset::Offset(next) if next > at.1).then_some(())
            }
        })
        .await;
    }
}

/// A value of a record with text fields only, written with the schema of this id.
pub fn texts(schema_id: u32, fields: &[&str], meta: Option<&EventMeta>) -> Vec<u8> {
    let mut value = wire::header(schema_id).to_vec();
    for field in fields {
        // Avro's length of a short text: zigzag, in one byte.
        value.push(u8::try_from(field.len() * 2).unwrap());
        value.extend_from_slice(field.as_bytes());
    }
    value.push(0);
    meta.map_or(value.clone(), |meta| with_meta(&value, meta).unwrap())
}

/// The code of a `RequestFailed`.
pub fn failure(seen: &Seen) -> String {
    seen.event::<RequestFailed>().unwrap().code
}

/// The code of a dead letter.
pub fn letter_code(letter: &Seen) -> &str {
    letter
        .header("__connect.errors.exception.class.name")
        .unwrap()
}

fn is_letter_of(seen: &Seen, topic: &str, (partition, offset): At) -> bool {
    seen.topic == format!("{topic}-dlq")
        && seen.header("__connect.errors.partition") == Some(partition.to_string().as_str())
        && seen.header("__connect.errors.offset") == Some(offset.to_string().as_str())
}

/// Rows of a query to Restate's admin API.
pub async fn query(restate_admin: &str, sql: &str) -> Vec<Value> {
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    let answer = http
        .post(format!("{restate_admin}/query"))
        .header("accept", "application/json")
        .json(&json!({ "query": sql }))
        .timeout(LIMIT)
        .send()
        .await
        .unwrap();
    let mut answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    serde_json::from_value(answer["rows"].take()).unwrap()
}
