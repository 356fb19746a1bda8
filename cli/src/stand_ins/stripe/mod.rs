//! The payment provider of `payment-signals`: as much of Stripe's PaymentIntents API as that takes.
//!
//! `POST /v1/payment_intents` creates a payment and confirms it, once for each `Idempotency-Key`;
//! `GET /v1/payment_intents/{id}` tells what became of it. `pm_card_visa` is paid and
//! `pm_card_visa_chargeDeclined` declined, at once, or later with `metadata[delayed_status]`; then a
//! signed webhook is delivered, which brings the payment's metadata back.
//! The control is in [`control`].

mod books;
mod control;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use books::{Books, Once};
pub use control::{Delivery, Plan, Stripe};
use webhook::Sender;
pub use webhook::Webhooks;

/// Where it is below the stand-ins' address.
pub const PATH: &str = "/stripe";

/// What keys of its accounts begin with.
const KEY_PREFIX: &str = "sk_";

type Answer = (StatusCode, Json<Value>);

#[derive(Clone)]
struct Server {
    books: Arc<Mutex<Books>>,
    sender: Arc<Sender>,
}

/// Its routes.
pub fn routes(webhooks: Webhooks) -> anyhow::Result<Router> {
    let server = Server {
        books: Arc::default(),
        sender: Arc::new(Sender::new(webhooks)?),
    };
    Ok(Router::new()
        .route("/v1/payment_intents", post(create))
        .route("/v1/payment_intents/{id}", get(retrieve))
        .route("/payments/{payment}", put(control::plan).get(control::seen))
        .route("/payments/{payment}/settlement", put(control::settle))
        .with_state(server))
}

impl Server {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a payment, unless that is done, and delivers the webhook as planned.
    async fn settle(&self, id: &str) {
        let settled = self.books().settle(id);
        let Some((mut event, times)) = settled else {
            return;
        };
        for pending in (0..times).rev() {
            event["pending_webhooks"] = pending.into();
            self.sender.deliver(&event).await;
        }
    }

    /// Creates a payment. It goes on if the one who asked hangs up.
    async fn create(self, key: Option<String>, form: BTreeMap<String, String>) -> Answer {
        let created = self.books().create(&form);
        let answer = match created {
            Err(error) => error,
            Ok((id, plan, answer)) => {
                if plan.delivery == Delivery::AtOnce {
                    self.settle(&id).await;
                } else {
                    let server = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(plan.settle_ms)).await;
                        server.settle(&id).await;
                    });
                }
                tokio::time::sleep(Duration::from_millis(plan.answer_ms)).await;
                answer
            }
        };
        if let Some(key) = key {
            let done = Once::Done(form, answer.clone());
            self.books().once.insert(key, done);
        }
        (answer.0, Json(answer.1))
    }
}

fn error(kind: &str, code: &str, param: &str, message: &str) -> Value {
    json!({ "error": { "type": kind, "code": code, "param": param, "message": message } })
}

/// Whether somebody with an account asks.
fn check_key(headers: &HeaderMap) -> Result<(), Answer> {
    let key = headers.get("authorization").and_then(|it| it.to_str().ok());
    let key = key.and_then(|key| key.strip_prefix("Bearer "));
    if key.is_some_and(|key| key.starts_with(KEY_PREFIX)) {
        return Ok(());
    }
    let body = error("invalid_request_error", "", "", "Invalid API key provided.");
    Err((StatusCode::UNAUTHORIZED, Json(body)))
}

async fn create(
    State(server): State<Server>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Answer {
    if let Err(answer) = check_key(&headers) {
        return answer;
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let key = key.map(str::to_owned);
    if let Some(key) = &key
        && let Some((status, body)) = server.books().once(key, &form)
    {
        return (status, Json(body));
    }
    match tokio::spawn(server.create(key, form)).await {
        Ok(answer) => answer,
        Err(failed) => {
            let body = error("api_error", "", "", &failed.to_string());
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body))
        }
    }
}

async fn retrieve(
    State(server): State<Server>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    if let Err(answer) = check_key(&headers) {
        return answer;
    }
    match server.books().retrieve(&id) {
        Some(intent) => (StatusCode::OK, Json(intent)),
        None => {
            let message = format!("No such payment_intent: '{id}'");
            let body = error(
                "invalid_request_error",
                "resource_missing",
                "intent",
                &message,
            );
            (StatusCode::NOT_FOUND, Json(body))
        }
    }
}
