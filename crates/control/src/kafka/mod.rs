//! What Kafka has: topics, their settings, offsets and committed offsets.
//!
//! The client's calls block, so each runs on a thread that may.

mod change;
mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};

use super::Error;
use millstream_pipeline::kafka::{Asker, Ends};

pub use groups::PartitionOffsets;
pub(crate) use groups::{Bounds, Way, bounds};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActualTopic {
    pub partitions: i32,
    pub replication: i32,
    pub settings: BTreeMap<String, ActualSetting>,
}

/// A topic's setting as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActualSetting {
    pub value: String,
    /// Set on the topic itself, not a default.
    pub explicit: bool,
}

/// The brokers.
#[derive(Debug, Clone)]
pub(crate) struct Kafka {
    bootstrap: String,
}

impl Kafka {
    pub fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.into(),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = millstream_pipeline::kafka::client(&self.bootstrap);
        // The library's own log lines would repeat what the errors say.
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        config
    }

    fn error(&self, what: impl Into<String>) -> impl FnOnce(KafkaError) -> Error {
        let (bootstrap, what) = (self.bootstrap.clone(), what.into());
        move |source| Error::Kafka {
            bootstrap,
            what,
            source: Box::new(source),
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Error> {
        self.config().create().map_err(self.error("make a client"))
    }

    /// A consumer that belongs to `group` but never joins it.
    pub fn reader(&self, group: &str) -> Result<BaseConsumer<Ends>, Error> {
        self.config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .create_with_context(Ends)
            .map_err(self.error("make a consumer"))
    }

    /// Runs `work` where blocking is allowed.
    pub async fn blocking<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let bootstrap = self.bootstrap.clone();
        let explained = move || {
            work().map_err(|error| {
                let reason = millstream_pipeline::kafka::refusal(&bootstrap, &error);
                (error, reason)
            })
        };
        match tokio::task::spawn_blocking(explained).await? {
            Ok(found) => Ok(found),
            Err((error, None)) => Err(self.error(what)(error)),
            Err((_, Some(reason))) => Err(Error::KafkaRefusesClient {
                bootstrap: self.bootstrap.clone(),
                reason,
            }),
        }
    }

    /// Whether any broker answers within `limit`.
    pub async fn answers(&self, limit: Duration) -> Result<(), Error> {
        let reader = self.reader("millstream-plan")?;
        self.blocking("answer", move || {
            reader.fetch_metadata(None, limit).map(drop)
        })
        .await
    }

    /// Those of `names` that exist, and the replication of topics that do not say their own.
    pub async fn topics(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<(BTreeMap<String, ActualTopic>, i32), Error> {
        let reader = self.reader("millstream-plan")?;
        let metadata = self
            .blocking("list the topics", move || {
                reader.fetch_metadata(None, TIMEOUT)
            })
            .await?;
        let mut topics: BTreeMap<String, ActualTopic> = metadata
            .topics()
            .iter()
            .filter(|topic| names.contains(topic.name()) && topic.error().is_none())
            .map(|topic| {
                let partitions = topic.partitions();
                let replication = partitions.first().map_or(1, |first| first.replicas().len());
                let actual = ActualTopic {
                    partitions: partitions.len().try_into().unwrap_or(i32::MAX),
                    replication: replication.try_into().unwrap_or(i32::MAX),
                    settings: BTreeMap::new(),
                };
                (topic.name().to_owned(), actual)
            })
            .collect();
        let broker = metadata.brokers().first().map_or(0, |broker| broker.id());
        let admin = self.admin()?;
        let found: Vec<String> = topics.keys().cloned().collect();
        let mut wanted: Vec<ResourceSpecifier<'_>> = found
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        wanted.push(ResourceSpecifier::Broker(broker));
        let described = admin
            .describe_configs(&wanted, &options())
            .await
            .map_err(self.error("describe the topics"))?;
        let mut default_replication = 1;
        for resource in described.into_iter().flatten() {
            match &resource.specifier {
                rdkafka::admin::OwnedResourceSpecifier::Topic(name) => {
                    if let Some(topic) = topics.get_mut(name) {
                        topic.settings = settings(&resource);
                    }
                }
                _ => {
                    let value = resource
                        .get("default.replication.factor")
                        .and_then(|entry| entry.value.as_ref());
                    default_replication = value.and_then(|value| value.parse().ok()).unwrap_or(1);
                }
            }
        }
        Ok((topics, default_replication))
    }

    /// Since when a record waits at an offset of a partition, in milliseconds since 1970-01-01 UTC;
    /// `None`: none does.
    pub async fn waits_since(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<i64>, Error> {
        let (mut config, name) = (self.config(), topic.to_owned());
        config.set("group.id", "millstream-status");
        self.blocking(format!("read a record of {topic}"), move || {
            Asker::new(&config).record_at(&name, partition, offset)
        })
        .await
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}

fn settings(resource: &rdkafka::admin::ConfigResource) -> BTreeMap<String, ActualSetting> {
    resource
        .entries
        .iter()
        .filter_map(|entry| {
            let explicit = entry.source == ConfigSource::DynamicTopic;
            let value = entry.value.clone()?;
            Some((entry.name.clone(), ActualSetting { value, explicit }))
        })
        .collect()
}
