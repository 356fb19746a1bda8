//! Payments: made once, cancelled for good, forgotten when their time is over.
//!
//! The payment is the key, so its commands are handled one after the other: a cancellation comes
//! before, or after, and then the money is given back. The money is moved by commands to
//! [`Accounts`]. Whether it was moved must be known before a payment is decided, so a command that
//! is not answered in time is sent again; an account carries it out once.

mod accounts;
mod payment;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepError, StepResult, Steps};
use millstream_schemas::accounts::AccountBalance;
use restate_sdk::prelude::*;

pub use accounts::{Account, When, accounts};
use payment::Transfer;
pub use payment::{INSUFFICIENT_FUNDS, Payment};

use crate::settings::milliseconds;

/// How long an account may take before it is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long payments are remembered.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Milliseconds after which a payment is forgotten
    #[arg(
        long = "payment-expiry-ms",
        default_value = "86400000",
        env = "MILLSTREAM_PAYMENT_EXPIRY_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub payment_expiry: Duration,
}

/// The service. Its key is the payment id.
pub struct Payments {
    service: Service,
    expiry: Duration,
}

impl Payments {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(Payments in millstream_topics::TOPICS)),
            expiry: settings.payment_expiry,
        }
    }
}

#[restate_sdk::object]
impl Payments {
    /// Handles `payments`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive::<millstream_topics::Payments, Payment>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        let (event, id) = (turn.event.clone(), turn.meta().id.clone());
        let moved = match turn.state().transfer(ctx.key(), &event, &id) {
            Ok(None) => Ok(None),
            Ok(Some(transfer)) => carry_out(&turn.steps(), &transfer).await.map(Some),
            Err(failure) => Err(failure.into()),
        };
        let moved = match moved {
            Ok(moved) => moved,
            Err(StepError::Failed(failure)) => return turn.fail(failure).await,
            Err(StepError::Attempt(error)) => return Err(error),
        };
        turn.decide_with(|payment, event, outputs| {
            let status = payment.decide(&event, moved.as_ref(), self.expiry, outputs);
            status.map(Some)
        })
        .await
    }
}

/// Moves money. It comes back when it is known whether it was moved: neither a missed deadline
/// nor somebody who cancels the invocation may leave that open.
async fn carry_out(steps: &Steps<'_>, transfer: &Transfer) -> StepResult<AccountBalance> {
    loop {
        let asked = steps.request::<millstream_topics::Accounts>(
            &transfer.account_id,
            transfer.command.clone(),
            PATIENCE,
        );
        match asked.await {
            Err(StepError::Failed(failure))
                if [failure::DEADLINE_EXCEEDED, failure::CANCELLED].contains(&&*failure.code) => {}
            known => return known,
        }
    }
}

/// The amount, if there is something to move.
fn positive(amount_cents: i64) -> Result<i64, Failure> {
    if amount_cents > 0 {
        return Ok(amount_cents);
    }
    Err(Failure::invalid_request("amount_cents must be more than 0"))
}
