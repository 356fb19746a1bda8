//! A producer that is replaced when it is of no more use: after a fatal error, and when it stands
//! still while the brokers answer another client (docs/decisions/0023).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use rdkafka::util::Timeout;

use super::asker::{ANSWER_LIMIT, Asker};
use crate::observe::metrics::metrics;

/// After so long without an acknowledgement it is looked whether the producer stands still.
const SLOW: Duration = Duration::from_secs(4);
/// How long a producer has from the first answer of the brokers to another client on.
const GRACE: Duration = Duration::from_secs(6);

/// A producer. Cheap to share.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    client: &'static str,
    config: ClientConfig,
    current: RwLock<Arc<FutureProducer>>,
    acknowledged: Mutex<HashMap<String, HashMap<i32, Instant>>>,
    /// Held by the one who looks.
    looking: tokio::sync::Mutex<()>,
}

impl Producer {
    /// A producer with these settings. `client` is its name in the metric.
    pub fn new(client: &'static str, config: ClientConfig) -> KafkaResult<Self> {
        let current = RwLock::new(Arc::new(config.create()?));
        Ok(Self(Arc::new(Inner {
            client,
            config,
            current,
            acknowledged: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        })))
    }

    /// Produces a record and waits for its acknowledgement. If the producer is replaced meanwhile the
    /// record counts as not acknowledged: whoever sent it sends it again.
    pub async fn send(
        &self,
        record: FutureRecord<'_, [u8], [u8]>,
        limit: Duration,
    ) -> KafkaResult<Delivery> {
        let (producer, begun) = (self.0.current(), Instant::now());
        let topic = record.topic.to_owned();
        let mut sending = pin!(producer.send(record, Timeout::After(limit)));
        let sent = loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent,
                () = tokio::time::sleep(SLOW) => self.look(&producer, (&topic, None), begun),
            }
        };
        match sent {
            Ok(delivery) => {
                self.0.acknowledge(topic, delivery.partition);
                Ok(delivery)
            }
            Err((error, message)) => {
                if let Some((code, reason)) = producer.client().fatal_error() {
                    self.0.replace_after(&producer, code, &reason);
                } else if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                    let partition = Some(message.partition()).filter(|it| *it >= 0);
                    self.look(&producer, (&topic, partition), begun);
                }
                Err(error)
            }
        }
    }

    /// Whether the brokers have a topic of this name.
    pub async fn has_topic(&self, name: &str) -> KafkaResult<bool> {
        let (producer, name) = (self.0.current(), name.to_owned());
        // Of all topics, since asking for one makes it where brokers make topics by themselves.
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(None, ANSWER_LIMIT)?;
            Ok(metadata.topics().iter().any(|topic| topic.name() == name))
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Waits until everything handed over is acknowledged or given up.
    pub async fn flush(&self, limit: Duration) -> KafkaResult<()> {
        let producer = self.0.current();
        tokio::task::spawn_blocking(move || producer.flush(Timeout::After(limit)))
            .await
            .unwrap_or(Err(KafkaError::Canceled))
    }

    /// Looks, in the background, whether the producer stands still: whoever waits for the record may
    /// be gone before the verdict.
    fn look(
        &self,
        producer: &Arc<FutureProducer>,
        (topic, partition): (&str, Option<i32>),
        begun: Instant,
    ) {
        let (inner, producer, topic) =
            (Arc::clone(&self.0), Arc::clone(producer), topic.to_owned());
        tokio::spawn(async move {
            let Ok(_alone) = inner.looking.try_lock() else {
                return;
            };
            for pause in [Duration::ZERO, GRACE] {
                tokio::time::sleep(pause).await;
                let is_current = Arc::ptr_eq(&inner.current(), &producer);
                if !is_current || inner.is_acknowledged(&topic, partition, begun) {
                    return;
                }
                let (mut asker, asked) = (Asker::new(&inner.config), topic.clone());
                let asked = tokio::task::spawn_blocking(move || asker.has_leaders(&asked));
                if !matches!(asked.await, Ok(Ok(true))) {
                    return;
                }
            }
            if inner.is_acknowledged(&topic, partition, begun) {
                return;
            }
            tracing::error!(
                client = inner.client,
                topic,
                seconds = begun.elapsed().as_secs(),
                "a producer gets no acknowledgement although the brokers answer others; another one takes its place"
            );
            let label = [inner.client];
            if inner.replace(&producer) {
                metrics()
                    .kafka_clients_renewed
                    .with_label_values(&label)
                    .inc();
            }
        });
    }
}

impl Inner {
    fn current(&self) -> Arc<FutureProducer> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn acknowledge(&self, topic: String, partition: i32) {
        let mut all = self
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.entry(topic)
            .or_default()
            .insert(partition, Instant::now());
    }

    /// Whether anything was acknowledged since, in this partition or, if none is named, in any.
    fn is_acknowledged(&self, topic: &str, partition: Option<i32>, since: Instant) -> bool {
        let all = self
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut times = all.get(topic).into_iter().flatten();
        times.any(|(at, time)| partition.is_none_or(|wanted| wanted == *at) && *time > since)
    }

    /// A fatal error is final for a producer: without a new one every record would fail.
    fn replace_after(&self, failed: &Arc<FutureProducer>, code: RDKafkaErrorCode, reason: &str) {
        if self.replace(failed) {
            tracing::warn!(%code, reason, "the Kafka producer failed for good; a new one takes over");
            metrics().producer_restarts.inc();
        }
    }

    /// Puts a new one in its place, unless somebody has done so. What the old one still holds fails.
    fn replace(&self, old: &Arc<FutureProducer>) -> bool {
        {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if !Arc::ptr_eq(&current, old) {
                return false;
            }
            match self.config.create() {
                Ok(producer) => *current = Arc::new(producer),
                Err(error) => {
                    tracing::error!(%error, "no new Kafka producer can be made");
                    return false;
                }
            }
        }
        let old = Arc::clone(old);
        // Both block.
        tokio::task::spawn_blocking(move || {
            old.purge(PurgeConfig::default().queue().inflight());
            drop(old);
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_producer_that_gets_nothing_acknowledged_gives_way_to_another_one() {
        let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = crate::kafka::client(&cluster.bootstrap_servers());
        crate::kafka::producer(&mut config);
        let producer = Producer::new("test-producer", config).unwrap();
        let limit = Duration::from_secs(30);
        let send = || producer.send(FutureRecord::<[u8], [u8]>::to("t").payload(b"x"), limit);
        send().await.unwrap();
        let first = producer.0.current();
        // An error that is tried again by the producer itself, for ever.
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
        cluster.request_errors(RDKafkaApiKey::Produce, &[error; 1000]);
        let failed = send().await.unwrap_err();
        let code = failed.rdkafka_error_code();
        // Not that its time was over.
        assert!(
            matches!(
                code,
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
            ),
            "{failed}"
        );
        assert!(!Arc::ptr_eq(&first, &producer.0.current()));
        let renewed = metrics()
            .kafka_clients_renewed
            .with_label_values(&["test-producer"]);
        assert!(renewed.get() >= 1);
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
        send().await.unwrap();
    }
}
