//! Faults of the handlers.

use std::time::Duration;

use anyhow::Context;
use millstream_control::Settings;
use millstream_devstack::Ports;
use tokio::time::sleep;

use super::harness::{ABORT_TIMEOUT, Fleet, Harness};
use super::outcome::Outcome;
use super::proxy::Proxy;
use super::replica;
use super::trial::until;
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::event::Book;

/// How long an old deployment may take to drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// Handlers are killed while they work.
pub async fn kill9(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            for _ in 0..5 {
                sleep(random.millis(300, 1500)).await;
                let mut fleet = harness.fleet().await;
                let at = random.below(fleet.replicas.len() as u64) as usize;
                trial.fault();
                fleet.replicas[at].kill().await?;
                sleep(random.millis(0, 500)).await;
                fleet.replicas[at].restart().await?;
                trial.healed();
            }
            // Both at once: nobody is left for the retry.
            sleep(random.millis(300, 1000)).await;
            let mut fleet = harness.fleet().await;
            trial.fault();
            for replica in &mut fleet.replicas {
                replica.kill().await?;
            }
            sleep(random.millis(200, 1000)).await;
            for replica in &mut fleet.replicas {
                replica.restart().await?;
            }
            trial.healed();
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// All handlers stand still for longer than Restate waits, and then go on.
pub async fn pause(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            for _ in 0..2 {
                sleep(random.millis(500, 2000)).await;
                let fleet = harness.fleet().await;
                trial.fault();
                for replica in &fleet.replicas {
                    replica.pause()?;
                }
                sleep(2 * ABORT_TIMEOUT + random.millis(500, 1500)).await;
                for replica in &fleet.replicas {
                    replica.resume()?;
                }
                trial.healed();
            }
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// Each replica in turn is cut off from Restate but not from Kafka: what it has begun it publishes,
/// while the other one does the same again.
pub async fn partitioned(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    // Attempts that take long, so that many are cut off in the middle.
    let slow = replica::Settings {
        think: Duration::from_millis(150),
        ..harness.replica_settings()
    };
    restart_all(harness, &slow).await?;
    trial
        .under_load(async {
            for turn in 0..4 {
                sleep(random.millis(800, 2000)).await;
                let fleet = harness.fleet().await;
                let port = fleet.replicas[turn % fleet.replicas.len()].port();
                trial.fault();
                fleet.proxy.cut(port);
                sleep(random.millis(500, 2000)).await;
                fleet.proxy.heal(port);
                trial.healed();
            }
            Ok(())
        })
        .await?;
    let outcome = trial.finish().await?;
    restart_all(harness, &harness.replica_settings()).await?;
    Ok(outcome)
}

/// Starts both replicas again with these settings.
pub async fn restart_all(harness: &Harness, settings: &replica::Settings) -> anyhow::Result<()> {
    for replica in &mut harness.fleet().await.replicas {
        replica.restart_with(settings.clone()).await?;
    }
    Ok(())
}

/// A second version is registered under load and the first one drains; then other code behind the
/// first one's address is refused.
pub async fn rolling_upgrade(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    let second = replica::Settings {
        second_version: true,
        ..harness.replica_settings()
    };
    trial
        .under_load(async {
            sleep(random.millis(1000, 2500)).await;
            let replica = harness.new_replica(second).await?;
            let proxy = Proxy::start(Ports::choose(&[])?.handlers, &[replica.port()]).await?;
            trial.fault();
            harness.apply_with(&proxy.url()).await?;
            let mut fleet = harness.fleet().await;
            let old_url = fleet.proxy.url();
            // Back and forth: each takes everything over, though nothing in it differs.
            for url in [&old_url, &proxy.url()] {
                harness.apply_with(url).await?;
                trial.expect(
                    serves(harness, url).await?,
                    format!("{url} does not serve after it was applied again"),
                );
            }
            // A lease lasts for a minute under load. It ends when its process is told to.
            let drained = until(DRAIN_LIMIT, || async {
                let pinned = pinned(harness, &old_url).await;
                pinned.is_ok_and(|pinned| pinned.events == 0)
            });
            trial.expect(drained.await, "the old deployment does not drain");
            let new = Fleet {
                proxy,
                balancer: None,
                replicas: vec![replica],
            };
            let mut old = std::mem::replace(&mut *fleet, new);
            for replica in &mut old.replicas {
                replica.stop().await?;
            }
            let left = pinned(harness, &old_url).await?.leases;
            trial.expect(left == 0, "leases are left to handlers that were stopped");
            trial.healed();
            let checks =
                millstream_control::doctor(OWN_TOPICS, &harness.endpoints, &Settings::default())
                    .await;
            trial.expect(
                checks
                    .iter()
                    .any(|check| check.check == "deployments" && check.message.contains(&old_url)),
                "doctor does not name a deployment that does not answer",
            );
            // Other code behind an address that is registered.
            let url = fleet.proxy.url();
            let first = fleet.replicas.first_mut().context("there is no replica")?;
            first.restart_with(harness.replica_settings()).await?;
            let settings = Settings {
                handlers: Some(url),
                ..Settings::default()
            };
            let plan = millstream_control::plan(OWN_TOPICS, &harness.endpoints, &settings).await?;
            trial.expect(
                plan.refusals()
                    .any(|problem| problem.message.contains("at a new address")),
                "other code behind a registered address is not refused",
            );
            first
                .restart_with(replica::Settings {
                    second_version: true,
                    ..harness.replica_settings()
                })
                .await?;
            Ok(())
        })
        .await?;
    // Two replicas again, for the scenarios that follow.
    let second = replica::Settings {
        second_version: true,
        ..harness.replica_settings()
    };
    let replica = harness.new_replica(second).await?;
    let mut fleet = harness.fleet().await;
    fleet.proxy.heal(replica.port());
    fleet.replicas.push(replica);
    drop(fleet);
    trial.finish().await
}

/// Whether new invocations of the ledger go to the deployment at `url`.
async fn serves(harness: &Harness, url: &str) -> anyhow::Result<bool> {
    let restate = harness.restate()?;
    let (services, deployments) = (restate.services().await?, restate.deployments().await?);
    let mut services = services.iter();
    let ledger = services.find(|service| service.name == Book::Main.service());
    let ledger = ledger.context("the ledger is not registered")?;
    let same = |uri: &str| uri.trim_end_matches('/') == url;
    Ok(deployments.iter().any(|deployment| {
        deployment.id == ledger.deployment_id && deployment.uri.as_deref().is_some_and(same)
    }))
}

/// Unfinished invocations of a deployment.
#[derive(Default)]
struct Pinned {
    /// Those of single events.
    events: u64,
    /// Those of the batch lane.
    leases: u64,
}

/// Of the deployment at `url`.
async fn pinned(harness: &Harness, url: &str) -> anyhow::Result<Pinned> {
    #[derive(serde::Deserialize)]
    struct Row {
        service: String,
        deployment: String,
        count: u64,
    }
    let restate = harness.restate()?;
    let sql = "SELECT target_service_name AS service, pinned_deployment_id AS deployment, COUNT(*) AS count \
               FROM sys_invocation WHERE status <> 'completed' AND pinned_deployment_id IS NOT NULL \
               GROUP BY target_service_name, pinned_deployment_id";
    let (rows, deployments) = (
        restate.query::<Row>(sql).await?,
        restate.deployments().await?,
    );
    let is_there = |row: &Row| {
        let mut deployments = deployments.iter().filter(|it| it.id == row.deployment);
        deployments.any(|it| {
            let uri = it.uri.as_deref().map(|uri| uri.trim_end_matches('/'));
            uri == Some(url)
        })
    };
    let mut pinned = Pinned::default();
    for row in rows.into_iter().filter(is_there) {
        match row.service == Book::Batch.service() {
            true => pinned.leases += row.count,
            false => pinned.events += row.count,
        }
    }
    Ok(pinned)
}
