//! What becomes of a payment: plain functions of its state and an event.

use std::time::Duration;

use millstream_pipeline::events::EventMeta;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::process::outputs::Outputs;
use millstream_schemas::accounts::{AccountBalance, Deposit, Withdraw};
use millstream_schemas::payments::{self, ExpirePayment, MakePayment, PaymentStatus};
use millstream_topics::{AccountsEvent, Payments, PaymentsEvent};
use serde::{Deserialize, Serialize};

use super::positive;

/// The account has not enough money.
pub const INSUFFICIENT_FUNDS: &str = "insufficient-funds";

/// Name of the timer that ends a payment's time.
const EXPIRY: &str = "expiry";

/// A payment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    #[serde(default)]
    pub(super) status: Status,
    /// What was paid; stays when it is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment: Option<Paid>,
    /// When it is forgotten, in microseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// What was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Paid {
    account_id: String,
    amount_cents: i64,
    /// The withdrawal's movement id.
    withdrawal: String,
}

/// Where a payment stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    #[default]
    New,
    CompletedSuccessfully,
    Cancelled,
}

/// Money that has to move before an event is decided.
#[derive(Debug, PartialEq)]
pub(super) struct Transfer {
    pub account_id: String,
    pub command: AccountsEvent,
}

impl Payment {
    /// The money that an event of this payment moves. The movement is named after the command
    /// that asks for it, so that a payment that was refused can be tried again.
    pub(super) fn transfer(
        &self,
        key: &str,
        event: &PaymentsEvent,
        event_id: &str,
    ) -> Result<Option<Transfer>, Failure> {
        match (event, self.status) {
            (PaymentsEvent::MakePayment(make), status) => {
                let amount_cents = positive(make.amount_cents)?;
                if make.account_id.trim().is_empty() {
                    let message = "account_id is empty; name the account that pays";
                    return Err(Failure::invalid_request(message));
                }
                if status == Status::CompletedSuccessfully {
                    self.check_same(make)?;
                }
                Ok((status == Status::New).then(|| Transfer {
                    account_id: make.account_id.clone(),
                    command: Withdraw {
                        amount_cents,
                        movement_id: Some(withdrawal(key, event_id)),
                    }
                    .into(),
                }))
            }
            (PaymentsEvent::CancelPayment(_), Status::CompletedSuccessfully) => {
                Ok(self.payment.as_ref().map(|paid| Transfer {
                    account_id: paid.account_id.clone(),
                    command: Deposit {
                        amount_cents: paid.amount_cents,
                        movement_id: Some(format!("{}/refund", paid.withdrawal)),
                    }
                    .into(),
                }))
            }
            _ => Ok(None),
        }
    }

    /// A payment id stands for one payment.
    fn check_same(&self, make: &MakePayment) -> Result<(), Failure> {
        match &self.payment {
            Some(paid)
                if (&paid.account_id, paid.amount_cents)
                    != (&make.account_id, make.amount_cents) =>
            {
                let message = "this payment id belongs to another payment; use a new one";
                Err(Failure::new(failure::IDEMPOTENCY_MISMATCH, message))
            }
            _ => Ok(()),
        }
    }

    /// Decides about an event after the money it needs was moved, or was not.
    pub(super) fn decide(
        &mut self,
        event: &PaymentsEvent,
        moved: Option<&AccountBalance>,
        expiry: Duration,
        outputs: &mut Outputs,
    ) -> Result<PaymentStatus, Failure> {
        match (event, self.status) {
            (PaymentsEvent::MakePayment(make), Status::New) => {
                if !moved.is_some_and(|balance| balance.accepted) {
                    let message = "the account has not enough money; deposit some and try again";
                    return Err(Failure::new(INSUFFICIENT_FUNDS, message));
                }
                self.payment = Some(Paid {
                    account_id: make.account_id.clone(),
                    amount_cents: make.amount_cents,
                    withdrawal: withdrawal(outputs.key(), &outputs.meta().id),
                });
                self.reach(Status::CompletedSuccessfully, expiry, outputs);
            }
            (PaymentsEvent::CancelPayment(_), Status::New | Status::CompletedSuccessfully) => {
                self.reach(Status::Cancelled, expiry, outputs);
            }
            (PaymentsEvent::ExpirePayment(_), _) if self.is_over(outputs.meta()) => {
                *self = Self::default();
            }
            // What is so already stays so, and an early end is none.
            _ => {}
        }
        Ok(PaymentStatus {
            status: match self.status {
                Status::New => payments::Status::New,
                Status::CompletedSuccessfully => payments::Status::CompletedSuccessfully,
                Status::Cancelled => payments::Status::Cancelled,
            },
        })
    }

    /// Changes the status, and lets the payment's time begin anew.
    fn reach(&mut self, status: Status, expiry: Duration, outputs: &mut Outputs) {
        let expiry = i64::try_from(expiry.as_micros()).unwrap_or(i64::MAX);
        let recorded = outputs.recorded_ms().saturating_mul(1000);
        let due = recorded.saturating_add(expiry);
        self.status = status;
        self.expires_at = Some(due);
        outputs
            .emit::<Payments>(outputs.key().to_owned(), ExpirePayment {})
            .at(due)
            .cancellable(EXPIRY);
    }

    /// A timer's event has the time that it was set to. An earlier one was set for a status that
    /// the payment has left meanwhile, or comes from somebody else.
    fn is_over(&self, meta: &EventMeta) -> bool {
        self.expires_at.is_some_and(|due| meta.time >= due)
    }
}

/// No two pairs have one: what is before the first slash is the key.
fn withdrawal(key: &str, event_id: &str) -> String {
    let key = key.replace('%', "%25").replace('/', "%2F");
    format!("{key}/{event_id}")
}
