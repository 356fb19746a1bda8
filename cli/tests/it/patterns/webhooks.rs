//! Webhooks of a payment provider: once per event of the provider, in order per payment.

use millstream_pipeline::client::Client;
use millstream_schemas::payment_webhooks::{ProviderEvent, WebhookProcessed};
use millstream_topics::PaymentWebhooks;

use crate::support::{LIMIT, client, endpoints, failure, sql, unique, until};

const SUCCEEDED: &str = "payment_intent.succeeded";

fn event(id: &str, kind: &str, created: i64) -> ProviderEvent {
    ProviderEvent {
        event_id: id.into(),
        r#type: kind.into(),
        created,
        payload: "{}".into(),
    }
}

async fn deliver(client: &Client, payment: &str, event: ProviderEvent) -> WebhookProcessed {
    let request = client.request::<PaymentWebhooks>(payment, event, LIMIT);
    request.await.unwrap().event().unwrap()
}

async fn state(payment: &str, events: u64) -> serde_json::Value {
    until("the state", async || {
        let state = sql::state(endpoints(), "PaymentWebhooks", payment).await;
        let (_, state) = state.into_iter().next()?;
        (state["events"] == events).then_some(state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_once_and_each_delivery_answered() {
    let (client, payment) = (client().await, unique("payment"));
    let deliveries = (0..10).map(|_| deliver(&client, &payment, event("evt_1", SUCCEEDED, 5)));
    let processed = futures::future::join_all(deliveries).await;
    let duplicates = processed.iter().filter(|it| it.duplicate).count();
    assert_eq!(duplicates, 9);
    assert!(
        processed
            .iter()
            .all(|it| it.event_id == "evt_1" && it.r#type == SUCCEEDED)
    );
    // The same id at another payment is another event.
    let other = unique("payment");
    assert!(
        !deliver(&client, &other, event("evt_1", SUCCEEDED, 5))
            .await
            .duplicate
    );
    assert_eq!(state(&payment, 1).await["status"], SUCCEEDED);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_in_order_and_those_out_of_order_flagged() {
    let (client, payment) = (client().await, unique("payment"));
    let mut sent = Vec::new();
    for (id, created) in [("evt_1", 10), ("evt_2", 30), ("evt_3", 20), ("evt_4", 30)] {
        let meta = client.meta();
        let event = event(id, "payment_intent.processing", created);
        let sending = client.send::<PaymentWebhooks>(&payment, event, Some(&meta));
        sending.await.unwrap();
        sent.push(meta);
    }
    let mut flags = Vec::new();
    let mut last = 0;
    for meta in &sent {
        let seen = client.result_of(meta, LIMIT).await.unwrap();
        let seq = seen.meta.as_ref().unwrap().seq.unwrap();
        assert!(seq > last, "results come in the order of the events");
        last = seq;
        flags.push(seen.event::<WebhookProcessed>().unwrap().out_of_order);
    }
    assert_eq!(flags, [false, false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_types_are_acknowledged_and_counted() {
    let (client, payment) = (client().await, unique("payment"));
    let counted = async || {
        let page = millstream_pipeline::http::client()
            .get(&endpoints().metrics)
            .send()
            .await
            .unwrap();
        let page = page.text().await.unwrap();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("millstream_unknown_webhooks_total "));
        line.map(|count| count.parse::<f64>().unwrap())
    };
    let before = counted().await.expect("it is there before the first one");
    for id in ["evt_1", "evt_1", "evt_2"] {
        let processed = deliver(&client, &payment, event(id, "account.updated", 5)).await;
        assert!(!processed.known);
    }
    let state = state(&payment, 2).await;
    assert_eq!(
        (&state["unknown"], &state["status"]),
        (&2.into(), &serde_json::Value::Null)
    );
    until("the count", async || {
        (counted().await? >= before + 2.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_provider_sends_is_refused_and_changes_nothing() {
    let (client, payment) = (client().await, unique("payment"));
    for bad in [
        event("", SUCCEEDED, 5),
        event("evt_1", "", 5),
        event("evt_1", SUCCEEDED, -1),
        event(&"e".repeat(300), SUCCEEDED, 5),
    ] {
        let request = client.request::<PaymentWebhooks>(&payment, bad, LIMIT);
        assert_eq!(failure(&request.await.unwrap()), "invalid-request");
    }
    assert!(
        !deliver(&client, &payment, event("evt_1", SUCCEEDED, 5))
            .await
            .duplicate
    );
    assert_eq!(
        state(&payment, 1).await["event_ids"],
        serde_json::json!(["evt_1"])
    );
}
