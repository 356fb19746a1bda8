//! The actual state that declarations are compared with.

use std::collections::{BTreeMap, BTreeSet};

use millstream_events::{Declaration, is_system_service};

use super::deployment::same_uri;
use super::kafka::{ActualTopic, Kafka, PartitionOffsets};
use super::registry::Registry;
use super::restate::{ActualCluster, ActualDeployment, ActualSubscription, Restate, Service};
use super::schemas::{self, DeclaredSubject, SubjectState};
use super::subscriptions::{self, DeclaredSubscription};
use super::{Error, Settings, topics};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::serve::SYSTEM;

/// Everything that a plan depends on.
#[derive(Debug, Default)]
pub(crate) struct Actual {
    pub topics: BTreeMap<String, ActualTopic>,
    pub default_replication: i32,
    pub subjects: Vec<(DeclaredSubject, SubjectState)>,
    pub clusters: Vec<ActualCluster>,
    pub deployment: Deployment,
    /// The library's own services, below the address of the handlers.
    pub system: Deployment,
    pub deployments: Vec<ActualDeployment>,
    pub services: Vec<Service>,
    pub subscriptions: Vec<ActualSubscription>,
    /// By group; only of declared subscriptions whose topics exist.
    pub offsets: BTreeMap<String, Vec<PartitionOffsets>>,
}

/// What is at the handlers' URL and what is registered under it.
#[derive(Debug, Default)]
pub(crate) enum Deployment {
    /// No URL was given.
    #[default]
    NotAsked,
    /// Restate cannot discover it.
    Unreachable { uri: String, reason: String },
    /// It answers.
    Found {
        uri: String,
        discovered: Vec<Service>,
        registered: Option<Registered>,
    },
}

/// The newest deployment under the handlers' URL.
#[derive(Debug)]
pub(crate) struct Registered {
    pub id: String,
    pub services: Vec<Service>,
}

/// Reads it all.
pub(crate) async fn read(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<Actual, Error> {
    let kafka = Kafka::new(&endpoints.kafka);
    let restate = Restate::new(&endpoints.restate_admin)?;
    let registry = Registry::new(&endpoints.schema_registry)?;
    let mut names: BTreeSet<String> = topics::declared(declarations)
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    let subscriptions = restate.subscriptions().await?;
    if settings.prune_topics {
        names.extend(
            subscriptions
                .iter()
                .flat_map(|actual| topics_of(actual, settings)),
        );
    }
    let (topics, default_replication) = kafka.topics(&names).await?;
    let subjects = schemas::declared(declarations);
    let states = registry.states(&subjects).await?;
    let declared = subscriptions::declared(declarations, &settings.prefix, &settings.cluster);
    let deployments = restate.deployments().await?;
    let (deployment, system) =
        deployments_at(&restate, declarations, settings, &deployments).await?;
    Ok(Actual {
        offsets: offsets(&kafka, &declared, &topics).await?,
        default_replication,
        subjects: subjects.into_iter().zip(states).collect(),
        clusters: restate.clusters().await?,
        deployment,
        system,
        deployments,
        services: restate.services().await?,
        subscriptions,
        topics,
    })
}

/// The topics that belong to a subscription of ours: its own and the two that go with it. What a
/// guarded one is made from is somebody else's.
pub(crate) fn topics_of(actual: &ActualSubscription, settings: &Settings) -> Vec<String> {
    let topic = actual
        .source
        .strip_prefix(&format!("kafka://{}/", settings.cluster));
    match topic {
        Some(topic) if subscriptions::is_ours(actual, &settings.prefix) => {
            let name = topic.strip_suffix("-guarded").unwrap_or(topic);
            vec![
                topic.into(),
                format!("{name}-results"),
                format!("{name}-dlq"),
            ]
        }
        _ => Vec::new(),
    }
}

/// The offsets of every declared subscription whose topic exists, by group.
pub(crate) async fn offsets(
    kafka: &Kafka,
    declared: &[DeclaredSubscription],
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<BTreeMap<String, Vec<PartitionOffsets>>, Error> {
    let existing = declared.iter().filter_map(|wanted| {
        let way = (wanted.topic.clone(), wanted.group.clone());
        Some((way, topics.get(&wanted.topic)?.partitions))
    });
    let offsets = kafka.offsets(existing).await?.into_iter();
    Ok(offsets
        .map(|((_, group), offsets)| (group, offsets))
        .collect())
}

impl Actual {
    /// Where a deployment is, or its id where it has no address.
    pub fn address<'a>(&'a self, id: &'a str) -> &'a str {
        let known = self.deployments.iter().find(|known| known.id == id);
        known.and_then(|known| known.uri.as_deref()).unwrap_or(id)
    }
}

/// The handlers, and the library's services below their address. Handlers that have none there, as
/// those of older versions, answer with something else or not at all.
async fn deployments_at(
    restate: &Restate,
    declarations: &[&Declaration],
    settings: &Settings,
    deployments: &[ActualDeployment],
) -> Result<(Deployment, Deployment), Error> {
    let Some(uri) = settings.handlers.as_deref() else {
        return Ok((Deployment::NotAsked, Deployment::NotAsked));
    };
    let handlers = deployment(restate, uri, deployments).await?;
    let uri = format!("{}{SYSTEM}", uri.trim_end_matches('/'));
    // Whoever declares some topics alone does not speak of the library's.
    let mut subscribed = declarations.iter().flat_map(|topic| topic.subscriptions);
    let is_asked = subscribed.any(|it| is_system_service(it.service));
    let system = match &handlers {
        Deployment::Found { .. } if is_asked => deployment(restate, &uri, deployments).await?,
        _ => Deployment::NotAsked,
    };
    let system = match system {
        Deployment::Found { ref discovered, .. }
            if discovered.iter().all(|it| is_system_service(&it.name)) =>
        {
            system
        }
        _ => Deployment::NotAsked,
    };
    Ok((handlers, system))
}

async fn deployment(
    restate: &Restate,
    uri: &str,
    deployments: &[ActualDeployment],
) -> Result<Deployment, Error> {
    let uri = uri.to_owned();
    let discovered = match restate.discover(&uri).await {
        Ok(services) => services,
        Err(Error::Refused { message, .. }) => {
            return Ok(Deployment::Unreachable {
                uri,
                reason: message,
            });
        }
        Err(other) => return Err(other),
    };
    let newest = deployments
        .iter()
        .filter(|known| {
            known
                .uri
                .as_deref()
                .is_some_and(|known| same_uri(known, &uri))
        })
        .max_by(|a, b| a.created_at.cmp(&b.created_at));
    let registered = match newest {
        None => None,
        Some(known) => Some(Registered {
            services: restate.deployment_services(&known.id).await?,
            id: known.id.clone(),
        }),
    };
    Ok(Deployment::Found {
        uri,
        discovered,
        registered,
    })
}
