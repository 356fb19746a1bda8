//! What a running installation does at this moment.

use std::collections::{BTreeMap, BTreeSet};

use millstream_events::Declaration;
use rdkafka::TopicPartitionList;
use serde::Serialize;

use super::kafka::{ActualTopic, Kafka, PartitionOffsets, Way};
use super::placement::{self, Misplaced};
use super::restate::{InvocationCount, Restate};
use super::unmarked::{self, Unmarked};
use super::{Error, Settings, lanes, live, owners, standing, state, topics};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka::group;

/// A look at an installation.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The declared topics.
    pub topics: Vec<TopicStatus>,
    /// The declared subscriptions; those of the library's services where this project serves them.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// The guards of foreign topics.
    pub guards: Vec<GuardStatus>,
    /// The topics that services in the batch lane read.
    pub lanes: Vec<LaneStatus>,
    /// The services that have unfinished invocations.
    pub invocations: Vec<InvocationStatus>,
    /// Every deployment that Restate knows.
    pub deployments: Vec<DeploymentStatus>,
    /// Topics whose order matters and whose newest records are not on the partitions of their keys.
    pub misplaced: Vec<Misplaced>,
}

/// A declared topic; a count is `None` where the topic does not exist or is not declared.
#[derive(Debug, Clone, Serialize)]
pub struct TopicStatus {
    /// Its name.
    pub topic: String,
    /// Number of partitions.
    pub partitions: Option<i32>,
    /// Records on it.
    pub records: Option<i64>,
    /// Records on its result topic.
    pub results: Option<i64>,
    /// Records on its dead letter topic.
    pub dead_letters: Option<i64>,
    /// Those of them that nobody has dealt with; `None` also where Kafka or the registry cannot
    /// tell in time.
    pub unmarked: Option<Unmarked>,
}

/// A declared subscription.
#[derive(Debug, Clone, Serialize)]
pub struct SubscriptionStatus {
    /// Topic.
    pub topic: String,
    /// Handler, as `Service/handler`.
    pub handler: String,
    /// Consumer group.
    pub group: String,
    /// Its id; `None`: it does not exist.
    pub id: Option<String>,
    /// Records that Restate has not taken yet.
    pub lag: Option<i64>,
    /// Committed offsets lie beyond the end of the topic.
    pub broken: bool,
    /// Seconds that a record has waited which it does not take, nor any behind it; `None`: it moves,
    /// or has nothing to take.
    pub standing_seconds: Option<u64>,
}

/// The guard's place on a foreign topic.
#[derive(Debug, Clone, Serialize)]
pub struct GuardStatus {
    /// The foreign topic.
    pub topic: String,
    /// Consumer group of the relays.
    pub group: String,
    /// Records that no relay is done with yet; `None`: the topic does not exist.
    pub lag: Option<i64>,
    /// Committed offsets lie beyond the end of the topic.
    pub broken: bool,
}

/// A service of the batch lane on one of its topics.
#[derive(Debug, Clone, Serialize)]
pub struct LaneStatus {
    /// The topic that it reads.
    pub topic: String,
    /// What handles its events, as `Service/handler`.
    pub handler: String,
    /// The group whose offsets tell how far the topic is decided. It has no members.
    pub group: String,
    /// Records that are not decided yet; `None`: the topic does not exist.
    pub lag: Option<i64>,
    /// It is decided beyond the end of the topic.
    pub broken: bool,
    /// Seconds that a record has waited which is not decided, nor any behind it; `None`: it moves, or
    /// has nothing to decide.
    pub standing_seconds: Option<u64>,
}

/// Unfinished invocations of a service, by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvocationStatus {
    /// Service.
    pub service: String,
    /// Stopped until somebody resumes them.
    pub paused: u64,
    /// Failed and waiting for the next attempt.
    pub backing_off: u64,
    /// Running now.
    pub running: u64,
    /// Waiting for a timer, an awakeable or another invocation.
    pub suspended: u64,
    /// Waiting for their turn or their time.
    pub waiting: u64,
    /// How long the oldest of those has waited whose time has come, in seconds; `None`: there are none.
    pub oldest_waiting_seconds: Option<u64>,
}

/// A deployment.
#[derive(Debug, Clone, Serialize)]
pub struct DeploymentStatus {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub uri: Option<String>,
    /// When it was registered.
    pub created_at: String,
    /// Services that it offers.
    pub services: Vec<String>,
    /// Unfinished invocations that must go on in it.
    pub pinned: u64,
}

/// Looks at the topics and subscriptions of `declarations`, and at all of Restate.
pub async fn status(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<Status, Error> {
    let mut status = glance(declarations, endpoints, settings).await?;
    let services = Restate::new(&endpoints.restate_admin)?.services().await?;
    let kafka = Kafka::new(&endpoints.kafka);
    status.misplaced = placement::misplaced(declarations, &kafka, &services).await;
    Ok(status)
}

/// The same without what takes the reading of records: [`Status::misplaced`] is empty.
pub async fn glance(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<Status, Error> {
    let kafka = Kafka::new(&endpoints.kafka);
    let restate = Restate::new(&endpoints.restate_admin)?;
    let names: BTreeSet<String> = topics::declared(declarations)
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    let (topics, _) = kafka.topics(&names).await?;
    let records = records(&kafka, &topics).await?;
    let unmarked = unmarked(declarations, endpoints, &records).await;
    Ok(Status {
        topics: topic_status(declarations, &topics, &records, &unmarked),
        subscriptions: subscription_status(declarations, &kafka, &restate, settings, &topics)
            .await?,
        guards: guard_status(declarations, &kafka, settings, &topics).await?,
        lanes: lane_status(declarations, &kafka, settings, &topics).await?,
        invocations: by_service(restate.invocation_counts().await?),
        deployments: deployment_status(&restate).await?,
        misplaced: Vec::new(),
    })
}

/// How many dead letters on each dead letter topic nobody has dealt with; nothing where that cannot
/// be told.
pub(crate) async fn unmarked(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    records: &BTreeMap<String, i64>,
) -> BTreeMap<String, Unmarked> {
    let kept = declarations
        .iter()
        .filter(|declaration| declaration.dead_letters)
        .map(|declaration| declaration.dead_letter_topic());
    let (some, none): (Vec<_>, Vec<_>) = kept
        .filter_map(|topic| Some((records.get(&topic).copied()?, topic)))
        .partition(|(count, _)| *count > 0);
    let some = some.into_iter().map(|(_, topic)| topic).collect();
    let nothing = Unmarked {
        count: 0,
        at_least: false,
    };
    let mut unmarked = unmarked::unmarked(endpoints, some)
        .await
        .unwrap_or_default();
    unmarked.extend(none.into_iter().map(|(_, topic)| (topic, nothing)));
    unmarked
}

/// How many records there are on each topic.
pub(crate) async fn records(
    kafka: &Kafka,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<BTreeMap<String, i64>, Error> {
    let mut partitions = TopicPartitionList::new();
    for (name, topic) in topics {
        partitions.add_partition_range(name, 0, topic.partitions - 1);
    }
    let bounds = kafka.bounds(partitions).await?.into_iter();
    Ok(bounds
        .map(|(name, all)| (name, live::records(&all)))
        .collect())
}

fn topic_status(
    declarations: &[&Declaration],
    topics: &BTreeMap<String, ActualTopic>,
    records: &BTreeMap<String, i64>,
    unmarked: &BTreeMap<String, Unmarked>,
) -> Vec<TopicStatus> {
    let count = |name: &str| records.get(name).copied();
    let once = declarations.iter().filter_map(|declaration| {
        let once = declaration.results.as_ref()?.once?;
        Some(TopicStatus {
            topic: once.name.into(),
            partitions: topics.get(once.name).map(|topic| topic.partitions),
            records: count(once.name),
            results: None,
            dead_letters: None,
            unmarked: None,
        })
    });
    declarations
        .iter()
        .map(|declaration| TopicStatus {
            topic: declaration.name.into(),
            partitions: topics.get(declaration.name).map(|topic| topic.partitions),
            records: count(declaration.name),
            results: declaration
                .results
                .as_ref()
                .and_then(|results| count(results.name)),
            dead_letters: declaration
                .dead_letters
                .then(|| count(&declaration.dead_letter_topic()))
                .flatten(),
            unmarked: unmarked.get(&declaration.dead_letter_topic()).copied(),
        })
        .chain(once)
        .collect()
}

async fn subscription_status(
    declarations: &[&Declaration],
    kafka: &Kafka,
    restate: &Restate,
    settings: &Settings,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Vec<SubscriptionStatus>, Error> {
    let (actual, services) = tokio::try_join!(restate.subscriptions(), restate.services())?;
    let declared = owners::of_project(declarations, settings, &services, &actual);
    let offsets = state::offsets(kafka, &declared, topics).await?;
    let standing = standing::standing(kafka, &declared, &offsets).await?;
    Ok(declared
        .into_iter()
        .map(|wanted| {
            let offsets = offsets.get(&wanted.group);
            let actual = actual.iter().find(|actual| wanted.is(actual));
            let standing = standing.get(&wanted.group).filter(|_| actual.is_some());
            SubscriptionStatus {
                id: actual.map(|actual| actual.id.clone()),
                standing_seconds: standing.map(|standing| standing.seconds),
                lag: offsets.map(|all| all.iter().map(PartitionOffsets::lag).sum()),
                broken: offsets.is_some_and(|all| all.iter().any(PartitionOffsets::is_broken)),
                handler: format!("{}/{}", wanted.to.service, wanted.to.handler),
                topic: wanted.topic,
                group: wanted.group,
            }
        })
        .collect())
}

pub(crate) async fn guard_status(
    declarations: &[&Declaration],
    kafka: &Kafka,
    settings: &Settings,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Vec<GuardStatus>, Error> {
    let guarded = declarations.iter().filter(|topic| topic.guard);
    let ways: Vec<Way> = guarded
        .map(|it| {
            (
                it.name.to_owned(),
                group::of_guard(&settings.prefix, it.name),
            )
        })
        .collect();
    let existing =
        (ways.iter()).filter_map(|way| Some((way.clone(), topics.get(&way.0)?.partitions)));
    let offsets = kafka.offsets(existing).await?;
    let guard = |way: Way| {
        let offsets = offsets.get(&way);
        let (topic, group) = way;
        GuardStatus {
            topic,
            group,
            lag: offsets.map(|all| all.iter().map(PartitionOffsets::lag).sum()),
            broken: offsets.is_some_and(|all| all.iter().any(PartitionOffsets::is_broken)),
        }
    };
    Ok(ways.into_iter().map(guard).collect())
}

pub(crate) async fn lane_status(
    declarations: &[&Declaration],
    kafka: &Kafka,
    settings: &Settings,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Vec<LaneStatus>, Error> {
    let ways = lanes::ways(declarations, kafka, settings, topics).await?;
    let known = ways.iter().filter_map(|way| {
        let offsets = way.offsets.as_ref()?;
        Some((&way.topic[..], &way.group[..], &offsets[..]))
    });
    let still = standing::still(kafka, known).await?;
    let lane = |way: lanes::Way<'_>| {
        let offsets = way.offsets.as_ref();
        let standing = still.get(&(way.topic.clone(), way.group.clone()));
        LaneStatus {
            handler: format!("{}/{}", way.to.service, way.to.handler),
            lag: offsets.map(|all| all.iter().map(PartitionOffsets::lag).sum()),
            broken: offsets.is_some_and(|all| all.iter().any(PartitionOffsets::is_broken)),
            standing_seconds: standing.map(|at| at.seconds),
            topic: way.topic,
            group: way.group,
        }
    };
    Ok(ways.into_iter().map(lane).collect())
}

pub(crate) fn by_service(counts: Vec<InvocationCount>) -> Vec<InvocationStatus> {
    let mut services: BTreeMap<String, InvocationStatus> = BTreeMap::new();
    for InvocationCount {
        service,
        status,
        count,
        waited_ms,
    } in counts
    {
        let entry = services
            .entry(service.clone())
            .or_insert_with(|| InvocationStatus {
                service,
                paused: 0,
                backing_off: 0,
                running: 0,
                suspended: 0,
                waiting: 0,
                oldest_waiting_seconds: None,
            });
        // What is scheduled waits for its time, which may be months away.
        if matches!(status.as_str(), "pending" | "ready") {
            let waited = waited_ms.unwrap_or_default() / 1000;
            let waited = u64::try_from(waited).unwrap_or_default();
            entry.oldest_waiting_seconds = entry.oldest_waiting_seconds.max(Some(waited));
        }
        let place = match status.as_str() {
            "paused" => &mut entry.paused,
            "backing-off" => &mut entry.backing_off,
            "running" => &mut entry.running,
            "suspended" => &mut entry.suspended,
            // pending, scheduled and ready
            _ => &mut entry.waiting,
        };
        *place += count;
    }
    services.into_values().collect()
}

async fn deployment_status(restate: &Restate) -> Result<Vec<DeploymentStatus>, Error> {
    let pinned: BTreeMap<String, u64> = restate
        .pinned_counts()
        .await?
        .into_iter()
        .map(|pinned| (pinned.deployment, pinned.count))
        .collect();
    let mut deployments: Vec<DeploymentStatus> = restate
        .deployments()
        .await?
        .into_iter()
        .map(|known| DeploymentStatus {
            pinned: pinned.get(&known.id).copied().unwrap_or_default(),
            services: known
                .services
                .into_iter()
                .map(|service| service.name)
                .collect(),
            id: known.id,
            uri: known.uri,
            created_at: known.created_at,
        })
        .collect();
    for deployment in &mut deployments {
        deployment.services.sort();
    }
    deployments.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    Ok(deployments)
}
