//! Brings topics, schemas, the Kafka cluster, the deployment and subscriptions to what is declared.
//!
//! [`plan`] reads the actual state and lists what differs; [`apply`] does it, in an order in which
//! every step finds what it needs. Applying twice changes nothing: subscriptions keep their ids.
//! Nothing is deleted unasked, and what would lose or repeat events is refused with the reason.
//! [`status`], [`doctor`] and [`export`] look at a running installation and change nothing.

pub mod acls;
mod apply;
mod build;
mod cluster;
mod control;
pub mod dead_letters;
mod decide_anew;
mod deployment;
mod doctor;
mod endpoints;
mod error;
mod exporter;
mod http;
mod kafka;
mod lanes;
mod live;
mod owners;
mod placement;
mod plan;
mod registry;
pub mod restate;
mod scan;
mod schemas;
mod show;
mod standing;
mod state;
mod states;
mod status;
mod subscriptions;
#[cfg(test)]
mod tests;
mod topics;
mod unmarked;

use std::collections::BTreeMap;

use millstream_events::Declaration;

use millstream_pipeline::config::Endpoints;

pub use apply::apply;
pub use control::{Control, control};
pub use decide_anew::{DecidedAnew, decide_anew, leased};
pub use doctor::{Check, Outcome, doctor};
pub use endpoints::{EndpointArgs, EndpointsError};
pub use error::Error;
pub use exporter::export;
pub use kafka::PartitionOffsets;
pub use lanes::with_orders_of;
pub use live::{Figures, Live, PartFigures, RouteFigures, TopicFigures};
pub use placement::{Misplaced, Placement};
pub use plan::{Change, Plan, Problem, SettingChange};
pub use scan::{Scan, scan};
pub use states::{ObjectState, Shards, keys_in_topic, shards_of, state_in_topic, states};
pub use status::{
    DeploymentStatus, GuardStatus, InvocationStatus, LaneStatus, Status, SubscriptionStatus,
    TopicStatus, glance, status,
};
pub use unmarked::Unmarked;

/// Also the name under which Restate knows the Kafka cluster, unless said otherwise.
pub use millstream_pipeline::service::DEFAULT_PREFIX;

/// What an installation decides for itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prefix of the consumer groups; subscriptions with it belong to the declarations.
    pub prefix: String,
    /// Name under which Restate knows the Kafka cluster.
    pub cluster: String,
    /// Kafka's address as Restate sees it, where it differs from ours.
    pub kafka_for_restate: Option<String>,
    /// Further consumer settings of the Kafka cluster, such as credentials.
    pub kafka_options: BTreeMap<String, String>,
    /// URL of the handlers as Restate sees it; none: the deployment is left as it is.
    pub handlers: Option<String>,
    /// Replaces a deployment under the same URL, which can break its running invocations.
    pub force: bool,
    /// Removes subscriptions of the prefix that are no longer declared.
    pub prune: bool,
    /// Also deletes the topics of those subscriptions, with all their records.
    pub prune_topics: bool,
    /// Takes services from the project that serves them now: the library's own, where that project
    /// is gone, or those of one that had another prefix.
    pub take_over: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.into(),
            cluster: DEFAULT_PREFIX.into(),
            kafka_for_restate: None,
            kafka_options: BTreeMap::new(),
            handlers: None,
            force: false,
            prune: false,
            prune_topics: false,
            take_over: false,
        }
    }
}

impl Settings {
    /// The properties that Restate's Kafka cluster should have.
    fn cluster_properties(&self, endpoints: &Endpoints) -> BTreeMap<String, String> {
        let bootstrap = self.kafka_for_restate.as_ref().unwrap_or(&endpoints.kafka);
        let mut properties = BTreeMap::from([
            ("bootstrap.servers".to_owned(), bootstrap.clone()),
            // Without statistics Restate's gauge of the lag never appears.
            ("statistics.interval.ms".to_owned(), "1000".to_owned()),
            // Committed offsets are for people and tools: let them lag by a second, not by five.
            ("auto.commit.interval.ms".to_owned(), "1000".to_owned()),
            // librdkafka's default, said here because the guard relay writes in transactions.
            ("isolation.level".to_owned(), "read_committed".to_owned()),
            // A Restate that was killed keeps its partitions for so long. The default, 45 s, is
            // how long a crash would hold up every event.
            ("session.timeout.ms".to_owned(), "10000".to_owned()),
        ]);
        properties.extend(self.kafka_options.clone());
        properties
    }
}

/// What differs between the installation and its declarations.
pub async fn plan(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<Plan, Error> {
    let actual = state::read(declarations, endpoints, settings).await?;
    Ok(build::build(
        declarations,
        &settings.cluster_properties(endpoints),
        settings,
        &actual,
    ))
}
