//! Producing events to their topics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::codec::{Codec, join};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, EventSchema};
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::record::cloudevents;
use millstream_topics::TOPICS;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::Timeout;

use super::{Account, Outgoing};
use crate::load::plan::Plan;

/// How long records may take to be acknowledged at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// Pause before a full queue is tried again.
const FULL: Duration = Duration::from_millis(1);

/// A producer that tells the account of acknowledgements.
pub struct Kafka {
    plan: Arc<Plan>,
    producer: ThreadedProducer<Deliveries>,
    /// Schema and its id in the registry, of each part.
    schemas: Vec<(&'static EventSchema, u32)>,
    account: Account,
}

struct Deliveries(Account);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let at = self.0.clock.now();
        match result {
            Ok(_) => self.0.tracker().acknowledged(number, at),
            Err((error, _)) => {
                tracing::debug!(%error, number, "not acknowledged");
                self.0.tracker().unacknowledged(number);
            }
        }
    }
}

impl Kafka {
    /// A producer; the schemas must be registered.
    pub async fn new(
        plan: &Arc<Plan>,
        endpoints: &Endpoints,
        account: &Account,
    ) -> anyhow::Result<Self> {
        let codec = Codec::new(&endpoints.schema_registry, TOPICS)?;
        let mut schemas = Vec::new();
        for part in &plan.parts {
            let schema = (part.event.schema)();
            schemas.push((schema, codec.schema_id(schema).await?));
        }
        let mut config = millstream_pipeline::kafka::client(&endpoints.kafka);
        millstream_pipeline::kafka::producer(&mut config)
            // A millisecond in which records gather: at thousands a second the broker would
            // otherwise spend on requests what the system under test needs.
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "262144");
        let producer =
            ThreadedProducer::from_config_and_context(&config, Deliveries(account.clone()))?;
        Ok(Self {
            plan: Arc::clone(plan),
            producer,
            schemas,
            account: account.clone(),
        })
    }

    /// The record of an event.
    pub fn prepare(&self, event: Outgoing) -> anyhow::Result<Record> {
        let part = &self.plan.parts[event.part];
        let (schema, id) = self.schemas[event.part];
        let body = schema
            .body_writer()
            .write_value_to_vec(event.body)
            .with_context(|| format!("an event does not fit {}", schema.full_name))?;
        let event_id = format!("{}-{}", self.plan.run, event.number);
        let meta = EventMeta {
            correlation_id: event_id.clone(),
            source: "loadtest".into(),
            // Of the intended time, as all figures.
            time: self.account.clock.unix(event.micros),
            idempotency_key: part.idempotency_keys.then(|| event_id.clone()),
            id: event_id,
            ..EventMeta::default()
        };
        let value = join(id, &body, Some(&meta));
        Ok(cloudevents::record(
            part.topic.name,
            &event.key,
            schema.full_name,
            &meta,
            value,
        ))
    }

    /// Gives a record to the producer. Waits only while its queue is full: the account shows then
    /// how late events are sent.
    pub fn hand_over(&self, number: usize, record: &Record) {
        loop {
            let mut outgoing =
                BaseRecord::<[u8], [u8], usize>::with_opaque_to(&record.topic, number)
                    .headers(record.owned_headers());
            outgoing.key = record.key.as_deref();
            outgoing.payload = record.value.as_deref();
            match self.producer.send(outgoing) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(FULL);
                }
                Err((error, _)) => {
                    tracing::debug!(%error, number, "not produced");
                    return self.account.tracker().unacknowledged(number);
                }
            }
        }
    }

    /// Waits for acknowledgements.
    pub fn flush(&self) {
        if let Err(error) = self.producer.flush(Timeout::After(FLUSH_LIMIT)) {
            tracing::warn!(%error, "not all events were acknowledged");
        }
    }
}
