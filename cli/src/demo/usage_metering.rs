//! A customer has a quota, uses more than that, sends a record again, and is given more.

use millstream_pipeline::events::Topic;
use millstream_schemas::usage_alerts::QuotaExceeded;
use millstream_schemas::usage_queries::{GetUsage, Usage};
use millstream_schemas::usage_quotas::{QuotaSet, SetQuota};
use millstream_schemas::usage_records::{RecordUsage, UsageRecorded};
use millstream_topics::{UsageAlerts, UsageQueries, UsageQuotas, UsageRecords};

use super::Run;

const RESOURCE: &str = "api-calls";
const QUOTA: i64 = 100;

fn used(record_id: &str, units: i64) -> RecordUsage {
    RecordUsage {
        resource: RESOURCE.into(),
        units,
        record_id: Some(record_id.into()),
    }
}

fn quota(limit: i64) -> SetQuota {
    SetQuota {
        resource: RESOURCE.into(),
        limit,
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let customer = run.key("customer1");
    let set: QuotaSet = run
        .request::<UsageQuotas, _>(&customer, quota(QUOTA))
        .await?;
    run.expect("the quota", set.limit, QUOTA);
    // The second of them crosses the quota; the last is a copy of it.
    for (record_id, units, total, remaining) in [
        ("first", 60, 60, 40),
        ("second", 70, 130, 0),
        ("third", 10, 140, 0),
        ("second", 70, 140, 0),
    ] {
        let recorded: UsageRecorded = run
            .request::<UsageRecords, _>(&customer, used(record_id, units))
            .await?;
        run.expect("the total", recorded.total, total);
        run.expect("what remains", recorded.remaining, Some(remaining));
    }
    run.request::<UsageQuotas, QuotaSet>(&customer, quota(2 * QUOTA))
        .await?;
    let recorded: UsageRecorded = run
        .request::<UsageRecords, _>(&customer, used("fourth", 100))
        .await?;
    run.expect("the total", recorded.total, 240);
    let usage: Usage = run
        .request::<UsageQueries, _>(&customer, GetUsage {})
        .await?;
    let entries: Vec<_> = usage
        .entries
        .iter()
        .map(|it| (it.total, it.limit))
        .collect();
    run.expect("the usage", entries, vec![(240, Some(2 * QUOTA))]);
    // What a decision emits is committed with its result, so both alerts are there by now.
    let topic = UsageAlerts::DECLARATION.name;
    run.record(topic, &customer).await?;
    let alerts = run.records(topic, &customer);
    let alerts: Result<Vec<_>, _> = alerts
        .iter()
        .map(|it| it.event::<QuotaExceeded>())
        .map(|it| it.map(|alert| (alert.total, alert.limit)))
        .collect();
    run.expect(
        "an alert for each crossing",
        alerts?,
        vec![(130, QUOTA), (240, 2 * QUOTA)],
    );
    Ok(())
}
