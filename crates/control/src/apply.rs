//! Does what a plan lists.

use std::mem::discriminant;

use futures::{StreamExt, TryStreamExt, stream};

use super::Error;
use super::kafka::Kafka;
use super::plan::{Change, Plan};
use super::registry::Registry;
use super::restate::Restate;
use millstream_pipeline::config::Endpoints;

/// How many independent changes are made at once.
const PARALLEL: usize = 8;

/// Does every change of `plan` in its order and tells `done` of each; nothing if it is refused.
///
/// Stops at the first failure. What was done stays, and a new plan holds the rest.
pub async fn apply(
    plan: &Plan,
    endpoints: &Endpoints,
    mut done: impl FnMut(&Change),
) -> Result<(), Error> {
    let refusals: Vec<String> = plan
        .refusals()
        .map(|problem| problem.message.clone())
        .collect();
    if !refusals.is_empty() {
        return Err(Error::PlanRefused(refusals));
    }
    let kafka = &Kafka::new(&endpoints.kafka);
    let restate = &Restate::new(&endpoints.restate_admin)?;
    let registry = &Registry::new(&endpoints.schema_registry)?;
    for step in plan
        .changes
        .chunk_by(|a, b| is_independent(a) && discriminant(a) == discriminant(b))
    {
        let mut results = stream::iter(step)
            .map(|change| async move {
                apply_one(change, kafka, restate, registry)
                    .await
                    .map(|()| change)
            })
            .buffered(PARALLEL);
        while let Some(change) = results.try_next().await? {
            done(change);
        }
    }
    Ok(())
}

/// Whether changes of this kind may be made in any order among themselves.
fn is_independent(change: &Change) -> bool {
    matches!(
        change,
        Change::CreateTopic { .. }
            | Change::SetCompatibility { .. }
            | Change::RegisterSchema { .. }
    )
}

async fn apply_one(
    change: &Change,
    kafka: &Kafka,
    restate: &Restate,
    registry: &Registry,
) -> Result<(), Error> {
    match change {
        Change::CreateTopic {
            topic,
            partitions,
            replication,
            settings,
        } => {
            kafka
                .create_topic(topic, *partitions, *replication, settings)
                .await
        }
        Change::AlterTopic { topic, settings } => {
            let settings = settings
                .iter()
                .map(|(name, change)| (name.clone(), change.to.clone()))
                .collect();
            kafka.alter_topic(topic, &settings).await
        }
        Change::SetCompatibility { subject, .. } => registry.set_level(subject).await,
        Change::RegisterSchema {
            subject, schema, ..
        } => registry.register(subject, schema).await.map(|_| ()),
        Change::CreateCluster { name, properties } => {
            restate.create_cluster(name, properties).await
        }
        Change::UpdateCluster {
            name, properties, ..
        } => restate.update_cluster(name, properties).await,
        Change::RegisterDeployment { uri, force, .. } => {
            restate.register_deployment(uri, *force).await.map(|_| ())
        }
        Change::DeleteSubscription { id, .. } => restate.delete_subscription(id).await,
        Change::DeleteGroup { group } => kafka.delete_group(group).await,
        Change::CreateSubscription {
            source,
            sink,
            options,
        } => restate
            .create_subscription(source, sink, options)
            .await
            .map(|_| ()),
        Change::DeleteTopic { topic } => kafka.delete_topic(topic).await,
    }
}
