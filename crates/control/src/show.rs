//! How a plan reads: `+` for what comes, `~` for what changes, `-` for what goes.

use std::fmt;

use super::plan::{Change, Plan, Problem, shown};

fn pairs<'a>(properties: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<String> = properties
        .into_iter()
        .map(|(key, value)| format!("{key}={}", shown(key, value)))
        .collect();
    pairs.join(", ")
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTopic {
                topic,
                partitions,
                replication,
                settings,
            } => {
                let copies =
                    replication.map_or_else(|| "default".to_owned(), |copies| copies.to_string());
                write!(
                    out,
                    "+ topic {topic}: {partitions} partition{}, replication {copies}, {}",
                    if *partitions == 1 { "" } else { "s" },
                    pairs(settings)
                )
            }
            Self::AlterTopic { topic, settings } => {
                let changes: Vec<String> = settings
                    .iter()
                    .map(|(name, change)| match &change.from {
                        Some(from) if *from == change.to => {
                            format!("{name}={} (was the default)", change.to)
                        }
                        Some(from) => format!("{name}={} (was {from})", change.to),
                        None => format!("{name}={}", change.to),
                    })
                    .collect();
                write!(out, "~ topic {topic}: {}", changes.join(", "))
            }
            Self::SetCompatibility { subject, from, to } => {
                write!(out, "~ compatibility of {subject}: {to} (was {from})")
            }
            Self::RegisterSchema {
                subject,
                first: true,
                ..
            } => write!(out, "+ schema {subject}"),
            Self::RegisterSchema { subject, .. } => {
                write!(out, "~ schema {subject}: a new version")
            }
            Self::CreateCluster { name, properties } => {
                write!(out, "+ Kafka cluster {name}: {}", pairs(properties))
            }
            Self::UpdateCluster {
                name,
                properties,
                differing,
            } => {
                let changed = properties.iter().filter(|(key, _)| differing.contains(key));
                write!(out, "~ Kafka cluster {name}: {}", pairs(changed))
            }
            Self::RegisterDeployment {
                uri,
                replaces,
                offers,
                ..
            } => {
                write!(
                    out,
                    "{} deployment {uri}: {}",
                    if *replaces { '~' } else { '+' },
                    offers.join(", ")
                )
            }
            Self::DeleteSubscription {
                id,
                source,
                sink,
                reason,
            } => {
                write!(out, "- subscription {source} to {sink} ({id}): {reason}")
            }
            Self::DeleteGroup { group } => {
                write!(out, "- committed offsets of {group}: a new generation")
            }
            Self::CreateSubscription {
                source,
                sink,
                options,
            } => {
                // The other options follow from these names.
                let group = options.get("group.id").map_or("?", String::as_str);
                write!(out, "+ subscription {source} to {sink}, group {group}")
            }
            Self::DeleteTopic { topic } => {
                write!(out, "- topic {topic} with all its records: not declared")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: {}",
            if self.refused { "refused" } else { "note" },
            self.message
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(out, "{change}")?;
        }
        for problem in &self.problems {
            writeln!(out, "{problem}")?;
        }
        let (changes, refused) = (self.changes.len(), self.refusals().count());
        match changes {
            0 => write!(out, "Nothing to change")?,
            1 => write!(out, "1 change")?,
            count => write!(out, "{count} changes")?,
        }
        match refused {
            0 => write!(out, "."),
            1 => write!(out, ", 1 refusal: nothing is applied."),
            count => write!(out, ", {count} refusals: nothing is applied."),
        }
    }
}
