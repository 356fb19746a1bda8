//! Orders, from the basket to the delivery.

mod bad_input;
mod kill;
pub mod shop;

use millstream_handlers::orders::{
    CARRIER_UNAVAILABLE, ORDER_ALREADY_DECIDED, ORDER_NOT_APPROVED, PAYMENT_TIMED_OUT,
    RELEASE_INVENTORY, SHIPMENT_REJECTED,
};
use millstream_schemas::order_approvals::ApprovalRecorded;
use millstream_schemas::payment_confirmations::PaymentConfirmed;
use millstream_topics::PaymentConfirmations;
use serde_json::json;

use self::shop::Shop;
use crate::support::{endpoints, failure, unique};

async fn shop() -> Shop {
    Shop::of(endpoints(), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_approved_shipped_and_delivered() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    assert_eq!(shop.add(&user, "laptop").await, ["laptop"]);
    assert_eq!(shop.add(&user, "mouse").await, ["laptop", "mouse"]);
    shop.completes(&user, &order).await;
    shop.basket_is(&user, &[]).await;
    let waiting = json!("AWAITING_APPROVAL");
    shop.becomes("OrderFulfillment", &order, "status", waiting)
        .await;
    shop.said(&order, &["shipments"], &[]).await;
    let recorded = shop.decide(&order, true).await;
    assert!(recorded.event::<ApprovalRecorded>().unwrap().approved);
    shop.is_fulfilled(&order).await;
    assert_eq!(shop.shipment(&order).await, (1, true, false));
    let reserved = shop.state("Inventory", &order).await;
    assert_eq!(reserved["status"], json!("RESERVED"));
    assert_eq!(reserved["items"], json!(["laptop", "mouse"]));

    // The same order id again: the same result, and nothing else.
    shop.add(&user, "keyboard").await;
    shop.completes(&user, &order).await;
    shop.basket_is(&user, &["keyboard"]).await;
    assert_eq!(shop.payments(&order).await, (1, 1));
    let said = ["FulfilOrder", "ReserveInventory", "InitiateShipment"];
    shop.said(&order, &["orders", "inventory", "shipments"], &said)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_carrier_rejects_is_undone() {
    let (shop, user, order) = (shop().await, unique("user"), unique("FAIL_SHIP"));
    shop.order(&user, &order).await;
    shop.decide(&order, true).await;
    let (reason, undone) = shop.is_rejected(&order).await;
    assert_eq!(reason, SHIPMENT_REJECTED);
    // There is no shipment to cancel.
    assert_eq!(undone, [RELEASE_INVENTORY]);
    let said = ["ReserveInventory", "InitiateShipment", "ReleaseInventory"];
    shop.said(&order, &["inventory", "shipments"], &said).await;
    assert_eq!(shop.shipment(&order).await, (1, false, false));
    shop.becomes("Inventory", &order, "status", json!("RELEASED"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_administrator_rejects_is_undone() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    shop.order(&user, &order).await;
    let recorded = shop.decide(&order, false).await;
    assert!(!recorded.event::<ApprovalRecorded>().unwrap().approved);
    let rejected = shop.is_rejected(&order).await;
    assert_eq!(
        rejected,
        (ORDER_NOT_APPROVED.into(), vec![RELEASE_INVENTORY.into()])
    );
    let said = ["ReserveInventory", "ReleaseInventory"];
    shop.said(&order, &["inventory", "shipments"], &said).await;

    // The first decision counts: the same one again is recorded, another is refused.
    let again = shop.decide(&order, false).await;
    assert!(!again.event::<ApprovalRecorded>().unwrap().approved);
    let other = shop.decide(&order, true).await;
    assert_eq!(failure(&other), ORDER_ALREADY_DECIDED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_may_come_before_the_order() {
    let (shop, user) = (shop().await, unique("user"));
    for approved in [true, false] {
        let order = unique("order");
        let recorded = shop.decide(&order, approved).await;
        let recorded: ApprovalRecorded = recorded.event().unwrap();
        assert_eq!(recorded.approved, approved);
        shop.order(&user, &order).await;
        match approved {
            true => shop.is_fulfilled(&order).await,
            false => assert_eq!(shop.is_rejected(&order).await.0, ORDER_NOT_APPROVED),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_payment_keeps_the_basket() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    shop.provider_rejects(&order, "insufficient-funds").await;
    shop.add(&user, "laptop").await;
    let refused = shop.checkout(&user, &order).await;
    assert_eq!(failure(&refused), "insufficient-funds");
    shop.basket_is(&user, &["laptop"]).await;
    shop.said(&order, &["orders"], &[]).await;

    // The user has found another card.
    shop.provider_confirms(&order).await;
    shop.completes(&user, &order).await;
    assert_eq!(shop.payments(&order).await, (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_comes_too_late_counts_for_the_next_checkout() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    shop.provider_keeps_silent(&order).await;
    shop.add(&user, "laptop").await;
    let before = missed_deadlines().await;
    let refused = shop.checkout(&user, &order).await;
    assert_eq!(failure(&refused), PAYMENT_TIMED_OUT);
    assert!(missed_deadlines().await > before, "it is counted");
    shop.basket_is(&user, &["laptop"]).await;
    shop.said(&order, &["orders"], &[]).await;

    is_confirmed(&shop, &order).await;
    shop.completes(&user, &order).await;
    shop.basket_is(&user, &[]).await;
    assert_eq!(shop.payments(&order).await.0, 1, "asked for once");
}

/// Requests for payments that were not answered in time.
async fn missed_deadlines() -> u64 {
    let page = millstream_pipeline::http::client()
        .get(&endpoints().metrics)
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    let name = "millstream_requests_timed_out_total{topic=\"order-payments\"} ";
    let count = page.lines().find_map(|line| line.strip_prefix(name));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_may_come_before_the_checkout() {
    let (shop, user, order) = (shop().await, unique("user"), unique("order"));
    is_confirmed(&shop, &order).await;
    shop.order(&user, &order).await;
    assert_eq!(shop.payments(&order).await.0, 0, "not asked for");
}

/// The order's payment is confirmed by an event of the test's own.
async fn is_confirmed(shop: &Shop, order: &str) {
    let transaction_id = unique("txn");
    let (confirmed, meta) = (PaymentConfirmed { transaction_id }, shop.client.meta());
    let sent = shop
        .client
        .send::<PaymentConfirmations>(order, confirmed, Some(&meta));
    sent.await.unwrap();
    shop.becomes("OrderPayments", order, "status", json!("CONFIRMED"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_out_of_reach_is_tried_four_times() {
    let (shop, user) = (shop().await, unique("user"));
    let (soon, never) = (unique("order"), unique("order"));
    for (order, failures) in [(&soon, 3), (&never, 4)] {
        shop.carrier_fails(order, failures).await;
        shop.decide(order, true).await;
        shop.order(&user, order).await;
    }
    shop.is_fulfilled(&soon).await;
    assert_eq!(shop.shipment(&soon).await, (4, true, false));
    let rejected = shop.is_rejected(&never).await;
    assert_eq!(
        rejected,
        (CARRIER_UNAVAILABLE.into(), vec![RELEASE_INVENTORY.into()])
    );
    assert_eq!(shop.shipment(&never).await, (4, false, false));
}
