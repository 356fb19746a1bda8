//! Producing records: acknowledged by all replicas, in order, and again after a fatal error.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;

use crate::metrics::metrics;
use crate::outgoing;

/// How long a record may wait for its acknowledgement before the attempt fails.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// A record to be produced.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Key; `None`: null.
    pub key: Option<Vec<u8>>,
    /// Value; `None`: null.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// What a consumed message holds, its headers included.
    pub fn copy_of(message: &impl Message<Headers: Headers>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect()
        });
        Self {
            topic: message.topic().to_owned(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }
}

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The record itself can never be produced.
    #[error("the broker can never take this record for {topic}: {source}")]
    Record {
        /// Where it was to go.
        topic: String,
        /// What Kafka said.
        source: KafkaError,
    },
    /// Kafka cannot take it now: try again.
    #[error("Kafka did not acknowledge a record for {topic}: {source}; it is tried again")]
    Infrastructure {
        /// Where it was to go.
        topic: String,
        /// What Kafka said.
        source: KafkaError,
    },
}

/// An idempotent producer that replaces itself after a fatal error. Cheap to share.
pub struct Publisher {
    config: ClientConfig,
    producer: RwLock<Arc<FutureProducer>>,
}

impl Publisher {
    /// A producer with these client settings. It sends each record at once.
    pub fn new(config: ClientConfig) -> Result<Self, KafkaError> {
        // A handler waits for each acknowledgement: a lingering record would only be late.
        Self::with_linger(config, Duration::ZERO)
    }

    /// A producer that lets records wait for others to go with, which is less work for the broker.
    pub fn with_linger(mut config: ClientConfig, linger: Duration) -> Result<Self, KafkaError> {
        crate::kafka::producer(&mut config)
            .set("linger.ms", linger.as_millis().to_string())
            .set("queue.buffering.max.messages", "100000")
            .set(
                "delivery.timeout.ms",
                DELIVERY_TIMEOUT.as_millis().to_string(),
            );
        let producer = RwLock::new(Arc::new(config.create()?));
        Ok(Self { config, producer })
    }

    /// Produces a record and waits until all in-sync replicas have it.
    pub async fn publish(&self, record: &Record) -> Result<(i32, i64), PublishError> {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        let mut outgoing = FutureRecord::<[u8], [u8]>::to(&record.topic).headers(headers);
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        let begun = SystemTime::now();
        let timer = metrics().publish_duration.start_timer();
        match producer
            .send(outgoing, Timeout::After(DELIVERY_TIMEOUT))
            .await
        {
            Ok(delivery) => {
                timer.observe_duration();
                let place = (delivery.partition, delivery.offset);
                outgoing::trace(record, place, begun);
                Ok(place)
            }
            Err((error, _)) => {
                timer.stop_and_discard();
                self.replace_if_fatal(&producer);
                Err(classify(&record.topic, error))
            }
        }
    }

    /// Waits until everything handed over is acknowledged or given up.
    pub async fn flush(&self, limit: Duration) -> Result<(), KafkaError> {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(move || producer.flush(Timeout::After(limit)))
            .await
            .unwrap_or(Err(KafkaError::Canceled))
    }

    /// A fatal error is final for this producer: without a new one every record would fail.
    fn replace_if_fatal(&self, failed: &Arc<FutureProducer>) {
        let Some((code, reason)) = failed.client().fatal_error() else {
            return;
        };
        let mut current = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, failed) {
            return;
        }
        match self.config.create() {
            Ok(producer) => {
                tracing::warn!(%code, reason, "the Kafka producer failed for good; a new one takes over");
                metrics().producer_restarts.inc();
                *current = Arc::new(producer);
            }
            Err(error) => tracing::error!(%error, "no new Kafka producer can be made"),
        }
    }
}

/// A missing topic is infrastructure: only declared topics are ever named, so somebody has yet to
/// create it or has deleted it.
fn classify(topic: &str, source: KafkaError) -> PublishError {
    use RDKafkaErrorCode::{
        InvalidMessage, InvalidMessageSize, InvalidRecord, MessageSizeTooLarge,
    };
    let topic = topic.to_owned();
    match source.rdkafka_error_code() {
        Some(InvalidMessage | InvalidMessageSize | InvalidRecord | MessageSizeTooLarge) => {
            metrics()
                .publish_errors
                .with_label_values(&["record"])
                .inc();
            PublishError::Record { topic, source }
        }
        _ => {
            metrics()
                .publish_errors
                .with_label_values(&["infrastructure"])
                .inc();
            PublishError::Infrastructure { topic, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::DefaultProducerContext;

    fn record(topic: &str, value: usize) -> Record {
        Record {
            topic: topic.into(),
            value: Some(vec![0; value]),
            ..Record::default()
        }
    }

    /// The one fault that no real broker can be asked for: librdkafka's own stand-in gives it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_fatal_error_makes_a_new_producer() {
        let cluster = MockCluster::<DefaultProducerContext>::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let _ = MockCoordinator::Group("unused".into());
        let publisher = Publisher::new(crate::kafka::client(&cluster.bootstrap_servers())).unwrap();
        publisher.publish(&record("t", 1)).await.unwrap();
        let restarts = metrics().producer_restarts.get();
        cluster.request_errors(
            rdkafka::types::RDKafkaApiKey::Produce,
            &[rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 4],
        );
        let error = publisher.publish(&record("t", 2)).await.unwrap_err();
        assert!(
            matches!(error, PublishError::Infrastructure { .. }),
            "{error}"
        );
        cluster.clear_request_errors(rdkafka::types::RDKafkaApiKey::Produce);
        publisher.publish(&record("t", 3)).await.unwrap();
        assert_eq!(metrics().producer_restarts.get(), restarts + 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_too_large_is_the_records_fault() {
        let cluster = MockCluster::<DefaultProducerContext>::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let publisher = Publisher::new(crate::kafka::client(&cluster.bootstrap_servers())).unwrap();
        let error = publisher
            .publish(&record("t", 3_000_000))
            .await
            .unwrap_err();
        assert!(matches!(error, PublishError::Record { .. }), "{error}");
    }
}
