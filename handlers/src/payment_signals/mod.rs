//! Payments that the provider decides now or later: one result either way.
//!
//! The provider answers the request itself, or says that it is processing and tells later by a
//! webhook, which comes here as a result of [`crate::webhooks`] and resolves a promise. It may do so
//! before the answer, twice or never. A webhook only says that it is time to ask: what the payment
//! came to is read from the provider, so nobody else can make a payment succeed. If no webhook comes
//! before a deadline, the provider is asked from time to time.

mod provider;

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::lane::workflow::Flow;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::StepResult;
use millstream_schemas::payment_intents::{PaymentProcessed, ProcessPayment, Status};
use millstream_topics::{
    PaymentIntents as Payments, PaymentWebhooksResults, PaymentWebhooksResultsEvent, TOPICS,
};
use restate_sdk::prelude::*;
use serde_json::json;

use crate::settings::milliseconds;

pub use provider::Secret;
use provider::{Intent, Provider};

use crate::webhooks::is_final;

/// The provider has no such payment method.
pub const UNKNOWN_PAYMENT_METHOD: &str = "unknown-payment-method";
/// The provider does not take the payment as it is asked for.
pub const PROVIDER_REFUSED: &str = "provider-refused";
/// The provider did not answer for as long as we are willing to try.
pub const PROVIDER_UNAVAILABLE: &str = "provider-unavailable";
/// The provider has not decided for as long as we are willing to ask.
pub const STILL_PROCESSING: &str = "still-processing";

/// Promise: the provider has decided; its value is the type of the webhook.
const DECIDED: &str = "decided";

/// Tries of one request before it is given up, about ten minutes.
const MAX_TRIES: u32 = 128;
/// The longest time between two questions, unless the first one is longer.
const MAX_POLL: Duration = Duration::from_secs(60 * 60);
/// Questions before the payment is given up: a week, if the first wait is a few seconds.
const MAX_POLLS: u32 = 180;
/// Longest id of a payment method.
const MAX_METHOD_BYTES: usize = 255;

/// Where the provider is, and how patient we are.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// URL of the API that payment-signals asks, which is Stripe's; the account's secret key is in
    /// the variable MILLSTREAM_STRIPE_KEY
    #[arg(
        long,
        default_value = "http://localhost:9480/stripe",
        env = "MILLSTREAM_STRIPE_URL",
        value_name = "URL"
    )]
    pub stripe_url: String,
    /// The secret key of the account.
    #[arg(skip = Secret::of_environment())]
    pub stripe_key: Secret,
    /// Currency of the payments of payment-signals, in ISO 4217's letters
    #[arg(
        long = "stripe-currency",
        default_value = "usd",
        env = "MILLSTREAM_STRIPE_CURRENCY",
        value_name = "CODE"
    )]
    pub currency: String,
    /// Milliseconds that a payment's webhook is waited for before its status is asked for
    #[arg(
        long = "webhook-deadline-ms",
        default_value = "60000",
        env = "MILLSTREAM_WEBHOOK_DEADLINE_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub webhook_deadline: Duration,
    /// Milliseconds before a payment's status is asked for again; twice as long each further time
    #[arg(
        long = "payment-poll-ms",
        default_value = "5000",
        env = "MILLSTREAM_PAYMENT_POLL_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub poll_delay: Duration,
}

/// The workflow. Its key is the payment id.
pub struct PaymentIntents {
    service: Service,
    provider: Provider,
    webhook_deadline: Duration,
    poll_delay: Duration,
}

impl PaymentIntents {
    /// The workflow on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        let Settings {
            stripe_url,
            stripe_key,
            currency,
            ..
        } = settings;
        Self {
            service: pipeline.service(service_name!(PaymentIntents in TOPICS)),
            provider: Provider::new(stripe_url, stripe_key, &currency.to_ascii_lowercase()),
            webhook_deadline: settings.webhook_deadline,
            poll_delay: settings.poll_delay,
        }
    }

    async fn process(
        &self,
        ctx: &WorkflowContext<'_>,
        flow: &Flow<'_, Payments>,
    ) -> StepResult<PaymentProcessed> {
        check(&flow.event)?;
        let (provider, payment, request) = (
            self.provider.clone(),
            ctx.key().to_owned(),
            flow.event.clone(),
        );
        let created = ctx
            .run(async move || Ok(Json(provider.create(&payment, &request).await?)))
            .name("create the payment")
            .retry_policy(tries())
            .await;
        let mut intent = created.map_err(|error| gave_up(&error))?.into_inner();
        let mut told = false;
        for polls in 0..=MAX_POLLS {
            let id = match decided(intent)? {
                Decision::Made(processed) => return Ok(processed),
                Decision::Pending(id) => id,
            };
            flow.show(&json!({ "status": "PROCESSING", "intent": id }))?;
            let wait = wait(polls, self.webhook_deadline, self.poll_delay);
            if told {
                ctx.sleep(wait).await?;
            } else {
                restate_sdk::select! {
                    webhook = ctx.promise::<Bytes>(DECIDED) => {
                        webhook?;
                        told = true;
                    },
                    waited = ctx.sleep(wait) => { waited? }
                }
            }
            let provider = self.provider.clone();
            let asked = ctx
                .run(async move || Ok(Json(provider.retrieve(&id).await?)))
                .name("ask for the payment")
                .retry_policy(tries())
                .await;
            intent = asked.map_err(|error| gave_up(&error))?.into_inner();
        }
        let message = "the provider has not decided; look there what became of the payment";
        Err(Failure::passing(STILL_PROCESSING, message).into())
    }
}

#[restate_sdk::workflow(workflow_completion_retention = "30d")]
impl PaymentIntents {
    /// Processes the payment, once for each payment id.
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, record: Bytes) -> HandlerResult<Bytes> {
        let flow = self.service.run::<Payments>(&ctx, record).await?;
        let result = self.process(&ctx, &flow).await;
        if let Ok(processed) = &result {
            flow.show(processed)?;
        }
        flow.finish(result).await
    }

    /// Handles `payment-intents`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: SharedWorkflowContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.service.start::<Payments>(&ctx, record).await
    }

    /// Handles `payment-webhooks-results`. It may come before the payment, and more than once.
    #[handler(name = "onWebhook")]
    async fn on_webhook(&self, ctx: SharedWorkflowContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive_shared::<PaymentWebhooksResults>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        // Refused webhooks are on the topic, too.
        if let PaymentWebhooksResultsEvent::WebhookProcessed(webhook) = &turn.event
            && is_final(&webhook.r#type)
        {
            ctx.resolve_promise(DECIDED, Bytes::from(webhook.r#type.clone()));
        }
        turn.answer(()).await
    }
}

/// What is known of a payment that the provider took.
#[derive(Debug, PartialEq)]
enum Decision {
    Made(PaymentProcessed),
    Pending(String),
}

fn decided(intent: Intent) -> Result<Decision, Failure> {
    let (status, reason) = match intent {
        Intent::Succeeded => (Status::Succeeded, None),
        Intent::Declined { reason } => (Status::Declined, Some(reason)),
        Intent::Pending { id } => return Ok(Decision::Pending(id)),
        Intent::UnknownPaymentMethod => {
            let message = "the provider has no such payment method; use another one";
            return Err(Failure::new(UNKNOWN_PAYMENT_METHOD, message));
        }
        Intent::Refused { message } => return Err(Failure::new(PROVIDER_REFUSED, message)),
    };
    Ok(Decision::Made(PaymentProcessed { status, reason }))
}

fn check(request: &ProcessPayment) -> Result<(), Failure> {
    if request.amount_cents <= 0 {
        return Err(Failure::invalid_request("amount_cents must be more than 0"));
    }
    let method = &request.payment_method_id;
    if method.trim().is_empty() || method.len() > MAX_METHOD_BYTES {
        return Err(Failure::invalid_request(format!(
            "payment_method_id must have 1 to {MAX_METHOD_BYTES} bytes"
        )));
    }
    Ok(())
}

/// How long to wait after so many questions: first the deadline, then the delay, then twice as long
/// each time. A payment may be pending for days, and the journal must not grow for ever.
fn wait(polls: u32, deadline: Duration, delay: Duration) -> Duration {
    let Some(doublings) = polls.checked_sub(1) else {
        return deadline;
    };
    let times = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    delay.saturating_mul(times).min(MAX_POLL.max(delay))
}

fn tries() -> RunRetryPolicy {
    RunRetryPolicy::new()
        .initial_delay(Duration::from_millis(100))
        .exponentiation_factor(2.0)
        .max_delay(Duration::from_secs(5))
        .max_attempts(MAX_TRIES)
}

/// Why a request ended without the provider's word: somebody cancelled it, or the tries are used up.
fn gave_up(error: &TerminalError) -> Failure {
    match error.code() {
        409 => Failure::new(
            failure::CANCELLED,
            "the payment was cancelled here; look at the provider what became of it",
        ),
        _ => Failure::passing(
            PROVIDER_UNAVAILABLE,
            format!(
                "it was asked {MAX_TRIES} times ({}); look at the provider what became of the payment",
                error.message()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_says_how_and_how_much() {
        let request = |method: &str, amount_cents| ProcessPayment {
            payment_method_id: method.into(),
            amount_cents,
            delayed_status: false,
        };
        assert_eq!(check(&request("pm_card_visa", 1)), Ok(()));
        let long = "p".repeat(256);
        for (method, amount) in [("pm", 0), ("pm", -1), ("", 1), (&long, 1)] {
            let refused = check(&request(method, amount)).unwrap_err();
            assert_eq!(refused.code, "invalid-request");
        }
    }

    #[test]
    fn each_word_of_the_provider_is_a_result_or_a_failure_or_a_wait() {
        let reason = Some("card_declined".to_owned());
        let declined = Intent::Declined {
            reason: "card_declined".into(),
        };
        let made = |status, reason| Ok(Decision::Made(PaymentProcessed { status, reason }));
        assert_eq!(decided(Intent::Succeeded), made(Status::Succeeded, None));
        assert_eq!(decided(declined), made(Status::Declined, reason));
        let pending = Intent::Pending { id: "pi_1".into() };
        assert_eq!(decided(pending), Ok(Decision::Pending("pi_1".into())));
        let code = |intent| decided(intent).unwrap_err().code;
        assert_eq!(code(Intent::UnknownPaymentMethod), UNKNOWN_PAYMENT_METHOD);
        let message = "m".to_owned();
        assert_eq!(code(Intent::Refused { message }), PROVIDER_REFUSED);
    }

    #[test]
    fn the_provider_is_asked_less_and_less_often() {
        let (deadline, delay) = (Duration::from_secs(20), Duration::from_secs(5));
        let waits: Vec<_> = (0..13)
            .map(|polls| wait(polls, deadline, delay).as_secs())
            .collect();
        assert_eq!(
            waits,
            [20, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
        assert_eq!(wait(MAX_POLLS, deadline, delay), MAX_POLL);
        let slow = 2 * MAX_POLL;
        assert_eq!(wait(MAX_POLLS, deadline, slow), slow);
        let all: Duration = (0..=MAX_POLLS)
            .map(|polls| wait(polls, deadline, delay))
            .sum();
        assert!(all > Duration::from_secs(7 * 24 * 60 * 60), "{all:?}");
    }
}
