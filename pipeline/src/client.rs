//! A client as an application outside has one: it sends events and awaits their results.
//!
//! One reader follows the result and dead letter topics, and those that no handler is subscribed to,
//! from the moment the client is made; every request waits for the first result that it caused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_events::{Declaration, Event, EventMeta, Topic};
use rdkafka::error::KafkaError;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::codec::{Codec, EncodeError, EncodedBody, RegistryError};
use crate::config::Endpoints;
use crate::failure::Failure;
use crate::identity::Signer;
use crate::kafka;
use crate::kafka::publisher::{PublishError, Publisher, Record};
use crate::kafka::reader::{From, Next, Reader, Seen};
use crate::record::cloudevents;

/// Sends events and sees what comes of them.
pub struct Client {
    name: String,
    codec: Arc<Codec>,
    publisher: Publisher,
    signer: Option<Arc<Signer>>,
    log: Arc<Mutex<Log>>,
    changed: watch::Receiver<usize>,
    _reader: DropGuard,
}

/// What was read so far.
#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    /// By the id of the event that caused it. Looking through `seen`, as [`Client::wait_for`] does,
    /// would take a client with many requests ever longer.
    results: HashMap<String, Caused>,
}

/// The first result that an event caused: its place in [`Log::seen`].
enum Caused {
    Seen(usize),
    Awaited(Vec<oneshot::Sender<usize>>),
}

impl Log {
    fn take(&mut self, record: Seen) {
        let at = self.seen.len();
        let cause = record
            .meta
            .as_ref()
            .and_then(|meta| meta.causation_id.clone());
        if let Some(cause) = cause.filter(|_| record.topic.ends_with("-results")) {
            let awaited = || Caused::Awaited(Vec::new());
            let caused = self.results.entry(cause).or_insert_with(awaited);
            if let Caused::Awaited(waiting) = caused {
                for each in waiting.drain(..) {
                    // Whoever has given up does not listen any more.
                    let _ = each.send(at);
                }
                *caused = Caused::Seen(at);
            }
        }
        self.seen.push(record);
    }
}

/// What a client can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Kafka is not there or does not have the topics.
    #[error("Kafka: {0}; does it run, and was `{program} apply` run?", program = crate::program::name())]
    Kafka(#[from] KafkaError),
    /// The registry is not there.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The event does not fit its schema.
    #[error(transparent)]
    Event(#[from] Failure),
    /// The event was not acknowledged.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What was waited for has not come.
    #[error("{what} has not come within {limit:?}; look at `{program} status`", program = crate::program::name())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
}

impl std::convert::From<EncodeError> for ClientError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Event(failure) => Self::Event(failure),
            EncodeError::Registry(error) => Self::Registry(error),
        }
    }
}

impl Client {
    /// A client called `name` that follows the results and dead letters of these topics, and those
    /// of them that are meant for somebody outside.
    pub async fn new(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        name: &str,
    ) -> Result<Self, ClientError> {
        let topics: Vec<String> = declarations
            .iter()
            .flat_map(|topic| {
                let results = topic
                    .results
                    .as_ref()
                    .map(|results| results.name.to_owned());
                let once = topic.results.as_ref().and_then(|results| results.once);
                let once = once.map(|once| once.name.to_owned());
                let letters = topic.dead_letters.then(|| topic.dead_letter_topic());
                let is_outside = topic.subscriptions.is_empty() && !topic.is_of_results();
                let outside = is_outside.then(|| topic.name.to_owned());
                results
                    .into_iter()
                    .chain(once)
                    .chain(letters)
                    .chain(outside)
            })
            .collect();
        let codec = Arc::new(Codec::new(&endpoints.schema_registry, declarations)?);
        let kafka = kafka::client(&endpoints.kafka);
        let reader = Reader::new(kafka.clone(), &topics, From::End).await?;
        let log: Arc<Mutex<Log>> = Arc::default();
        let (count, changed) = watch::channel(0);
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow(
            reader,
            Arc::clone(&codec),
            Arc::clone(&log),
            count,
        )));
        Ok(Self {
            name: name.to_owned(),
            codec,
            publisher: Publisher::new(kafka)?,
            signer: None,
            log,
            changed,
            _reader: stop.drop_guard(),
        })
    }

    /// Proves the principals of what it sends, with a key that the handlers trust.
    pub fn signing(mut self, signer: Arc<Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// A fresh `meta`: an id of its own, now, and a request of its own.
    pub fn meta(&self) -> EventMeta {
        let id = uuid::Uuid::now_v7().to_string();
        EventMeta {
            correlation_id: id.clone(),
            id,
            source: self.name.clone(),
            time: jiff::Timestamp::now().as_microsecond(),
            ..EventMeta::default()
        }
    }

    /// Produces an event of `T` and waits until Kafka has it.
    pub async fn send<T: Topic>(
        &self,
        key: &str,
        event: impl Into<T::Event>,
        meta: Option<&EventMeta>,
    ) -> Result<(i32, i64), ClientError> {
        let event = event.into();
        let Some(body) = EncodedBody::of(&event) else {
            unreachable!("a topic without events has no event to send");
        };
        let body = body?;
        let topic = T::DECLARATION.name;
        let signer = self.signer.as_ref();
        let signed = signer
            .zip(meta)
            .map(|(it, meta)| it.signed((topic, key), &body, meta));
        let meta = signed.as_deref().or(meta);
        let value = self.codec.join(&body, meta).await?;
        let record = match meta {
            Some(meta) => cloudevents::record(topic, key, body.schema.full_name, meta, value),
            None => Record {
                topic: topic.to_owned(),
                key: Some(key.as_bytes().to_vec()),
                value: Some(value),
                headers: Vec::new(),
            },
        };
        Ok(self.publisher.publish(&record).await?)
    }

    /// Produces any bytes.
    pub async fn send_raw(&self, record: &Record) -> Result<(i32, i64), ClientError> {
        Ok(self.publisher.publish(record).await?)
    }

    /// Sends a command and awaits its result.
    pub async fn request<T: Topic>(
        &self,
        key: &str,
        command: impl Into<T::Event>,
        limit: Duration,
    ) -> Result<Seen, ClientError> {
        let meta = self.meta();
        self.request_with::<T>(key, command, meta, limit).await
    }

    /// Sends a command with this `meta` and awaits its result.
    pub async fn request_with<T: Topic>(
        &self,
        key: &str,
        command: impl Into<T::Event>,
        meta: EventMeta,
        limit: Duration,
    ) -> Result<Seen, ClientError> {
        self.send::<T>(key, command, Some(&meta)).await?;
        self.result_of(&meta, limit).await
    }

    /// Awaits the result caused by the event with this `meta`. It may cause other events, too.
    pub async fn result_of(&self, meta: &EventMeta, limit: Duration) -> Result<Seen, ClientError> {
        let came = {
            let mut log = self.log();
            let Log { seen, results } = &mut *log;
            let awaited = || Caused::Awaited(Vec::new());
            match results.entry(meta.id.clone()).or_insert_with(awaited) {
                Caused::Seen(at) => return Ok(seen[*at].clone()),
                Caused::Awaited(waiting) => {
                    let (tell, came) = oneshot::channel();
                    waiting.push(tell);
                    came
                }
            }
        };
        match tokio::time::timeout(limit, came).await {
            Ok(Ok(at)) => Ok(self.log().seen[at].clone()),
            _ => Err(ClientError::TimedOut {
                what: format!("the result of {}", meta.id),
                limit,
            }),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits the first record seen so far or later for which `wanted` holds.
    pub async fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<Seen, ClientError> {
        let mut changed = self.changed.clone();
        let search = async {
            let mut checked = 0;
            loop {
                {
                    let log = self.log();
                    let mut new = log.seen[checked..].iter();
                    if let Some(found) = new.find(|seen| wanted(seen)) {
                        return Some(found.clone());
                    }
                    checked = log.seen.len();
                }
                changed.wait_for(|count| *count > checked).await.ok()?;
            }
        };
        match tokio::time::timeout(limit, search).await {
            Ok(Some(found)) => Ok(found),
            _ => Err(ClientError::TimedOut {
                what: what.to_owned(),
                limit,
            }),
        }
    }

    /// All records seen so far for which `wanted` holds.
    pub fn seen(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let log = self.log();
        let found = log.seen.iter().filter(|seen| wanted(seen));
        found.cloned().collect()
    }
}

impl Seen {
    /// The event as `E`; the failure says what came instead.
    pub fn event<E: Event>(&self) -> Result<E, Failure> {
        let data = self.data.clone().unwrap_or_default();
        let name = self.full_name.as_deref().unwrap_or("an undecodable value");
        let came = || {
            Failure::new(
                crate::failure::UNKNOWN_TYPE,
                format!("{name} came instead: {data}"),
            )
        };
        if name != E::FULL_NAME {
            return Err(came());
        }
        serde_json::from_value(data.clone()).map_err(|_| came())
    }

    /// Text of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

async fn follow(
    mut reader: Reader,
    codec: Arc<Codec>,
    log: Arc<Mutex<Log>>,
    count: watch::Sender<usize>,
) {
    loop {
        match reader.next(&codec).await {
            Ok(Next::End) => {}
            Ok(Next::Record(record)) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.take(*record);
                count.send_replace(log.seen.len());
            }
            // librdkafka reconnects by itself; it only tells that it has to.
            Err(error) => tracing::debug!(%error, "reading results"),
        }
    }
}
