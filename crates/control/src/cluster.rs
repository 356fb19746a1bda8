//! The cluster step: how Restate reaches Kafka.

use std::collections::BTreeMap;

use super::plan::{Change, Problem};
use super::restate::ActualCluster;

/// What the server shows in place of a secret.
const REDACTED: &str = "***";

/// How the cluster must change; settings that somebody added stay, for they tune it.
pub(crate) fn compare(
    name: &str,
    declared: &BTreeMap<String, String>,
    actual: &[ActualCluster],
) -> (Option<Change>, Option<Problem>) {
    let Some(actual) = actual.iter().find(|cluster| cluster.name == name) else {
        let create = Change::CreateCluster {
            name: name.into(),
            properties: declared.clone(),
        };
        return (Some(create), None);
    };
    let differing: Vec<String> = declared
        .iter()
        .filter(|(key, value)| {
            // A redacted value cannot be compared; it is taken as equal.
            actual
                .properties
                .get(*key)
                .is_none_or(|actual| actual != REDACTED && actual != *value)
        })
        .map(|(key, _)| key.clone())
        .collect();
    if differing.is_empty() {
        return (None, None);
    }
    let mut properties = actual.properties.clone();
    properties.extend(declared.clone());
    let hidden: Vec<&str> = properties
        .iter()
        .filter(|(_, value)| *value == REDACTED)
        .map(|(key, _)| key.as_str())
        .collect();
    if !hidden.is_empty() {
        let refusal = Problem::refusal(format!(
            "Restate's Kafka cluster {name} must change ({}), and an update replaces all its properties; the \
             server does not show {}, so name them with their values as Kafka options",
            differing.join(", "),
            hidden.join(", ")
        ));
        return (None, Some(refusal));
    }
    (
        Some(Change::UpdateCluster {
            name: name.into(),
            properties,
            differing,
        }),
        None,
    )
}
