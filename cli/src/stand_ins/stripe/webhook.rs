//! Delivers webhooks: as events on `payment-webhooks`.

use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::publish::Publisher;
use millstream_pipeline::{kafka, outgoing};
use millstream_schemas::EventMeta;
use millstream_schemas::payment_webhooks::ProviderEvent;
use millstream_topics::{PaymentWebhooks, TOPICS, Topic};

/// Before it tries again what failed, as providers do.
const PAUSE: Duration = Duration::from_millis(200);
/// Tries of one webhook.
const TRIES: u32 = 50;

pub struct Sender {
    codec: Codec,
    publisher: Publisher,
}

impl Sender {
    pub fn new(endpoints: &Endpoints) -> anyhow::Result<Self> {
        Ok(Self {
            codec: Codec::new(&endpoints.schema_registry, TOPICS)?,
            publisher: Publisher::new(kafka::client(&endpoints.kafka))?,
        })
    }

    /// Delivers a webhook.
    pub async fn deliver(&self, payment: &str, event: &ProviderEvent) {
        for _ in 0..TRIES {
            match self.produce(payment, event).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, payment, "a webhook is tried again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::error!(payment, "a webhook cannot be delivered");
    }

    async fn produce(&self, payment: &str, event: &ProviderEvent) -> anyhow::Result<()> {
        let body = EncodedBody::of(event).context("there is an event")??;
        // Each delivery is an event of its own: only the provider's id says that it is the same.
        let id = uuid::Uuid::now_v7().to_string();
        let meta = EventMeta {
            source: "stripe-stand-in".into(),
            time: jiff::Timestamp::now().as_microsecond(),
            correlation_id: id.clone(),
            id,
            ..EventMeta::default()
        };
        let value = self.codec.join(&body, Some(&meta)).await?;
        let topic = PaymentWebhooks::DECLARATION.name;
        let record = outgoing::record(topic, payment, body.schema.full_name, &meta, value);
        self.publisher.publish(&record).await?;
        Ok(())
    }
}
