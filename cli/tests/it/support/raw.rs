//! Records with the timestamp or on the partition that only a foreign producer would give them.

use std::time::Duration;

use millstream_pipeline::config::Endpoints;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::bench::At;

/// A record and its place.
#[derive(Clone, Copy)]
pub struct Raw<'r> {
    pub topic: &'r str,
    pub key: &'r str,
    pub value: &'r [u8],
    /// Milliseconds since 1970-01-01 UTC; `None`: now.
    pub timestamp: Option<i64>,
    /// `None`: where Java's client puts the key.
    pub partition: Option<i32>,
}

impl Raw<'_> {
    pub async fn send(self, endpoints: &Endpoints) -> At {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &endpoints.kafka)
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let record = FutureRecord {
            topic: self.topic,
            partition: self.partition,
            payload: Some(self.value),
            key: Some(self.key),
            timestamp: self.timestamp,
            headers: None,
        };
        let sent = producer.send(record, Duration::from_secs(30)).await;
        let sent = sent.map_err(|(error, _)| error).unwrap();
        (sent.partition, sent.offset)
    }
}
