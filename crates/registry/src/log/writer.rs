//! Writing to the log.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureRecord;

use super::Location;
use crate::error::{RegistryError, StoreError};
use crate::record::Record;
use millstream_pipeline::kafka::{self, Producer};

/// How long a record may take to be acknowledged.
const LIMIT: Duration = Duration::from_secs(5);

/// Writes records.
pub struct Writer {
    producer: Producer,
    topic: String,
}

impl Writer {
    /// A writer to this log.
    pub fn new(location: &Location) -> Result<Self, RegistryError> {
        let mut config = kafka::client(&location.kafka);
        config
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", LIMIT.as_millis().to_string())
            .set("request.timeout.ms", LIMIT.as_millis().to_string())
            // Writing a record twice changes nothing, writing two in another order would.
            .set("max.in.flight", "1");
        let producer = Producer::new("registry", config).map_err(RegistryError::Client)?;
        Ok(Writer {
            producer,
            topic: location.topic.clone(),
        })
    }

    /// Writes a record and answers its offset once it is acknowledged by all replicas.
    pub async fn append(&self, record: &Record) -> Result<i64, StoreError> {
        let (key, value) = record
            .write()
            .map_err(|error| StoreError::Kafka(error.to_string()))?;
        let mut message = FutureRecord::<[u8], [u8]>::to(&self.topic).partition(0);
        message = message.key(key.as_ref());
        if let Some(value) = &value {
            message = message.payload(value.as_ref());
        }
        match self.producer.send(message, LIMIT).await {
            Ok(delivery) => Ok(delivery.offset),
            Err(error) => Err(explain(error)),
        }
    }
}

fn explain(error: KafkaError) -> StoreError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => StoreError::TooLarge(error.to_string()),
        Some(
            RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown,
        ) => StoreError::Timeout(error.to_string()),
        _ => StoreError::Kafka(error.to_string()),
    }
}
