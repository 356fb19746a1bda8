//! Tells the stand-in how to behave, payment by payment, by the id that the payment has here.
//!
//! `PUT /payments/{payment}` with a [`Plan`], before the payment is made; `GET` tells what was asked;
//! `PUT /payments/{payment}/settlement` decides now.

use anyhow::Context;
use axum::Json;
use axum::extract::{Path, State};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::http;
use serde::{Deserialize, Serialize};

use super::{PATH, Server};

/// When a webhook is delivered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// Before the answer to the request that makes the payment.
    AtOnce,
    /// When the payment is decided.
    #[default]
    Later,
    /// Then, and once more.
    Twice,
    /// Not at all.
    Never,
}

/// How a payment is treated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Its webhook.
    pub delivery: Delivery,
    /// Milliseconds until a delayed payment is decided and a webhook delivered.
    pub settle_ms: u64,
    /// Milliseconds until the request is answered.
    pub answer_ms: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            delivery: Delivery::default(),
            settle_ms: 300,
            answer_ms: 0,
        }
    }
}

/// What was asked about a payment.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Payments made under its id.
    pub intents: usize,
    /// Questions what became of it.
    pub questions: u32,
}

pub async fn plan(
    State(server): State<Server>,
    Path(payment): Path<String>,
    Json(plan): Json<Plan>,
) {
    server.books().plans.insert(payment, plan);
}

pub async fn seen(State(server): State<Server>, Path(payment): Path<String>) -> Json<Seen> {
    Json(server.books().seen(&payment))
}

pub async fn settle(State(server): State<Server>, Path(payment): Path<String>) {
    let ids = server.books().ids(&payment);
    for id in ids {
        server.settle(&id).await;
    }
}

/// The control of a dev stack's stand-in.
pub struct Stripe {
    url: String,
    client: reqwest::Client,
}

impl Stripe {
    /// The control of the dev stack at `endpoints`.
    pub fn of(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let url = endpoints
            .stand_ins
            .as_ref()
            .context("this installation has no stand-ins; the scenario runs on a dev stack only")?;
        Ok(Self {
            url: format!("{url}{PATH}/payments"),
            client: http::client(),
        })
    }

    /// Says how a payment is to be treated, before it is made.
    pub async fn plan(&self, payment: &str, plan: &Plan) -> anyhow::Result<()> {
        let url = http::address(&self.url, [payment])?;
        let answer = self.client.put(url).json(plan).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// What was asked about a payment.
    pub async fn seen(&self, payment: &str) -> anyhow::Result<Seen> {
        let url = http::address(&self.url, [payment])?;
        let answer = self.client.get(url).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
