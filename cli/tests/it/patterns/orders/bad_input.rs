//! What makes no sense is refused, changes nothing and is tried no more.

use millstream_handlers::orders::{
    EMPTY_BASKET, INVENTORY_RELEASED, ORDER_MISMATCH, PAYMENT_ALREADY_CONFIRMED, SHIPMENT_CANCELLED,
};
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::failure::{IDEMPOTENCY_MISMATCH, INVALID_REQUEST};
use millstream_schemas::inventory::{ReleaseInventory, ReserveInventory};
use millstream_schemas::order_payments::AwaitPayment;
use millstream_schemas::orders::FulfilOrder;
use millstream_schemas::payment_confirmations::{PaymentConfirmed, PaymentRejected};
use millstream_schemas::shipments::{CancelShipment, InitiateShipment};
use millstream_schemas::user_sessions::AddItem;
use millstream_topics::{
    Inventory, OrderPayments, Orders, PaymentConfirmations, PaymentConfirmationsEvent, Shipments,
    UserSessions,
};
use serde_json::{Value, json};

use super::shop;
use super::shop::Shop;
use crate::support::{LIMIT, failure, letter_code, unique};

/// The code with which this command is refused.
async fn refused<T: Topic>(shop: &Shop, key: &str, command: impl Into<T::Event>) -> String {
    let answer = shop.client.request::<T>(key, command, LIMIT).await;
    failure(&answer.unwrap())
}

fn laptop() -> Vec<String> {
    vec!["laptop".to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_refuses_what_makes_no_sense() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    let nothing = AddItem::default();
    let code = refused::<UserSessions>(&shop, &user, nothing).await;
    assert_eq!(code, INVALID_REQUEST);
    let empty = shop.checkout(&user, &order).await;
    assert_eq!(failure(&empty), EMPTY_BASKET);
    shop.add(&user, "laptop").await;
    let nameless = shop.checkout(&user, "").await;
    assert_eq!(failure(&nameless), INVALID_REQUEST);
    shop.said(&order, &["order-payments"], &[]).await;

    // An order of somebody else, who has paid it.
    shop.completes(&user, &order).await;
    let thief = unique("thief");
    shop.add(&thief, "laptop").await;
    let stolen = shop.checkout(&thief, &order).await;
    assert_eq!(failure(&stolen), ORDER_MISMATCH);
    shop.basket_is(&thief, &["laptop"]).await;
    assert_eq!(shop.payments(&order).await, (1, 1));
    shop.said(&order, &["orders"], &["FulfilOrder"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_refuse_orders_of_nothing() {
    let (shop, order) = (shop().await, unique("order"));
    let code = refused::<OrderPayments>(&shop, &order, AwaitPayment::default()).await;
    assert_eq!(code, INVALID_REQUEST);
    let code = refused::<Inventory>(&shop, &order, ReserveInventory::default()).await;
    assert_eq!(code, INVALID_REQUEST);
    let code = refused::<Shipments>(&shop, &order, InitiateShipment::default()).await;
    assert_eq!(code, INVALID_REQUEST);
    let code = refused::<Orders>(&shop, &order, FulfilOrder::default()).await;
    assert_eq!(code, INVALID_REQUEST);
    for service in ["OrderPayments", "Inventory", "Shipping"] {
        let state = shop.state(service, &order).await;
        assert_eq!(state.get("status").filter(|it| *it != "OPEN"), None);
    }
    // An order id is one order.
    let other = FulfilOrder {
        user_id: "user".into(),
        items: laptop(),
    };
    let code = refused::<Orders>(&shop, &order, other).await;
    assert_eq!(code, IDEMPOTENCY_MISMATCH);
    shop.said(&order, &["payment-requests"], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_undone_first_is_not_done_later() {
    let (shop, order) = (shop().await, unique("order"));
    let released = shop
        .client
        .request::<Inventory>(&order, ReleaseInventory {}, LIMIT);
    released.await.unwrap();
    let reserve = ReserveInventory { items: laptop() };
    let code = refused::<Inventory>(&shop, &order, reserve).await;
    assert_eq!(code, INVENTORY_RELEASED);
    let cancelled = shop
        .client
        .request::<Shipments>(&order, CancelShipment {}, LIMIT);
    cancelled.await.unwrap();
    let ship = InitiateShipment { items: laptop() };
    let code = refused::<Shipments>(&shop, &order, ship).await;
    assert_eq!(code, SHIPMENT_CANCELLED);
    assert!(!shop.shipment(&order).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_of_the_provider_is_a_dead_letter() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    shop.order(&user, &order).await;
    shop.becomes("OrderPayments", &order, "status", json!("CONFIRMED"))
        .await;
    let before = shop.state("OrderPayments", &order).await;
    let transaction_id = "another".to_owned();
    let again: PaymentConfirmationsEvent = PaymentConfirmed { transaction_id }.into();
    let reason = "card-expired".to_owned();
    let nameless = PaymentConfirmed::default().into();
    for (event, code) in [
        (again, PAYMENT_ALREADY_CONFIRMED),
        (PaymentRejected { reason }.into(), PAYMENT_ALREADY_CONFIRMED),
        (nameless, INVALID_REQUEST),
    ] {
        let meta: EventMeta = shop.client.meta();
        let sent = shop
            .client
            .send::<PaymentConfirmations>(&order, event, Some(&meta));
        let (partition, offset) = sent.await.unwrap();
        let is_letter = |seen: &millstream_pipeline::kafka::reader::Seen| {
            seen.topic == "payment-confirmations-dlq"
                && seen.header("__connect.errors.partition") == Some(&partition.to_string())
                && seen.header("__connect.errors.offset") == Some(&offset.to_string())
        };
        let letter = shop.client.wait_for("the dead letter", LIMIT, is_letter);
        assert_eq!(letter_code(&letter.await.unwrap()), code);
    }
    let business = |mut state: Value| {
        state["_m"].take();
        state
    };
    let after = shop.state("OrderPayments", &order).await;
    assert_eq!(business(after), business(before));
}
