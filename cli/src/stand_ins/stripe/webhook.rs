//! Delivers webhooks as the provider does: signed, and again until they are taken.

use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_gateway::{STRIPE_HEADER, stripe_signature};
use serde_json::Value;

/// Pause before the first of the further tries; twice as long each time.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Tries of one webhook.
const TRIES: u32 = 50;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Where webhooks go.
pub struct Webhooks {
    /// The route that takes them.
    pub url: String,
    /// What they are signed with; `None`: they are not.
    pub secret: Option<String>,
}

pub struct Sender {
    webhooks: Webhooks,
    client: reqwest::Client,
}

impl Sender {
    pub fn new(webhooks: Webhooks) -> anyhow::Result<Self> {
        let client = millstream_pipeline::http::builder()
            .timeout(LIMIT)
            .build()?;
        Ok(Self { webhooks, client })
    }

    /// Delivers an event.
    pub async fn deliver(&self, event: &Value) {
        let (body, id) = (event.to_string(), &event["id"]);
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            match self.post(&body).await {
                Ok(()) => return,
                Err(error) => tracing::warn!("the webhook {id} is tried again: {error:#}"),
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
        tracing::error!("the webhook {id} cannot be delivered");
    }

    async fn post(&self, body: &str) -> anyhow::Result<()> {
        let request = self.client.post(&self.webhooks.url);
        let mut request = request.header("content-type", "application/json");
        if let Some(secret) = &self.webhooks.secret {
            // Each try has a time of its own.
            let now = jiff::Timestamp::now().as_second();
            let signature = stripe_signature(secret, now, body.as_bytes());
            request = request.header(STRIPE_HEADER, signature.context("the secret is no key")?);
        }
        let answer = request.body(body.to_owned()).send().await?;
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        ensure!(status.is_success(), "{status}: {said}");
        Ok(())
    }
}
