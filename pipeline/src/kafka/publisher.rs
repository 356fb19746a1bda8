//! Producing records: acknowledged by all replicas, in order, and again after a fatal error.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureRecord;

use crate::kafka::Producer;
use crate::observe::metrics::metrics;
use crate::observe::telemetry;
use crate::record::cloudevents;

pub use crate::record::Record;

/// How long a record may wait for its acknowledgement before the attempt fails.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

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

/// An idempotent producer that replaces itself when it is of no more use. Cheap to share.
#[derive(Clone)]
pub struct Publisher {
    producer: Producer,
    /// Takes the records in place of Kafka.
    #[cfg(test)]
    model: Option<std::sync::Arc<dyn TakesRecords>>,
}

/// A model of Kafka.
#[cfg(test)]
pub(crate) trait TakesRecords: Send + Sync {
    /// As [`Publisher::publish`].
    fn take(&self, record: Record)
    -> futures::future::BoxFuture<'static, Result<(), PublishError>>;
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
        let producer = Producer::new("producer", config)?;
        Ok(Self {
            producer,
            #[cfg(test)]
            model: None,
        })
    }

    /// The same with a model in place of Kafka.
    #[cfg(test)]
    pub(crate) fn with_model(self, model: std::sync::Arc<dyn TakesRecords>) -> Self {
        Self {
            model: Some(model),
            ..self
        }
    }

    /// Produces a record and waits until all in-sync replicas have it.
    pub async fn publish(&self, record: &Record) -> Result<(i32, i64), PublishError> {
        #[cfg(test)]
        if let Some(model) = &self.model {
            return model.take(record.clone()).await.map(|()| (0, 0));
        }
        let mut outgoing =
            FutureRecord::<[u8], [u8]>::to(&record.topic).headers(record.owned_headers());
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        let begun = SystemTime::now();
        let timer = metrics().publish_duration.start_timer();
        match self.producer.send(outgoing, DELIVERY_TIMEOUT).await {
            Ok(delivery) => {
                timer.observe_duration();
                let place = (delivery.partition, delivery.offset);
                if telemetry::is_on() {
                    cloudevents::trace(record, place, begun);
                }
                Ok(place)
            }
            Err(error) => {
                timer.stop_and_discard();
                Err(classify(&record.topic, error))
            }
        }
    }

    /// Produces records and waits until all in-sync replicas have them: those of one topic and key one
    /// after the other, up to the first that Kafka does not take, and all others at once. Which of them
    /// Kafka has, and why not all; an error that goes away is told rather than one that does not.
    pub async fn publish_all(&self, records: &[&Record]) -> (Vec<bool>, Option<PublishError>) {
        if let [record] = records {
            let error = self.publish(record).await.err();
            return (vec![error.is_none()], error);
        }
        let (mut chains, mut places) = (Vec::<Vec<usize>>::new(), HashMap::new());
        for (number, record) in records.iter().enumerate() {
            let known = places.entry((&record.topic, &record.key));
            let place = *known.or_insert(chains.len());
            match chains.get_mut(place) {
                Some(chain) => chain.push(number),
                None => chains.push(vec![number]),
            }
        }
        let chains = chains.into_iter().map(|chain| async move {
            let mut sent = Vec::with_capacity(chain.len());
            for number in chain {
                match self.publish(records[number]).await {
                    Ok(_) => sent.push(number),
                    Err(error) => return (sent, Some(error)),
                }
            }
            (sent, None)
        });
        let (mut sent, mut worst) = (vec![false; records.len()], None);
        for (numbers, error) in join_all(chains).await {
            numbers.into_iter().for_each(|number| sent[number] = true);
            worst = match (worst, error) {
                (Some(known @ PublishError::Infrastructure { .. }), _) => Some(known),
                (known, None) => known,
                (_, error) => error,
            };
        }
        (sent, worst)
    }

    /// Whether the brokers have a topic of this name.
    pub async fn has_topic(&self, name: &str) -> Result<bool, KafkaError> {
        self.producer.has_topic(name).await
    }

    /// Waits until everything handed over is acknowledged or given up.
    pub async fn flush(&self, limit: Duration) -> Result<(), KafkaError> {
        self.producer.flush(limit).await
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
