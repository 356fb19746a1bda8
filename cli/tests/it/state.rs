//! What Restate keeps per object and per event.

use millstream_pipeline::events::EventMeta;
use millstream_schemas::package_registrations::RegisterPackage;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::{PackageRegistrations, ProductReservations};
use serde_json::json;

use crate::support::{LIMIT, client, endpoints, sql, unique, until};

fn command() -> ReserveProduct {
    ReserveProduct {
        reservation_id: "r1".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_has_one_readable_state_entry() {
    let client = client().await;
    let (product, package) = (unique("product"), unique("package"));
    let meta = client.meta();
    client
        .request_with::<ProductReservations>(&product, command(), meta, LIMIT)
        .await
        .unwrap();
    let command = RegisterPackage {
        final_destination: "Amsterdam".into(),
    };
    client
        .request::<PackageRegistrations>(&package, command, LIMIT)
        .await
        .unwrap();

    let (name, state) = only_entry("ProductReservations", &product).await;
    assert_eq!(name, "state");
    assert_eq!(state["reserved_by"], "r1");
    assert_eq!(
        state["_m"]["s"],
        json!({ "product-reservations-results": 1 })
    );
    let fields: Vec<_> = state.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["_m", "reserved_by"]);

    let (name, state) = only_entry("PackageTracker", &package).await;
    assert_eq!(name, "state");
    let info = json!({ "final_destination": "Amsterdam", "locations": [] });
    assert_eq!(state["package-info"], info);
}

/// The one entry of an object. It is written after the result that told of it.
async fn only_entry(service: &str, key: &str) -> (String, serde_json::Value) {
    let mut entries = until("the state", async || {
        let entries = sql::state(endpoints(), service, key).await;
        (!entries.is_empty()).then_some(entries)
    })
    .await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

/// The journals of an object once `count` events are finished.
async fn journals(key: &str, count: usize) -> Vec<Vec<String>> {
    until("the end of the invocations", async || {
        let journals = sql::journals(endpoints(), "ProductReservations", key).await;
        let finished = journals.iter().all(|(status, _)| status == "completed");
        (journals.len() == count && finished)
            .then(|| journals.into_iter().map(|(_, entries)| entries).collect())
    })
    .await
}

/// Each entry is a record in Restate's log and costs some 150 us: see `pipeline/src/lane/keyed.rs`.
const PLAIN: [&str; 3] = ["Command: Input", "Command: SetState", "Command: Output"];

#[tokio::test(flavor = "multi_thread")]
async fn an_event_costs_three_journal_entries() {
    let client = client().await;
    let product = unique("product");
    let idempotent = || EventMeta {
        idempotency_key: Some("key".into()),
        ..client.meta()
    };
    for meta in [client.meta(), idempotent(), idempotent()] {
        client
            .request_with::<ProductReservations>(&product, command(), meta, LIMIT)
            .await
            .unwrap();
    }
    for entries in journals(&product, 3).await {
        assert_eq!(entries, PLAIN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_may_expire_costs_three_more() {
    let client = client().await;
    let product = unique("product");
    let meta = client.meta();
    let meta = EventMeta {
        expires_at: Some(meta.time + 3_600_000_000),
        ..meta
    };
    client
        .request_with::<ProductReservations>(&product, command(), meta, LIMIT)
        .await
        .unwrap();
    let entries = journals(&product, 1).await.remove(0);
    assert_eq!(entries.len(), PLAIN.len() + 3, "{entries:?}");
}
