//! The topic step: which topics are declared, and how the actual ones differ.

use std::collections::BTreeMap;

use millstream_events::{Cleanup, Declaration, Identity};

use super::kafka::ActualTopic;
use super::plan::{Change, Problem, SettingChange};
use millstream_pipeline::record::EXPLAINED_MAX_BYTES;

/// Dead letters wait for a person, so they are kept for 30 days.
const DEAD_LETTER_RETENTION_MS: i64 = 30 * 24 * 3600 * 1000;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Events,
    /// What the guard lets through of a foreign topic.
    Guarded,
    Results,
    /// Results that are published once more, each exactly once.
    Once,
    DeadLetters,
}

/// A topic as it should be.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredTopic {
    pub name: String,
    /// The declaration that it comes from.
    pub of: &'static str,
    pub role: Role,
    pub partitions: i32,
    pub replication: Option<i32>,
    settings: BTreeMap<&'static str, String>,
}

/// The declared topics with their result and dead letter topics, each name once.
pub(crate) fn declared(declarations: &[&Declaration]) -> Vec<DeclaredTopic> {
    let mut topics: Vec<DeclaredTopic> = Vec::new();
    for declaration in declarations {
        let mut own = settings(declaration.cleanup, declaration.retention_ms);
        // Proofs expire by the time of the record, which its producer must not choose.
        let times = (declaration.identity == Identity::Required)
            .then(|| ("message.timestamp.type", "LogAppendTime".to_owned()));
        own.extend(times.clone().filter(|_| !declaration.guard));
        if declaration.is_of_states() {
            let largest = largest_state(declaration);
            own.insert("max.message.bytes", largest.to_string());
            own.insert("segment.bytes", STATE_SEGMENT.max(2 * largest).to_string());
        }
        // A result topic comes with the topic whose results it carries.
        if !declaration.is_of_results() {
            topics.push(DeclaredTopic {
                name: declaration.name.into(),
                of: declaration.name,
                role: Role::Events,
                partitions: declaration.partitions,
                replication: declaration.replication,
                settings: own,
            });
        }
        if declaration.guard {
            let mut settings = settings(declaration.cleanup, declaration.retention_ms);
            settings.insert("max.message.bytes", EXPLAINED_MAX_BYTES.to_string());
            settings.extend(times);
            topics.push(DeclaredTopic {
                name: declaration.subscribed_topic(),
                of: declaration.name,
                role: Role::Guarded,
                partitions: declaration.partitions,
                replication: declaration.replication,
                settings,
            });
        }
        for results in declaration.results.iter() {
            topics.push(DeclaredTopic {
                name: results.name.into(),
                of: declaration.name,
                role: Role::Results,
                partitions: results.partitions,
                replication: declaration.replication,
                settings: settings(Cleanup::Delete, results.retention_ms),
            });
            let Some(once) = results.once else { continue };
            // As it came, and a header if it was missed.
            let mut settings = settings(Cleanup::Delete, results.retention_ms);
            settings.insert("max.message.bytes", EXPLAINED_MAX_BYTES.to_string());
            topics.push(DeclaredTopic {
                name: once.name.into(),
                of: declaration.name,
                role: Role::Once,
                partitions: results.partitions,
                replication: declaration.replication,
                settings,
            });
        }
        if declaration.dead_letters {
            let mut settings = settings(Cleanup::Delete, DEAD_LETTER_RETENTION_MS);
            settings.insert("max.message.bytes", EXPLAINED_MAX_BYTES.to_string());
            topics.push(DeclaredTopic {
                name: declaration.dead_letter_topic(),
                of: declaration.file(),
                role: Role::DeadLetters,
                // They are few and read by people: one partition keeps them in one order.
                partitions: 1,
                replication: declaration.replication,
                settings,
            });
        }
    }
    topics
}

/// The newest segment of a partition is never compacted, and whoever takes a shard over reads it as well.
/// By default it may have a gigabyte.
const STATE_SEGMENT: usize = 32 * 1024 * 1024;

/// A state is written whole: fields, and what is remembered of commands, in base64. Besides there are
/// marks and numbers.
fn largest_state(declaration: &Declaration) -> usize {
    const MARKS: usize = 1024 * 1024;
    declaration.state_limit + declaration.idempotency_bytes / 3 * 4 + MARKS
}

fn settings(cleanup: Cleanup, retention_ms: i64) -> BTreeMap<&'static str, String> {
    let mut settings = BTreeMap::from([("cleanup.policy", cleanup.as_str().to_owned())]);
    if cleanup == Cleanup::Delete {
        settings.insert("retention.ms", retention_ms.to_string());
    }
    settings
}

impl DeclaredTopic {
    /// The settings with `min.insync.replicas`, which depends on how many replicas there are:
    /// two where replicated, and never more than exist, or nothing could be produced.
    pub fn settings(&self, replication: i32) -> BTreeMap<String, String> {
        let mut settings: BTreeMap<String, String> = self
            .settings
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect();
        settings.insert(
            "min.insync.replicas".into(),
            replication.clamp(1, 2).to_string(),
        );
        settings
    }

    /// Whether none of our settings was ever set on the topic. `apply` sets them all, so a
    /// topic that is subscribed and has none was made anew by somebody else.
    pub fn is_foreign(&self, actual: &ActualTopic) -> bool {
        self.settings(actual.replication).keys().all(|name| {
            actual
                .settings
                .get(name)
                .is_none_or(|setting| !setting.explicit)
        })
    }
}

/// How `actual` must change to be as declared; `None` as actual: it does not exist.
pub(crate) fn compare(
    topic: &DeclaredTopic,
    actual: Option<&ActualTopic>,
    default_replication: i32,
) -> (Option<Change>, Vec<Problem>) {
    let Some(actual) = actual else {
        let replication = topic.replication.unwrap_or(default_replication);
        let create = Change::CreateTopic {
            topic: topic.name.clone(),
            partitions: topic.partitions,
            replication: topic.replication,
            settings: topic.settings(replication),
        };
        return (Some(create), Vec::new());
    };
    let mut problems = Vec::new();
    if actual.partitions != topic.partitions {
        problems.push(partitions_differ(topic, actual.partitions));
    }
    if let Some(declared) = topic
        .replication
        .filter(|declared| *declared != actual.replication)
    {
        problems.push(Problem::note(format!(
            "{} has {} copies of each partition and its file says {declared}: apply does not move replicas; \
             use kafka-reassign-partitions.sh, or correct the file",
            topic.name, actual.replication
        )));
    }
    let declared = topic.settings(actual.replication);
    let changed: BTreeMap<String, SettingChange> = declared
        .into_iter()
        .filter_map(|(name, to)| {
            let current = actual.settings.get(&name);
            // A broker's default may change later, so the value is also set where it happens to fit.
            let fits = current.is_some_and(|setting| setting.explicit && setting.value == to);
            let from = current.map(|setting| setting.value.clone());
            (!fits).then_some((name, SettingChange { from, to }))
        })
        .collect();
    let change = (!changed.is_empty()).then(|| Change::AlterTopic {
        topic: topic.name.clone(),
        settings: changed,
    });
    (change, problems)
}

fn partitions_differ(topic: &DeclaredTopic, actual: i32) -> Problem {
    let (name, declared) = (&topic.name, topic.partitions);
    if topic.role == Role::DeadLetters {
        return Problem::note(format!(
            "{name} has {actual} partitions instead of {declared}, which does no harm"
        ));
    }
    Problem::refusal(format!(
        "{name} has {actual} partitions and its declaration says {declared}: with another count most keys move \
         to another partition and the order of their events is lost. Set partitions = {actual} in \
         topics/{}.toml, or declare a new topic and move the producers to it",
        topic.of
    ))
}

#[cfg(test)]
mod tests {
    use millstream_events::Topic;
    use millstream_topics::ProductReservations;

    use super::*;

    #[test]
    fn a_topic_of_states_takes_the_largest_of_them() {
        let mut states = ProductReservations::DECLARATION.clone();
        (states.cleanup, states.events, states.results) = (Cleanup::Compact, &[], None);
        (states.state_limit, states.idempotency_bytes) = (4 << 20, 3 << 16);
        assert!(states.is_of_states());
        let declared = declared(&[&states]).remove(0).settings(1);
        let limit = (4 << 20) + (4 << 16) + (1 << 20);
        assert_eq!(declared["max.message.bytes"], limit.to_string());
        assert_eq!(declared["segment.bytes"], STATE_SEGMENT.to_string());
        assert!(!ProductReservations::DECLARATION.is_of_states());
    }
}
