//! The payment provider of `orders`: it takes `RequestPayment` from the topic `payment-requests` and
//! answers on `payment-confirmations`.
//!
//! It confirms what it is asked, once for each request, unless it is told otherwise for an order.
//! Control: `PUT /orders/{order}` with `"CONFIRM"`, `{"REJECT": reason}` or `"KEEP_SILENT"`;
//! `GET /orders/{order}` lists the transactions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Path, State};
use axum::routing::put;
use axum::{Json, Router};
use millstream_pipeline::codec::{Codec, DecodeError, EncodedBody};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::http;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_pipeline::record::cloudevents;
use millstream_pipeline::record::digest;
use millstream_schemas::payment_confirmations::{PaymentConfirmed, PaymentRejected};
use millstream_schemas::payment_requests::RequestPayment;
use millstream_topics::{PaymentConfirmations, PaymentConfirmationsEvent, PaymentRequests, TOPICS};
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use serde::{Deserialize, Serialize};

/// Where it is below the stand-ins' address.
pub const PATH: &str = "/payment-provider";

/// Its consumer group.
const GROUP: &str = "payment-provider-stand-in";
/// Before it tries again what failed.
const PAUSE: Duration = Duration::from_millis(200);

/// What it says to a request.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Word {
    /// It is paid.
    #[default]
    Confirm,
    /// It cannot be paid, for this reason.
    Reject(String),
    /// Nothing.
    KeepSilent,
}

#[derive(Debug, Default)]
struct Account {
    word: Word,
    /// Requests by the ids of their events: a copy is no second request.
    requests: BTreeSet<String>,
    /// Payments collected.
    transactions: Vec<String>,
}

/// What was asked of it for an order, and collected.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payments {
    /// Requests, without copies.
    pub requests: usize,
    /// Ids of the payments collected.
    pub transactions: Vec<String>,
}

/// The stand-in's books.
#[derive(Clone, Default)]
pub struct Provider(Arc<Mutex<HashMap<String, Account>>>);

impl Provider {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/orders/{order}", put(set_word).get(payments))
            .with_state(self.clone())
    }

    /// What it says to the request with this id. The same request is told the same again.
    fn answer(&self, order: &str, request: &str) -> Option<PaymentConfirmationsEvent> {
        let mut accounts = self.lock();
        let account = accounts.entry(order.to_owned()).or_default();
        account.requests.insert(request.to_owned());
        match account.word.clone() {
            Word::KeepSilent => None,
            Word::Reject(reason) => Some(PaymentRejected { reason }.into()),
            Word::Confirm => {
                let number = digest::hex::<8>(&digest::digest(&[request.as_bytes()]));
                let transaction_id = format!("txn-{number}");
                if !account.transactions.contains(&transaction_id) {
                    account.transactions.push(transaction_id.clone());
                }
                Some(PaymentConfirmed { transaction_id }.into())
            }
        }
    }

    /// Answers requests for ever.
    pub async fn serve(self, endpoints: Endpoints) -> anyhow::Result<()> {
        let codec = Codec::new(&endpoints.schema_registry, TOPICS)?;
        let publisher = Publisher::new(kafka::client(&endpoints.kafka))?;
        let mut config = kafka::client(&endpoints.kafka);
        config
            .set("group.id", GROUP)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            // The topic may be made after this program was started.
            .set("topic.metadata.refresh.interval.ms", "1000");
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&[PaymentRequests::DECLARATION.name])?;
        loop {
            let message = match consumer.recv().await {
                Ok(message) => message,
                Err(error) => {
                    tracing::debug!(%error, "reading payment requests");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let order = String::from_utf8_lossy(message.key().unwrap_or_default());
            let value = message.payload().unwrap_or_default();
            while let Err(error) = self.handle(&codec, &publisher, &order, value).await {
                tracing::warn!(%error, %order, "a payment request is tried again");
                tokio::time::sleep(PAUSE).await;
            }
            if let Err(error) = consumer.commit_message(&message, CommitMode::Async) {
                tracing::debug!(%error, "committing payment requests");
            }
        }
    }

    async fn handle(
        &self,
        codec: &Codec,
        publisher: &Publisher,
        order: &str,
        value: &[u8],
    ) -> anyhow::Result<()> {
        let decoded = match codec.decode::<RequestPayment>(value).await {
            Err(DecodeError::Registry(error)) => return Err(error.into()),
            decoded => decoded.map(|decoded| (decoded.event, decoded.meta)),
        };
        let Ok((Ok(_), Some(request))) = decoded else {
            tracing::warn!(%order, "this is no payment request of ours");
            return Ok(());
        };
        let Some(event) = self.answer(order, &request.id) else {
            return Ok(());
        };
        let body = EncodedBody::of(&event).context("there is an event")??;
        let meta = EventMeta {
            id: digest::derived_id(&request.id, GROUP, 0),
            source: GROUP.to_owned(),
            time: jiff::Timestamp::now().as_microsecond(),
            correlation_id: request.correlation_id,
            causation_id: Some(request.id),
            ..EventMeta::default()
        };
        let value = codec.join(&body, Some(&meta)).await?;
        let topic = PaymentConfirmations::DECLARATION.name;
        let record: Record = cloudevents::record(topic, order, body.schema.full_name, &meta, value);
        publisher.publish(&record).await?;
        Ok(())
    }
}

async fn set_word(
    State(provider): State<Provider>,
    Path(order): Path<String>,
    Json(word): Json<Word>,
) {
    provider.lock().entry(order).or_default().word = word;
}

async fn payments(State(provider): State<Provider>, Path(order): Path<String>) -> Json<Payments> {
    let accounts = provider.lock();
    let account = accounts.get(&order);
    Json(Payments {
        requests: account.map_or(0, |account| account.requests.len()),
        transactions: account.map_or_else(Vec::new, |account| account.transactions.clone()),
    })
}

/// Tells the payment provider of a dev stack what to say.
pub struct ProviderControl {
    url: String,
    client: reqwest::Client,
}

impl ProviderControl {
    /// The control of the dev stack at `endpoints`.
    pub fn of(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let url = endpoints
            .stand_ins
            .as_ref()
            .context("this installation has no stand-ins; the scenario runs on a dev stack only")?;
        Ok(Self {
            url: format!("{url}{PATH}"),
            client: http::client(),
        })
    }

    /// Sets what it says to requests for an order.
    pub async fn says(&self, order: &str, word: Word) -> anyhow::Result<()> {
        let url = http::address(&self.url, ["orders", order])?;
        let answer = self.client.put(url).json(&word).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// What was asked of it and collected for an order.
    pub async fn payments(&self, order: &str) -> anyhow::Result<Payments> {
        let url = http::address(&self.url, ["orders", order])?;
        let answer = self.client.get(url).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
