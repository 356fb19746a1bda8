//! A user's basket, and its checkout.
//!
//! A checkout asks [`super::OrderPayments`] for the payment and waits. When it is paid, the handler
//! ends with three things that Kafka acknowledges before the state is written: the order on its
//! way to fulfilment, the result, and then the completion marker with an empty basket. A crash in
//! between finds the payment in the journal, or with the order's payment: it is not paid again.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::process::outputs::Outputs;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepError, StepResult};
use millstream_schemas::order_payments::{AwaitPayment, PaymentReceived};
use millstream_schemas::orders::FulfilOrder;
use millstream_schemas::user_sessions::{AddItem, BasketUpdated, CheckoutCompleted};
use millstream_topics::{OrderPayments, Orders, TOPICS, UserSessions, UserSessionsEvent};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::Settings;

/// There is nothing to check out.
pub const EMPTY_BASKET: &str = "empty-basket";
/// The basket takes no more.
pub const BASKET_FULL: &str = "basket-full";
/// The payment provider has not said in time whether the order is paid.
pub const PAYMENT_TIMED_OUT: &str = "payment-timed-out";

/// Items in a basket: its state is written with every event.
const MAX_ITEMS: usize = 1000;
/// Completed checkouts that a user's session remembers.
const REMEMBERED: usize = 100;

/// The service. Its key is the user id.
pub struct UserSession {
    service: Service,
    payment_deadline: Duration,
}

impl UserSession {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(UserSession in TOPICS)),
            payment_deadline: settings.payment_deadline,
        }
    }
}

/// What a user has chosen, and what became of it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    #[serde(default)]
    basket: Vec<String>,
    /// Ids of completed checkouts, the latest last.
    #[serde(default)]
    completed: Vec<String>,
}

/// What a checkout has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Checkout {
    /// Nothing: it was completed before.
    Completed,
    /// To have these items paid.
    Pay(Vec<String>),
}

/// An item is added at the end, as often as it is asked for.
pub fn add_item(session: &mut Session, request: AddItem) -> Result<BasketUpdated, Failure> {
    if request.item.is_empty() {
        return Err(Failure::invalid_request("item is empty; name the item"));
    }
    if session.basket.len() >= MAX_ITEMS {
        return Err(Failure::new(
            BASKET_FULL,
            format!("the basket holds {MAX_ITEMS} items; check it out first"),
        ));
    }
    session.basket.push(request.item);
    Ok(BasketUpdated {
        items: session.basket.clone(),
    })
}

/// What there is to do for the checkout of this order.
pub fn begin(session: &Session, order_id: &str) -> Result<Checkout, Failure> {
    if order_id.is_empty() {
        return Err(Failure::invalid_request(
            "order_id is empty; choose an id for the order",
        ));
    }
    if session.completed.iter().any(|id| id == order_id) {
        return Ok(Checkout::Completed);
    }
    if session.basket.is_empty() {
        return Err(Failure::new(
            EMPTY_BASKET,
            "the basket is empty; add an item, then check out",
        ));
    }
    Ok(Checkout::Pay(session.basket.clone()))
}

/// The order is paid: it goes to fulfilment, and the basket is empty.
pub fn complete(session: &mut Session, order_id: &str, outputs: &mut Outputs) -> CheckoutCompleted {
    let order = FulfilOrder {
        user_id: outputs.key().to_owned(),
        items: std::mem::take(&mut session.basket),
    };
    outputs.emit::<Orders>(order_id, order);
    session.completed.push(order_id.to_owned());
    let forgotten = session.completed.len().saturating_sub(REMEMBERED);
    session.completed.drain(..forgotten);
    CheckoutCompleted {
        order_id: order_id.to_owned(),
    }
}

/// A payment that has not come in time may still come.
fn paid(outcome: StepResult<PaymentReceived>) -> StepResult<PaymentReceived> {
    match outcome {
        Err(StepError::Failed(failure)) if failure.code == failure::DEADLINE_EXCEEDED => {
            let message = "the payment was not confirmed in time; the basket is kept, and a \
                           checkout with the same order id goes on waiting for the same payment";
            Err(Failure::passing(PAYMENT_TIMED_OUT, message).into())
        }
        outcome => outcome,
    }
}

#[restate_sdk::object]
impl UserSession {
    /// Handles `user-sessions`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<UserSessions, Session>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        if let Err(failure) = turn.owned_by(ctx.key()) {
            return turn.fail(failure).await;
        }
        let order_id = match turn.event.clone() {
            UserSessionsEvent::AddItem(request) => {
                return turn
                    .decide(|session, _| Ok(add_item(session, request)?.into()))
                    .await;
            }
            UserSessionsEvent::Checkout(request) => request.order_id,
        };
        let items = match begin(turn.state(), &order_id) {
            Ok(Checkout::Pay(items)) => items,
            Ok(Checkout::Completed) => return turn.answer(CheckoutCompleted { order_id }).await,
            Err(failure) => return turn.fail(failure).await,
        };
        let payment = AwaitPayment {
            user_id: ctx.key().to_owned(),
            items,
        };
        let steps = turn.steps();
        let answer = steps.request::<OrderPayments>(&order_id, payment, self.payment_deadline);
        match paid(answer.await) {
            Ok(_) => {
                turn.decide_with(|session, _, outputs| {
                    Ok(Some(complete(session, &order_id, outputs).into()))
                })
                .await
            }
            Err(StepError::Failed(failure)) => turn.fail(failure).await,
            Err(StepError::Attempt(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_pipeline::events::EventMeta;

    use super::*;

    fn with(items: &[&str]) -> Session {
        let mut session = Session::default();
        for item in items {
            let item = (*item).into();
            add_item(&mut session, AddItem { item }).unwrap();
        }
        session
    }

    fn outputs() -> Outputs {
        Outputs::new("user", EventMeta::default(), 0)
    }

    #[test]
    fn items_are_kept_in_order() {
        let mut session = with(&["laptop"]);
        let item = "laptop".to_owned();
        let basket = add_item(&mut session, AddItem { item }).unwrap();
        assert_eq!(basket.items, ["laptop", "laptop"]);
    }

    #[test]
    fn nothing_is_no_item_and_a_basket_has_a_bottom() {
        let refused = add_item(&mut with(&[]), AddItem::default()).unwrap_err();
        assert_eq!(refused.code, failure::INVALID_REQUEST);
        let item = "straw".to_owned();
        let refused = add_item(&mut with(&["straw"; MAX_ITEMS]), AddItem { item }).unwrap_err();
        assert_eq!(refused.code, BASKET_FULL);
    }

    #[test]
    fn a_checkout_is_completed_once() {
        let (mut session, mut outputs) = (with(&["laptop"]), outputs());
        let items = vec!["laptop".to_owned()];
        assert_eq!(begin(&session, "order"), Ok(Checkout::Pay(items.clone())));
        let completed = complete(&mut session, "order", &mut outputs);
        assert_eq!(completed.order_id, "order");
        let order = FulfilOrder {
            user_id: "user".into(),
            items,
        };
        let emitted: Vec<_> = outputs.emitted().collect();
        assert_eq!(emitted.len(), 1);
        assert!(emitted[0].is::<Orders>("order", order, None));

        assert_eq!(begin(&session, "order"), Ok(Checkout::Completed));
        assert_eq!(begin(&session, "other").unwrap_err().code, EMPTY_BASKET);
        assert_eq!(
            begin(&session, "").unwrap_err().code,
            failure::INVALID_REQUEST
        );
    }

    #[test]
    fn the_latest_checkouts_are_remembered() {
        let mut session = Session::default();
        for order in 0..=REMEMBERED {
            complete(&mut session, &order.to_string(), &mut outputs());
        }
        assert_eq!(session.completed.len(), REMEMBERED);
        assert_eq!(session.completed[0], "1");
    }

    #[test]
    fn a_missing_payment_may_come_later() {
        let late = Failure::new(failure::DEADLINE_EXCEEDED, "no reply");
        let Err(StepError::Failed(failure)) = paid(Err(late.into())) else {
            panic!("it is a failure");
        };
        assert_eq!(failure.code, PAYMENT_TIMED_OUT);
        assert!(failure.may_be_repeated);
    }
}
