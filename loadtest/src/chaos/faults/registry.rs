//! Faults of the schema registry.

use millstream_devstack::Part;
use tokio::time::sleep;

use super::harness::Harness;
use super::outcome::Outcome;
use super::trial::ANSWER_LIMIT;

/// The registry is away: running handlers know their schemas, and new ones wait.
pub async fn down(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            sleep(random.millis(1000, 2000)).await;
            trial.fault();
            harness.stack.kill_part(Part::Registry).await?;
            // Handlers that know the schemas go on as if nothing had happened.
            trial.expect(
                trial.goes_on(ANSWER_LIMIT).await,
                "running handlers need the registry",
            );
            // New ones know nothing.
            trial.fault();
            for replica in &mut harness.fleet().await.replicas {
                replica.kill().await?;
                replica.restart().await?;
            }
            sleep(random.millis(3000, 5000)).await;
            harness.stack.start_part(Part::Registry).await?;
            trial.healed();
            Ok(())
        })
        .await?;
    trial.finish().await
}
