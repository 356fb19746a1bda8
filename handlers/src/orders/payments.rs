//! The payment of an order: what the provider says and the checkout that waits for it meet here,
//! whichever comes first.
//!
//! At most one request is open at the provider, and none is made once the order is paid. So a
//! checkout that comes again, after a crash, a missed deadline or a rejection, never pays twice.
//! A confirmation that nobody waits for any more is kept and counts for the next checkout with this
//! order id.

use millstream_pipeline::events::RequestFailed;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::process::outputs::{Outputs, ReturnAddress};
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::order_payments::{AwaitPayment, PaymentReceived};
use millstream_schemas::payment_confirmations::{PaymentConfirmed, PaymentRejected};
use millstream_schemas::payment_requests::RequestPayment;
use millstream_topics::{
    OrderPayments, PaymentConfirmations, PaymentConfirmationsEvent, PaymentRequests, TOPICS,
};
use serde::{Deserialize, Serialize};

use super::check_items;

/// The order id belongs to another user or to another basket.
pub const ORDER_MISMATCH: &str = "order-mismatch";
/// The provider rejected the payment, for a reason that is no code.
pub const PAYMENT_REJECTED: &str = "payment-rejected";
/// The provider says something else of an order that it has confirmed.
pub const PAYMENT_ALREADY_CONFIRMED: &str = "payment-already-confirmed";
/// Another checkout of the order waits for the payment now.
pub const CHECKOUT_SUPERSEDED: &str = "checkout-superseded";

/// Where the payment of an order stands.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    #[serde(default)]
    status: Status,
    /// Who pays for what; `None` until a checkout has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<AwaitPayment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    /// The provider's rejection of a payment that no checkout has asked for yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejection: Option<String>,
    /// How often the provider was asked.
    #[serde(default)]
    requests: u32,
    /// The checkout that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<ReturnAddress>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    /// No request is open at the provider.
    #[default]
    Open,
    Requested,
    Confirmed,
}

/// A checkout is told what the provider has said, or waits for it.
pub fn await_payment(
    payment: &mut Payment,
    request: AwaitPayment,
    outputs: &mut Outputs,
) -> Result<Option<PaymentReceived>, Failure> {
    if request.user_id.is_empty() {
        return Err(Failure::invalid_request("user_id is empty; say who pays"));
    }
    check_items(&request.items)?;
    if let Some(known) = &payment.order {
        // What was rejected may be paid with another basket; what is paid may not be exchanged.
        let may_change = payment.status == Status::Open && known.user_id == request.user_id;
        if *known != request && !may_change {
            return Err(Failure::new(
                ORDER_MISMATCH,
                "this order id was used for another user or another basket; check out under a \
                 new order id",
            ));
        }
    }
    payment.order = Some(request.clone());
    if let Some(transaction_id) = payment.transaction_id.clone() {
        return Ok(Some(PaymentReceived { transaction_id }));
    }
    let before = std::mem::replace(&mut payment.waiting, outputs.return_address());
    if let Some(before) = before {
        let message = "another checkout of this order waits for its payment now; see its result";
        outputs.refuse(before, &Failure::new(CHECKOUT_SUPERSEDED, message));
    }
    if let Some(reason) = payment.rejection.take() {
        reject(payment, reason, outputs);
    } else if payment.status == Status::Open {
        payment.status = Status::Requested;
        payment.requests += 1;
        let AwaitPayment { user_id, items } = request;
        let key = outputs.key().to_owned();
        outputs.emit::<PaymentRequests>(key, RequestPayment { user_id, items });
    }
    Ok(None)
}

/// The provider's word. Its repetitions change nothing; a contradiction is for people to look at.
pub fn provider_says(
    payment: &mut Payment,
    event: PaymentConfirmationsEvent,
    outputs: &mut Outputs,
) -> Result<Option<()>, Failure> {
    let contradiction = |said: String| {
        Failure::new(
            PAYMENT_ALREADY_CONFIRMED,
            format!("the order is paid already, and now {said}; ask the payment provider"),
        )
    };
    match event {
        PaymentConfirmationsEvent::PaymentConfirmed(PaymentConfirmed { transaction_id }) => {
            if transaction_id.is_empty() {
                return Err(Failure::invalid_request(
                    "transaction_id is empty; say which payment it is",
                ));
            }
            match &payment.transaction_id {
                Some(known) if *known == transaction_id => {}
                Some(_) => {
                    let said = format!("it is paid again by {transaction_id}");
                    return Err(contradiction(said));
                }
                None => {
                    payment.status = Status::Confirmed;
                    payment.transaction_id = Some(transaction_id.clone());
                    payment.rejection = None;
                    if let Some(waiting) = payment.waiting.take() {
                        outputs.answer(waiting, &PaymentReceived { transaction_id });
                    }
                }
            }
        }
        PaymentConfirmationsEvent::PaymentRejected(PaymentRejected { reason }) => {
            match payment.status {
                Status::Confirmed => return Err(contradiction(format!("rejected: {reason}"))),
                Status::Requested => reject(payment, reason, outputs),
                // A second word on a request that was rejected before says nothing new.
                Status::Open if payment.requests > 0 => {}
                Status::Open => payment.rejection = Some(reason),
            }
        }
    }
    Ok(Some(()))
}

/// Refuses the checkout that waits. The next one asks the provider anew.
fn reject(payment: &mut Payment, reason: String, outputs: &mut Outputs) {
    payment.status = Status::Open;
    if let Some(waiting) = payment.waiting.take() {
        outputs.refuse(waiting, &rejected(reason));
    }
}

/// The reason is the code, unless it is none or means something else in the pipeline.
fn rejected(reason: String) -> Failure {
    let message = format!(
        "the payment provider rejected the payment ({reason}); the basket is kept, check out \
         again to try another payment"
    );
    let failure = Failure::from(RequestFailed {
        code: reason,
        message: message.clone(),
    });
    match failure.keeps_dead_letter() || failure.may_be_repeated {
        true => Failure::new(PAYMENT_REJECTED, message),
        false => failure,
    }
}

/// The service. Its key is the order id.
pub fn order_payments(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("OrderPayments" in TOPICS))
        .on_with::<OrderPayments, _>(await_payment)
        .on_with::<PaymentConfirmations, _>(provider_says)
}

#[cfg(test)]
mod tests;
