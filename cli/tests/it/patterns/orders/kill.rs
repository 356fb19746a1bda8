//! Orders whose handlers are killed at every step, and orders that nobody decides about or that
//! somebody cancels.

use std::collections::BTreeMap;

use millstream_devstack::Part;
use millstream_handlers::orders::{APPROVAL_TIMED_OUT, ORDER_CLOSED, RELEASE_INVENTORY};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::user_sessions::CheckoutCompleted;
use serde_json::json;

use super::shop::{Shop, TALK};
use crate::support::{LIMIT, OwnStack, failure, query, unique, until};

/// What an order that was approved beforehand comes to, with a reply to each command but the last.
const EVENTS: [&str; 6] = [
    "AwaitPayment",
    "RequestPayment",
    "PaymentConfirmed",
    "FulfilOrder",
    "ReserveInventory",
    "InitiateShipment",
];
const REPLIES: usize = 3;

struct Killed {
    stack: OwnStack,
    shop: Shop,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_kill_at_every_step() {
    let delays = [
        ("MILLSTREAM_PAYMENT_DEADLINE_MS", "60000"),
        ("MILLSTREAM_APPROVAL_DEADLINE_MS", "3000"),
        ("MILLSTREAM_DELIVERY_WAIT_MS", "3000"),
    ]
    .map(|(name, ms)| (name.to_owned(), ms.to_owned()));
    let stack = OwnStack::start(BTreeMap::from([(Part::Handlers, delays.into())])).await;
    let shop = Shop::of(&stack.endpoints(), &["replies"]).await;
    let killed = Killed { stack, shop };
    for event in 1..=EVENTS.len() + REPLIES {
        killed.after(event).await;
    }
    killed.while_the_payment_is_awaited().await;
    killed.undecided().await;
    killed.cancelled().await;
}

impl Killed {
    async fn kill(&self) {
        self.stack.kill_part(Part::Handlers).await.unwrap();
        self.stack.start_part(Part::Handlers).await.unwrap();
    }

    /// Kills the handlers when an order has come to its event of this number.
    async fn after(&self, event: usize) {
        let (shop, user, order) = (&self.shop, unique("user"), unique("order"));
        shop.decide(&order, true).await;
        shop.add(&user, "laptop").await;
        let checkout = shop.begin_checkout(&user, &order).await;
        let of_order =
            |seen: &Seen| seen.meta.as_ref().unwrap().correlation_id == checkout.correlation_id;
        shop.watch.until(event, of_order).await;
        self.kill().await;

        let seen = shop.client.result_of(&checkout, LIMIT).await.unwrap();
        seen.event::<CheckoutCompleted>().unwrap();
        self.is_fulfilled_once(&user, &order).await;
    }

    /// Everything once, also for whoever asks again.
    async fn is_fulfilled_once(&self, user: &str, order: &str) {
        let shop = &self.shop;
        shop.is_fulfilled(order).await;
        shop.completes(user, order).await;
        shop.said(order, &TALK, &EVENTS).await;
        assert_eq!(shop.payments(order).await, (1, 1));
        // A carrier whose answer was killed is asked again for the same order.
        let (_, shipped, cancelled) = shop.shipment(order).await;
        assert_eq!((shipped, cancelled), (true, false));
        shop.basket_is(user, &[]).await;
    }

    /// The payment is confirmed while no handler runs.
    async fn while_the_payment_is_awaited(&self) {
        let (shop, user, order) = (&self.shop, unique("user"), unique("order"));
        shop.provider_keeps_silent(&order).await;
        shop.decide(&order, true).await;
        shop.add(&user, "laptop").await;
        let checkout = shop.begin_checkout(&user, &order).await;
        until("the payment request", async || {
            (shop.payments(&order).await == (1, 0)).then_some(())
        })
        .await;
        self.stack.kill_part(Part::Handlers).await.unwrap();
        let confirmed = millstream_schemas::payment_confirmations::PaymentConfirmed {
            transaction_id: "txn".to_owned(),
        };
        let meta = shop.client.meta();
        shop.client
            .send::<millstream_topics::PaymentConfirmations>(&order, confirmed, Some(&meta))
            .await
            .unwrap();
        self.stack.start_part(Part::Handlers).await.unwrap();
        let seen = shop.client.result_of(&checkout, LIMIT).await.unwrap();
        seen.event::<CheckoutCompleted>().unwrap();
        shop.is_fulfilled(&order).await;
        shop.said(&order, &TALK, &EVENTS).await;
        assert_eq!(shop.payments(&order).await.0, 1);
    }

    async fn undecided(&self) {
        let (shop, user, order) = (&self.shop, unique("user"), unique("order"));
        shop.order(&user, &order).await;
        let rejected = shop.is_rejected(&order).await;
        assert_eq!(
            rejected,
            (APPROVAL_TIMED_OUT.into(), vec![RELEASE_INVENTORY.into()])
        );
        for approved in [true, false] {
            let late = shop.decide(&order, approved).await;
            assert_eq!(failure(&late), ORDER_CLOSED);
        }
    }

    /// Cancelled on its way to the customer: the shipment is taken back first.
    async fn cancelled(&self) {
        let (shop, user, order) = (&self.shop, unique("user"), unique("order"));
        shop.decide(&order, true).await;
        shop.order(&user, &order).await;
        let delivering = json!("DELIVERING");
        shop.becomes("OrderFulfillment", &order, "status", delivering)
            .await;
        let admin = &shop.endpoints.restate_admin;
        let sql = format!(
            "SELECT id FROM sys_invocation \
             WHERE target_service_key = '{order}' AND target_handler_name = 'run'"
        );
        let run = query(admin, &sql).await.remove(0);
        let url = format!("{admin}/invocations/{}/cancel", run["id"].as_str().unwrap());
        let http = millstream_pipeline::http::builder()
            .no_proxy()
            .build()
            .unwrap();
        let answer = http.patch(url).send().await.unwrap();
        answer.error_for_status().unwrap();
        assert_eq!(failure(&shop.outcome(&order).await), "cancelled");
        let said = [
            "ReserveInventory",
            "InitiateShipment",
            "CancelShipment",
            "ReleaseInventory",
        ];
        shop.said(&order, &["inventory", "shipments"], &said).await;
        let (_, shipped, cancelled) = shop.shipment(&order).await;
        assert_eq!((shipped, cancelled), (true, true));
    }
}
