//! The payment provider, by Stripe's PaymentIntents API.
//!
//! Source: Stripe's API reference, "Create a PaymentIntent", "Retrieve a PaymentIntent", "Errors" and
//! "Idempotent requests".

use std::time::Duration;

use millstream_pipeline::http;
use millstream_pipeline::record::digest::derived_id;
use millstream_schemas::payment_intents::ProcessPayment;
use reqwest::{Method, Response};
use restate_sdk::prelude::HandlerError;
use serde::{Deserialize, Serialize};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A secret that is not shown by accident.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps `secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The one in the variable `MILLSTREAM_STRIPE_KEY`. There is no flag for it: those can be seen
    /// by everybody on a machine.
    pub fn of_environment() -> Self {
        Self(std::env::var("MILLSTREAM_STRIPE_KEY").unwrap_or_default())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// What the provider says of a payment, as the journal holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// It is paid.
    Succeeded,
    /// It is not, and nobody tries again.
    Declined {
        /// Why, in the provider's words.
        reason: String,
    },
    /// The provider decides later.
    Pending {
        /// The provider's id of the payment.
        id: String,
    },
    /// There is no such payment method.
    UnknownPaymentMethod,
    /// The provider does not take the request.
    Refused {
        /// Why, in the provider's words.
        message: String,
    },
}

/// A client of the provider.
#[derive(Clone)]
pub struct Provider {
    url: String,
    key: Secret,
    currency: String,
    client: reqwest::Client,
}

impl Provider {
    /// A client for the API at `url`, such as `https://api.stripe.com`.
    pub fn new(url: &str, key: &Secret, currency: &str) -> Self {
        Self {
            url: url.to_owned(),
            key: key.clone(),
            currency: currency.to_owned(),
            client: http::client(),
        }
    }

    /// Creates the payment and confirms it, once for each payment id.
    pub async fn create(
        &self,
        payment: &str,
        request: &ProcessPayment,
    ) -> Result<Intent, HandlerError> {
        let amount = request.amount_cents.to_string();
        let mut form = vec![
            ("amount", amount.as_str()),
            ("currency", &self.currency),
            ("payment_method", &request.payment_method_id),
            ("confirm", "true"),
            // Nobody is there who could be sent to another page.
            ("automatic_payment_methods[enabled]", "true"),
            ("automatic_payment_methods[allow_redirects]", "never"),
            // Comes back in webhooks.
            ("metadata[payment_id]", payment),
        ];
        if request.delayed_status {
            form.push(("metadata[delayed_status]", "true"));
        }
        let call = self.call(Method::POST, &[])?;
        // Any text may be a payment id, and not any text a header.
        let once = derived_id(payment, "PaymentIntents", 0);
        answer(call.header("Idempotency-Key", once).form(&form)).await
    }

    /// Asks what became of the payment with the provider's id.
    pub async fn retrieve(&self, id: &str) -> Result<Intent, HandlerError> {
        answer(self.call(Method::GET, &[id])?).await
    }

    fn call(
        &self,
        method: Method,
        below: &[&str],
    ) -> Result<reqwest::RequestBuilder, HandlerError> {
        let path = ["v1", "payment_intents"].iter().chain(below).copied();
        let url = http::address(&self.url, path)?;
        let call = self.client.request(method, url).timeout(LIMIT);
        Ok(call.bearer_auth(&self.key.0))
    }
}

async fn answer(call: reqwest::RequestBuilder) -> Result<Intent, HandlerError> {
    let response: Response = call.send().await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Ok(read(status, &body)?)
}

/// The provider's answer is none that a later one may not better.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum TryAgain {
    #[error("the payment provider answered {0}; check its URL and MILLSTREAM_STRIPE_KEY")]
    NotAllowed(u16),
    #[error("the payment provider answered {0}")]
    Unavailable(u16),
    #[error("the payment provider's answer is no JSON of its API: {0}")]
    Unreadable(String),
}

#[derive(Deserialize)]
struct PaymentIntent {
    id: String,
    status: String,
    #[serde(default)]
    last_payment_error: Option<ApiError>,
}

#[derive(Deserialize)]
struct Errors {
    error: ApiError,
}

#[derive(Default, Deserialize)]
struct ApiError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    param: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// What an answer says.
fn read(status: u16, body: &[u8]) -> Result<Intent, TryAgain> {
    let unreadable = |error: serde_json::Error| TryAgain::Unreadable(error.to_string());
    match status {
        200..=299 => {
            let intent: PaymentIntent = serde_json::from_slice(body).map_err(unreadable)?;
            Ok(state(intent))
        }
        401 | 403 => Err(TryAgain::NotAllowed(status)),
        // The same request is under way, or there are too many.
        409 | 429 => Err(TryAgain::Unavailable(status)),
        402 => {
            let Errors { error } = serde_json::from_slice(body).map_err(unreadable)?;
            let reason = error.code.unwrap_or_else(|| "card_declined".into());
            Ok(Intent::Declined { reason })
        }
        400..=499 => {
            let Errors { error } = serde_json::from_slice(body).map_err(unreadable)?;
            let missing = error.code.as_deref() == Some("resource_missing");
            if missing && error.param.as_deref() == Some("payment_method") {
                return Ok(Intent::UnknownPaymentMethod);
            }
            let message = error.message.unwrap_or_else(|| format!("status {status}"));
            Ok(Intent::Refused { message })
        }
        _ => Err(TryAgain::Unavailable(status)),
    }
}

/// Where a payment stands.
fn state(intent: PaymentIntent) -> Intent {
    match intent.status.as_str() {
        "succeeded" => Intent::Succeeded,
        // After a failed try. Nobody gives it another method.
        "requires_payment_method" => Intent::Declined {
            reason: intent
                .last_payment_error
                .and_then(|error| error.code)
                .unwrap_or(intent.status),
        },
        // Nobody is there to do something.
        "requires_action" | "requires_confirmation" | "canceled" => Intent::Declined {
            reason: intent.status,
        },
        _ => Intent::Pending { id: intent.id },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Result<Intent, TryAgain> {
        read(status, body.as_bytes())
    }

    fn declined(reason: &str) -> Result<Intent, TryAgain> {
        Ok(Intent::Declined {
            reason: reason.into(),
        })
    }

    #[test]
    fn a_payment_is_decided_or_pending() {
        let intent = |status: &str| of(200, &format!(r#"{{"id":"pi_1","status":"{status}"}}"#));
        let pending = Intent::Pending { id: "pi_1".into() };
        assert_eq!(intent("succeeded"), Ok(Intent::Succeeded));
        for status in ["processing", "requires_capture", "something_new"] {
            assert_eq!(intent(status), Ok(pending.clone()));
        }
        assert_eq!(intent("canceled"), declined("canceled"));
        assert_eq!(intent("requires_action"), declined("requires_action"));
        let failed = r#"{"id":"pi_1","status":"requires_payment_method",
            "last_payment_error":{"type":"card_error","code":"card_declined"}}"#;
        assert_eq!(of(200, failed), declined("card_declined"));
    }

    #[test]
    fn a_declined_card_is_an_answer_and_no_failure() {
        let body = r#"{"error":{"type":"card_error","code":"expired_card","message":"m"}}"#;
        assert_eq!(of(402, body), declined("expired_card"));
        assert_eq!(of(402, r#"{"error":{}}"#), declined("card_declined"));
    }

    #[test]
    fn what_the_provider_does_not_take_is_told() {
        let body = r#"{"error":{"type":"invalid_request_error","code":"resource_missing",
            "param":"payment_method","message":"No such PaymentMethod"}}"#;
        assert_eq!(of(400, body), Ok(Intent::UnknownPaymentMethod));
        let body = r#"{"error":{"type":"invalid_request_error","message":"too much"}}"#;
        let message = "too much".to_owned();
        assert_eq!(of(400, body), Ok(Intent::Refused { message }));
    }

    #[test]
    fn what_may_be_better_later_is_tried_again() {
        for status in [409, 429, 500, 503] {
            assert_eq!(of(status, "{}"), Err(TryAgain::Unavailable(status)));
        }
        for status in [401, 403] {
            let body = r#"{"error":{"message":"Invalid API Key: sk_test_1"}}"#;
            let error = of(status, body).unwrap_err();
            assert!(!error.to_string().contains("sk_test"), "{error}");
        }
        assert!(of(200, "<html>").is_err() && of(404, "<html>").is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("sk_test_1")), "***");
    }
}
