//! Usage metering: what customers use is added up, exactly, and whoever comes beyond a quota is told
//! of once for each crossing.
//!
//! There may be very many events, each of which changes little: so it is in the batch lane. Nothing
//! here knows of that but the topic files.

use std::collections::{BTreeMap, VecDeque};

use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::process::outputs::Outputs;
use millstream_pipeline::record::digest::{digest, hex};
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::usage_alerts::QuotaExceeded;
use millstream_schemas::usage_queries::{GetUsage, Usage, UsageEntry};
use millstream_schemas::usage_quotas::{QuotaSet, SetQuota};
use millstream_schemas::usage_records::{RecordUsage, UsageRecorded};
use millstream_topics::{TOPICS, UsageAlerts, UsageQueries, UsageQuotas, UsageRecords};
use serde::{Deserialize, Serialize};

/// A customer has too many resources for a further one.
pub const TOO_MANY_RESOURCES: &str = "too-many-resources";

/// Resources of a customer: all of them are written with every change.
const MAX_RESOURCES: usize = 100;
/// Record ids of a customer that are known again, the latest.
const MAX_RECORDS: usize = 500;
/// Bytes of a resource's name.
const MAX_NAME: usize = 200;

/// The service. Its key is the customer id.
pub fn usage_meter(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("UsageMeter" in TOPICS))
        .on_with::<UsageRecords, _>(record)
        .on_with::<UsageQuotas, _>(set_quota)
        .on::<UsageQueries, _>(usage)
}

/// What is known of a customer.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    #[serde(default)]
    resources: BTreeMap<String, Meter>,
    /// Digests of the record ids that were counted last.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    records: VecDeque<String>,
}

/// What was used of a resource, and how much of it may be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Meter {
    total: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
}

impl Meter {
    /// The quota, if more than that was used.
    fn exceeded(self) -> Option<i64> {
        self.limit.filter(|limit| self.total > *limit)
    }
}

impl Customer {
    fn meter(&mut self, resource: &str) -> Result<&mut Meter, Failure> {
        if resource.is_empty() || resource.len() > MAX_NAME {
            return Err(Failure::invalid_request(format!(
                "resource must have 1 to {MAX_NAME} bytes; name what is used"
            )));
        }
        if !self.resources.contains_key(resource) && self.resources.len() >= MAX_RESOURCES {
            return Err(Failure::new(
                TOO_MANY_RESOURCES,
                format!("a customer has {MAX_RESOURCES} resources at most; use fewer names"),
            ));
        }
        Ok(self.resources.entry(resource.to_owned()).or_default())
    }

    /// Whether a record was counted before. From now on it was.
    fn knows(&mut self, record_id: &str) -> bool {
        let digest = hex::<8>(&digest(&[record_id.as_bytes()]));
        if self.records.contains(&digest) {
            return true;
        }
        self.records.push_back(digest);
        let forgotten = self.records.len().saturating_sub(MAX_RECORDS);
        self.records.drain(..forgotten);
        false
    }
}

/// Changes a meter, and tells of it if that crosses its quota.
fn change(meter: &mut Meter, resource: &str, changed: Meter, outputs: &mut Outputs) {
    let before = std::mem::replace(meter, changed);
    if let (None, Some(limit)) = (before.exceeded(), changed.exceeded()) {
        let alert = QuotaExceeded {
            resource: resource.to_owned(),
            total: changed.total,
            limit,
        };
        outputs.emit::<UsageAlerts>(outputs.key().to_owned(), alert);
    }
}

/// Adds up. Usage beyond the quota counts as well: it has happened.
pub fn record(
    customer: &mut Customer,
    event: RecordUsage,
    outputs: &mut Outputs,
) -> Result<Option<UsageRecorded>, Failure> {
    let RecordUsage {
        resource,
        units,
        record_id,
    } = event;
    if units < 1 {
        return Err(Failure::invalid_request("units must be one or more"));
    }
    let known = record_id.is_some_and(|id| customer.knows(&id));
    let meter = customer.meter(&resource)?;
    if !known {
        let total = meter.total.checked_add(units).ok_or_else(|| {
            Failure::invalid_request("the total would be larger than a long; use larger units")
        })?;
        let changed = Meter { total, ..*meter };
        change(meter, &resource, changed, outputs);
    }
    let Meter { total, limit } = *meter;
    Ok(Some(UsageRecorded {
        resource,
        total,
        remaining: limit.map(|limit| limit.saturating_sub(total).max(0)),
    }))
}

/// Sets a quota. One that is exceeded already is told of like any other crossing.
pub fn set_quota(
    customer: &mut Customer,
    event: SetQuota,
    outputs: &mut Outputs,
) -> Result<Option<QuotaSet>, Failure> {
    let SetQuota { resource, limit } = event;
    if limit < 0 {
        return Err(Failure::invalid_request("limit must be zero or more"));
    }
    let meter = customer.meter(&resource)?;
    let changed = Meter {
        limit: Some(limit),
        ..*meter
    };
    change(meter, &resource, changed, outputs);
    Ok(Some(QuotaSet { limit }))
}

/// All that is known.
pub fn usage(customer: &mut Customer, _: GetUsage) -> Result<Usage, Failure> {
    let entries = customer.resources.iter();
    let entries = entries.map(|(resource, meter)| UsageEntry {
        resource: resource.clone(),
        total: meter.total,
        limit: meter.limit,
    });
    Ok(Usage {
        entries: entries.collect(),
    })
}

#[cfg(test)]
mod tests;
