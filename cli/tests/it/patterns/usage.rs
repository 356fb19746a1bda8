//! Usage metering: totals are exact whatever comes again, and whoever waits for nothing is counted too.

use futures::future::join_all;
use millstream_pipeline::events::Topic;
use millstream_schemas::usage_alerts::QuotaExceeded;
use millstream_schemas::usage_queries::{GetUsage, Usage};
use millstream_schemas::usage_quotas::SetQuota;
use millstream_schemas::usage_records::{RecordUsage, UsageRecorded};
use millstream_topics::{UsageAlerts, UsageQueries, UsageQuotas, UsageRecords};

use crate::support::{LIMIT, client, unique};

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
    let alerts = client.seen(|it| is_alert(&it.topic, it.key.as_deref()));
    assert_eq!(alerts.len(), 1);
}
