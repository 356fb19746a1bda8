//! Control of the stand-in for the payment provider.

use millstream_pipeline::config::Endpoints;
use serde_json::{Value, json};

pub struct Stripe {
    url: String,
    client: reqwest::Client,
}

impl Stripe {
    pub fn of(endpoints: &Endpoints) -> Self {
        let url = endpoints
            .stand_ins
            .as_ref()
            .expect("a dev stack has stand-ins");
        Self {
            url: format!("{url}/stripe"),
            client: millstream_pipeline::http::client(),
        }
    }

    /// How a payment is treated: when its webhook comes, when it is decided, when it is answered.
    pub async fn plan(&self, payment: &str, delivery: &str, settle_ms: u64, answer_ms: u64) {
        let url = format!("{}/payments/{payment}", self.url);
        let plan = json!({ "delivery": delivery, "settle_ms": settle_ms, "answer_ms": answer_ms });
        let answer = self.client.put(url).json(&plan).send().await.unwrap();
        answer.error_for_status().unwrap();
    }

    /// Decides about a payment and delivers its webhook as planned.
    pub async fn settle(&self, payment: &str) {
        let url = format!("{}/payments/{payment}/settlement", self.url);
        let answer = self.client.put(url).send().await.unwrap();
        answer.error_for_status().unwrap();
    }

    /// How many payments were made under this id, and how often their state was asked for.
    pub async fn seen(&self, payment: &str) -> (u64, u64) {
        let url = format!("{}/payments/{payment}", self.url);
        let seen: Value = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let count = |field: &str| seen[field].as_u64().unwrap();
        (count("intents"), count("questions"))
    }

    /// Asks the API itself.
    pub async fn create(
        &self,
        key: Option<&str>,
        once: Option<&str>,
        form: &[(&str, &str)],
    ) -> (u16, Value) {
        let url = format!("{}/v1/payment_intents", self.url);
        let mut call = self.client.post(url).form(form);
        if let Some(key) = key {
            call = call.bearer_auth(key);
        }
        if let Some(once) = once {
            call = call.header("Idempotency-Key", once);
        }
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}
