//! Usage metering: totals are exact whatever comes again, and whoever waits for nothing is counted too.

use futures::future::join_all;
use millstream_pipeline::events::Topic;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_schemas::usage_alerts::QuotaExceeded;
use millstream_schemas::usage_queries::{GetUsage, Usage};
use millstream_schemas::usage_quotas::SetQuota;
use millstream_schemas::usage_records::{RecordUsage, UsageRecorded};
use millstream_topics::{
    ProductReservations, UsageAlerts, UsageQueries, UsageQuotas, UsageRecords,
};
use serde_json::Value;

use crate::support::command::millstream_on;
use crate::support::{LIMIT, client, endpoints, unique, until};

/// What the verb `state` prints.
async fn state_of(arguments: &[&str]) -> Value {
    let ran = millstream_on(endpoints(), &[&["state"], arguments].concat(), "").await;
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_shown_of_both_lanes() {
    let client = client().await;
    let (customer, product) = (unique("customer"), unique("product"));
    let event = RecordUsage {
        resource: "storage".into(),
        units: 3,
        record_id: None,
    };
    let recorded = client.request::<UsageRecords>(&customer, event, LIMIT);
    recorded.await.unwrap();
    let reservation_id = "reservation1".to_owned();
    let event = ReserveProduct { reservation_id };
    let reserved = client.request::<ProductReservations>(&product, event, LIMIT);
    reserved.await.unwrap();
    // A result is there before the state is written.
    until("the state in Restate", async || {
        let arguments = ["state", "get", "ProductReservations", &product];
        let ran = millstream_on(endpoints(), &arguments, "").await;
        (ran.status == 0 && ran.json()["_m"].is_object()).then_some(())
    })
    .await;
    let state = state_of(&["get", "UsageMeter", &customer]).await;
    assert_eq!(state["resources"]["storage"]["total"], 3);
    let arguments = ["state", "list", "UsageMeter"];
    let ran = millstream_on(endpoints(), &arguments, "").await;
    let lines = ran.stdout.lines();
    let of_customer = lines.filter(|line| line.contains(&customer));
    assert_eq!(of_customer.count(), 1, "{ran:?}");
    let nobody = ["state", "get", "UsageMeter", "nobody-at-all"];
    let ran = millstream_on(endpoints(), &nobody, "").await;
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("state list UsageMeter"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_added_up_exactly_and_a_quota_is_crossed_once() {
    let (client, customer) = (client().await, unique("customer"));
    let resource = || "api-calls".to_owned();
    let quota = SetQuota {
        resource: resource(),
        limit: 50,
    };
    let set = client.request::<UsageQuotas>(&customer, quota, LIMIT);
    set.await.unwrap();
    // Each record twice, all at once.
    let recorded = (0..200).map(|number| {
        let event = RecordUsage {
            resource: resource(),
            units: 1,
            record_id: Some((number / 2).to_string()),
        };
        client.request::<UsageRecords>(&customer, event, LIMIT)
    });
    let mut totals: Vec<_> = join_all(recorded)
        .await
        .into_iter()
        .map(|seen| seen.unwrap().event::<UsageRecorded>().unwrap().total)
        .collect();
    totals.sort_unstable();
    assert_eq!((totals[0], totals[199]), (1, 100));
    let seen = client.request::<UsageQueries>(&customer, GetUsage {}, LIMIT);
    let usage: Usage = seen.await.unwrap().event().unwrap();
    assert_eq!(usage.entries[0].total, 100);
    let is_alert = |topic: &str, key: Option<&str>| {
        topic == UsageAlerts::DECLARATION.name && key == Some(customer.as_str())
    };
    let first = client.wait_for("an alert", LIMIT, |it| {
        is_alert(&it.topic, it.key.as_deref())
    });
    let alert: QuotaExceeded = first.await.unwrap().event().unwrap();
    assert_eq!((alert.total, alert.limit), (51, 50));
    let shown = state_of(&["get", "UsageMeter", &customer]).await;
    assert_eq!(shown["resources"]["api-calls"]["total"], 100);
    let alerts = client.seen(|it| is_alert(&it.topic, it.key.as_deref()));
    assert_eq!(alerts.len(), 1);
}
