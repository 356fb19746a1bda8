//! A user, an administrator, the payment provider and the carrier.

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::order_approvals::ApproveOrder;
use millstream_schemas::orders;
use millstream_schemas::user_sessions::{AddItem, BasketUpdated, Checkout, CheckoutCompleted};
use millstream_topics::{OrderApprovals, Orders, UserSessions};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::support::watch::Watch;
use crate::support::{LIMIT, client_of, sql, until};

/// What services say to each other about an order.
pub const TALK: [&str; 6] = [
    "order-payments",
    "payment-requests",
    "payment-confirmations",
    "orders",
    "inventory",
    "shipments",
];

pub struct Shop {
    pub client: Arc<Client>,
    pub watch: Watch,
    pub endpoints: Endpoints,
    stand_ins: String,
    http: reqwest::Client,
}

impl Shop {
    pub async fn of(endpoints: &Endpoints, further: &[&str]) -> Self {
        let topics = [&TALK, further].concat();
        Self {
            client: client_of(endpoints).await,
            watch: Watch::new(endpoints, &topics).await,
            endpoints: endpoints.clone(),
            stand_ins: endpoints.stand_ins.clone().expect("a dev stack has them"),
            http: millstream_pipeline::http::builder()
                .no_proxy()
                .build()
                .unwrap(),
        }
    }

    /// Puts an item into the basket; what is in it.
    pub async fn add(&self, user: &str, item: &str) -> Vec<String> {
        let item = item.to_owned();
        let added = self
            .client
            .request::<UserSessions>(user, AddItem { item }, LIMIT);
        let basket: BasketUpdated = added.await.unwrap().event().unwrap();
        basket.items
    }

    pub async fn begin_checkout(&self, user: &str, order: &str) -> EventMeta {
        let (meta, order_id) = (self.client.meta(), order.to_owned());
        let sent = self
            .client
            .send::<UserSessions>(user, Checkout { order_id }, Some(&meta));
        sent.await.unwrap();
        meta
    }

    pub async fn checkout(&self, user: &str, order: &str) -> Seen {
        let meta = self.begin_checkout(user, order).await;
        self.client.result_of(&meta, LIMIT).await.unwrap()
    }

    /// A user's laptop, checked out and paid.
    pub async fn order(&self, user: &str, order: &str) {
        self.add(user, "laptop").await;
        self.completes(user, order).await;
    }

    pub async fn completes(&self, user: &str, order: &str) {
        let seen = self.checkout(user, order).await;
        let completed: CheckoutCompleted = seen.event().unwrap();
        assert_eq!(completed.order_id, order);
    }

    /// An administrator's decision, and the answer to it.
    pub async fn decide(&self, order: &str, approved: bool) -> Seen {
        self.client
            .request::<OrderApprovals>(order, ApproveOrder { approved }, LIMIT)
            .await
            .unwrap()
    }

    /// What the order comes to.
    pub async fn outcome(&self, order: &str) -> Seen {
        let results = Orders::DECLARATION.results.as_ref().unwrap().name;
        let of_order = |seen: &Seen| seen.topic == results && seen.key.as_deref() == Some(order);
        let what = format!("the outcome of {order}");
        self.client.wait_for(&what, LIMIT, of_order).await.unwrap()
    }

    pub async fn is_fulfilled(&self, order: &str) {
        let seen = self.outcome(order).await;
        seen.event::<orders::OrderFulfilled>().unwrap();
    }

    /// Code of the reason, and what was undone.
    pub async fn is_rejected(&self, order: &str) -> (String, Vec<String>) {
        let seen = self.outcome(order).await;
        let rejected: orders::OrderRejected = seen.event().unwrap();
        let (code, _) = rejected.reason.split_once(": ").unwrap();
        (code.to_owned(), rejected.compensations)
    }

    /// Checks the short names of what was said about the order on these topics, each once, in
    /// order.
    pub async fn said(&self, order: &str, topics: &[&str], expected: &[&str]) {
        let about = |seen: &Seen| {
            topics.contains(&seen.topic.as_str()) && seen.key.as_deref() == Some(order)
        };
        self.watch.until(expected.len(), about).await;
        let mut events = self.watch.events(about);
        events.sort_by_key(|seen| seen.timestamp);
        let names = events.iter().map(|seen| seen.full_name.as_deref().unwrap());
        let names: Vec<_> = names.map(|name| name.rsplit('.').next().unwrap()).collect();
        assert_eq!(names, expected);
    }

    /// The state of an object that has nothing to do any more.
    pub async fn state(&self, service: &str, key: &str) -> Value {
        let entry = sql::settled_state(&self.endpoints, service, key)
            .await
            .pop();
        entry.map_or(Value::Null, |(_, state)| state)
    }

    /// Waits until a field of the state is this: a result is published before the state is written.
    pub async fn becomes(&self, service: &str, key: &str, field: &str, expected: Value) {
        until(
            &format!("{service}/{key}: {field} = {expected}"),
            async || {
                let (_, state) = sql::state(&self.endpoints, service, key).await.pop()?;
                (state[field] == expected).then_some(())
            },
        )
        .await;
    }

    pub async fn basket_is(&self, user: &str, items: &[&str]) {
        self.becomes("UserSession", user, "basket", json!(items))
            .await;
    }

    async fn put(&self, path: &str, body: Value) {
        let url = format!("{}/{path}", self.stand_ins);
        let answer = self.http.put(url).json(&body).send().await.unwrap();
        answer.error_for_status().unwrap();
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/{path}", self.stand_ins);
        let answer = self.http.get(url).send().await.unwrap();
        answer.json().await.unwrap()
    }

    pub async fn provider_confirms(&self, order: &str) {
        let path = format!("payment-provider/orders/{order}");
        self.put(&path, json!("CONFIRM")).await;
    }

    pub async fn provider_rejects(&self, order: &str, reason: &str) {
        let path = format!("payment-provider/orders/{order}");
        self.put(&path, json!({ "REJECT": reason })).await;
    }

    pub async fn provider_keeps_silent(&self, order: &str) {
        let path = format!("payment-provider/orders/{order}");
        self.put(&path, json!("KEEP_SILENT")).await;
    }

    /// Requests that the provider has had for the order, and payments that it collected.
    pub async fn payments(&self, order: &str) -> (u64, usize) {
        let payments = self.get(&format!("payment-provider/orders/{order}")).await;
        let collected = payments["transactions"].as_array().unwrap().len();
        (payments["requests"].as_u64().unwrap(), collected)
    }

    pub async fn carrier_fails(&self, order: &str, times: u32) {
        let path = format!("carrier/failing/{order}");
        self.put(&path, json!(times)).await;
    }

    /// Requests that the carrier has had for the order, whether it took it, and gave it back.
    pub async fn shipment(&self, order: &str) -> (u64, bool, bool) {
        let shipment = self.get(&format!("carrier/shipments/{order}")).await;
        let is = |field: &str| shipment[field].as_bool().unwrap();
        (
            shipment["requests"].as_u64().unwrap(),
            is("shipped"),
            is("cancelled"),
        )
    }
}
