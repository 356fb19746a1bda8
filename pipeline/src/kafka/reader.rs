//! Reading topics from outside: every record with its meta and its body as JSON.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_events::EventMeta;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::codec::{Codec, DecodeError, Payload};
use crate::kafka::Watch;
use crate::kafka::offsets;
use crate::kafka::publisher::Record;
use crate::record::HeaderList;

/// How long the broker may take to say what partitions a topic has.
const METADATA_LIMIT: Duration = Duration::from_secs(10);

/// How long the registry may be away before a record is handed over undecoded.
const REGISTRY_LIMIT: Duration = Duration::from_secs(10);
const REGISTRY_PAUSE: Duration = Duration::from_millis(100);

/// Where reading starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the oldest record.
    Beginning,
    /// At the next record.
    End,
}

/// One record of a topic.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// Key, with U+FFFD for what is not UTF-8; `None`: null.
    pub key: Option<String>,
    /// The event's full name; `None` when the value could not be decoded.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// `meta` of the event.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "without_nulls"
    )]
    pub meta: Option<EventMeta>,
    /// The event's other fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// Why the value could not be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<String>,
    /// Headers that are text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The value's bytes; `None`: null.
    #[serde(skip)]
    pub value: Option<Vec<u8>>,
    /// The key's bytes; `None`: null.
    #[serde(skip)]
    pub raw_key: Option<Vec<u8>>,
    /// All headers.
    #[serde(skip)]
    pub raw_headers: HeaderList,
}

/// What comes next on the topics.
#[derive(Debug)]
pub enum Next {
    /// A record.
    Record(Box<Seen>),
    /// Nothing for now: all partitions are read to their ends. Told of a single topic only: Kafka
    /// does not say which topic an ended partition belongs to.
    End,
}

/// Reads topics without a consumer group: nothing is committed and nobody else is disturbed.
///
/// A consumer that stands still although records wait gives way to another one, which goes on where
/// it stood.
pub struct Reader {
    config: ClientConfig,
    watch: Arc<Watch>,
    consumer: Arc<StreamConsumer>,
    partitions: usize,
    ended: HashSet<i32>,
    /// Records are handed over undecoded meanwhile.
    registry_is_away: bool,
}

impl Reader {
    /// Reads all partitions of `topics`.
    pub async fn new(
        mut config: ClientConfig,
        topics: &[String],
        from: From,
    ) -> Result<Self, KafkaError> {
        // An end is told when a fetch has waited in vain. Whoever begins there waits for records, which
        // are handed over at once, and would ask the broker for hundreds of partitions again and again.
        let wait = if matches!(from, From::End) {
            "200"
        } else {
            "20"
        };
        config
            .set("group.id", "millstream-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", wait);
        let consumer: Arc<StreamConsumer> = Arc::new(config.create()?);
        let (topics, client) = (topics.to_vec(), config.create::<BaseConsumer>()?);
        let assignment = tokio::task::spawn_blocking(move || assignment(&client, &topics, from))
            .await
            .map_err(|_| KafkaError::Canceled)??;
        consumer.assign(&assignment)?;
        let watch = Watch::new("reader", &config);
        watch.begins(&assignment)?;
        Ok(Self {
            config,
            watch,
            consumer,
            partitions: assignment.count(),
            ended: HashSet::new(),
            registry_is_away: false,
        })
    }

    /// The next record, decoded as far as its schema is known.
    pub async fn next(&mut self, codec: &Codec) -> Result<Next, KafkaError> {
        let message = loop {
            let received = tokio::select! {
                received = self.consumer.recv() => received,
                at = self.watch.deaf(&self.consumer) => {
                    let consumer: StreamConsumer = self.config.create()?;
                    consumer.assign(&at)?;
                    let deaf = std::mem::replace(&mut self.consumer, Arc::new(consumer));
                    // It may take its time to close.
                    tokio::task::spawn_blocking(move || drop(deaf));
                    continue;
                }
            };
            match received {
                Ok(message) => break message.detach(),
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.ended.insert(partition);
                    if self.ended.len() == self.partitions {
                        return Ok(Next::End);
                    }
                }
                // The group is only a name; who may read the topics need not have a right to it.
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
                }
                Err(error) => return Err(error),
            }
        };
        self.ended.remove(&message.partition());
        let mut seen = Seen::of(&message);
        let begun = Instant::now();
        while !seen.decode(codec).await {
            // Once it was waited for in vain, the records that follow are not held up as well.
            if self.registry_is_away || begun.elapsed() > REGISTRY_LIMIT {
                self.registry_is_away = true;
                return Ok(Next::Record(Box::new(seen)));
            }
            tokio::time::sleep(REGISTRY_PAUSE).await;
        }
        self.registry_is_away = false;
        Ok(Next::Record(Box::new(seen)))
    }
}

impl Seen {
    /// A record whose value is not decoded yet.
    pub fn of(message: &impl Message<Headers: Headers>) -> Self {
        let record = Record::copy_of(message);
        let headers = record.headers.iter().filter_map(|(name, value)| {
            Some((
                name.to_string(),
                std::str::from_utf8(value.as_ref()?).ok()?.to_owned(),
            ))
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or(0),
            key: record
                .key
                .as_deref()
                .map(|key| String::from_utf8_lossy(key).into_owned()),
            full_name: None,
            meta: None,
            data: None,
            undecodable: None,
            headers: headers.collect(),
            topic: record.topic,
            value: record.value,
            raw_key: record.key,
            raw_headers: record.headers,
        }
    }

    /// Decodes the value; false when the registry could not be asked what it is.
    pub async fn decode(&mut self, codec: &Codec) -> bool {
        let Some(value) = self.value.as_deref() else {
            self.undecodable = Some("the value is null: a tombstone of its key".into());
            return true;
        };
        match generic(codec, value).await {
            Ok((full_name, meta, data)) => {
                self.full_name = Some(full_name);
                self.meta = meta;
                self.data = Some(data);
                self.undecodable = None;
                true
            }
            Err(error) => {
                self.undecodable = Some(error.to_string());
                !matches!(error, DecodeError::Registry(_))
            }
        }
    }
}

/// Most fields of `meta` are null most of the time.
fn without_nulls<S: Serializer>(
    meta: &Option<EventMeta>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut fields = serde_json::to_value(meta).map_err(S::Error::custom)?;
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    fields.serialize(serializer)
}

/// An event of any kind: full name, `meta`, and its other fields in JSON.
pub async fn generic(
    codec: &Codec,
    value: &[u8],
) -> Result<(String, Option<EventMeta>, serde_json::Value), DecodeError> {
    let look = |payload: &Payload<'_>| {
        let (data, meta) = payload.in_json()?;
        Ok((payload.full_name().to_owned(), meta, data))
    };
    codec.look(value, look).await?
}

fn assignment(
    client: &BaseConsumer,
    topics: &[String],
    from: From,
) -> Result<TopicPartitionList, KafkaError> {
    let mut assignment = TopicPartitionList::new();
    for topic in topics {
        for partition in offsets::partitions(client, topic, METADATA_LIMIT)?.elements() {
            assignment.add_partition_offset(topic, partition.partition(), Offset::Beginning)?;
        }
    }
    match from {
        From::Beginning => Ok(assignment),
        // "At the end" is made a number here: what is produced from now on is seen for sure.
        From::End => offsets::ends(client, &assignment, METADATA_LIMIT),
    }
}
