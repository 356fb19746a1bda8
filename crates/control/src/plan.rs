//! What a plan consists of, and how it reads.

use std::collections::BTreeMap;

use serde::Serialize;

use millstream_pipeline::kafka::is_secret;

/// Everything that differs from the declarations, in the order in which it is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What `apply` does.
    pub changes: Vec<Change>,
    /// What it refuses to do, and what it only says.
    pub problems: Vec<Problem>,
}

/// A step of `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Change {
    /// A topic is missing.
    CreateTopic {
        /// Its name.
        topic: String,
        /// Number of partitions.
        partitions: i32,
        /// Copies of each; none: the broker's default.
        replication: Option<i32>,
        /// Settings of the topic.
        settings: BTreeMap<String, String>,
    },
    /// A topic's settings differ.
    AlterTopic {
        /// Its name.
        topic: String,
        /// The settings that change; the others stay.
        settings: BTreeMap<String, SettingChange>,
    },
    /// Others may register versions that do not go together with the declared schema.
    SetCompatibility {
        /// The subject.
        subject: String,
        /// The level that counts for it.
        from: String,
        /// The level that it gets.
        to: &'static str,
    },
    /// A schema is not registered.
    RegisterSchema {
        /// Its subject.
        subject: String,
        /// No schema is registered under the subject yet.
        first: bool,
        /// The schema.
        #[serde(skip)]
        schema: &'static str,
    },
    /// Restate does not know the Kafka cluster.
    CreateCluster {
        /// Its name.
        name: String,
        /// Consumer settings; may hold secrets.
        #[serde(serialize_with = "without_secrets")]
        properties: BTreeMap<String, String>,
    },
    /// Restate reaches the Kafka cluster in another way.
    UpdateCluster {
        /// Its name.
        name: String,
        /// All consumer settings; may hold secrets.
        #[serde(serialize_with = "without_secrets")]
        properties: BTreeMap<String, String>,
        /// Those that change.
        differing: Vec<String>,
    },
    /// The handlers are not registered, or replace what is.
    RegisterDeployment {
        /// Where they are.
        uri: String,
        /// Replaces what is registered under the same URI.
        replaces: bool,
        /// Lets Restate accept changes that can break running invocations.
        force: bool,
        /// What they offer, or how they differ.
        offers: Vec<String>,
    },
    /// A subscription is changed or no longer declared.
    DeleteSubscription {
        /// Its id.
        id: String,
        /// Topic.
        source: String,
        /// Handler.
        sink: String,
        /// Why it goes.
        reason: String,
    },
    /// A new generation starts at the topic's beginning.
    DeleteGroup {
        /// The consumer group whose offsets are forgotten.
        group: String,
    },
    /// A subscription is missing or changed.
    CreateSubscription {
        /// Topic.
        source: String,
        /// Handler.
        sink: String,
        /// Consumer settings.
        options: BTreeMap<String, String>,
    },
    /// A topic is no longer declared.
    DeleteTopic {
        /// Its name.
        topic: String,
    },
}

/// A setting's old and new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// What it is, if it is anything.
    pub from: Option<String>,
    /// What it becomes.
    pub to: String,
}

/// Something that `apply` cannot change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stops `apply`.
    pub refused: bool,
    /// What it is and what to do.
    pub message: String,
}

impl Problem {
    /// Stops `apply`.
    pub fn refusal(message: impl Into<String>) -> Self {
        Self {
            refused: true,
            message: message.into(),
        }
    }

    /// Is only said.
    pub fn note(message: impl Into<String>) -> Self {
        Self {
            refused: false,
            message: message.into(),
        }
    }
}

impl Plan {
    /// Whether everything is as declared.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The problems that stop `apply`.
    pub fn refusals(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.refused)
    }
}

fn without_secrets<S: serde::Serializer>(
    properties: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        properties
            .iter()
            .map(|(key, value)| (key, shown(key, value))),
    )
}

/// A property's value as it may be printed.
pub(crate) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if is_secret(key) { "***" } else { value }
}
