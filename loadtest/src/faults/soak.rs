//! The long run: many events, and a random fault at least every 20 seconds.

use std::time::{Duration, Instant};

use millstream_pipeline::dev_stack::Part;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::harness::Harness;
use super::input::recreate;
use super::outcome::Outcome;
use super::process::memory;
use super::progress;
use super::replica::Replica;
use super::trial::Trial;
use crate::random::Random;

/// Between the end of one fault and the next, in milliseconds.
const BETWEEN: (u64, u64) = (5_000, 12_000);

/// Between two looks at the memory.
const SAMPLE: Duration = Duration::from_secs(10);

/// Runs until all events are sent.
pub async fn soak(harness: &Harness, outstanding: u64) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    let mut load = trial.usual_load();
    (load.rate, load.outstanding) = (None, outstanding);
    let begun = Instant::now();
    let memory_at_start = fleet_memory(harness).await;
    let mut memory_at_most: f64 = memory_at_start;
    trial
        .under(&load, async {
            while trial.generator.total() < load.events {
                sleep(random.millis(BETWEEN.0, BETWEEN.1)).await;
                let name = inject(harness, &trial, &mut random).await?;
                memory_at_most = memory_at_most.max(fleet_memory(harness).await);
                let (sent, waiting) =
                    (trial.generator.total(), trial.watch.checker().outstanding());
                let seconds = begun.elapsed().as_secs();
                progress(&format!(
                    "{seconds} s: {name}; {sent} sent, {waiting} waiting"
                ));
            }
            Ok(())
        })
        .await?;
    trial.figure("handlers_mb_at_start", memory_at_start);
    trial.figure("handlers_mb_at_most", memory_at_most);
    trial.figure("handlers_mb_at_end", fleet_memory(harness).await);
    if let Some(own) = memory(std::process::id()) {
        trial.figure("checker_mb_at_end", own as f64 / 1e6);
    }
    let mut outcome = trial.finish().await?;
    let rate = outcome.report.events as f64 / outcome.seconds;
    outcome.figures.insert("events_per_second", rate);
    Ok(outcome)
}

/// The same without faults: what the processes hold while the load stays as it is.
pub async fn calm(harness: &Harness, outstanding: u64) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut load = trial.usual_load();
    (load.rate, load.outstanding) = (None, outstanding);
    let begun = Instant::now();
    let mut samples: Vec<f64> = Vec::new();
    trial
        .under(&load, async {
            while trial.generator.total() < load.events {
                sleep(SAMPLE).await;
                let each: Vec<String> = harness
                    .fleet()
                    .await
                    .replicas
                    .iter()
                    .filter_map(Replica::memory)
                    .map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6))
                    .collect();
                samples.push(fleet_memory(harness).await);
                let (seconds, sent) = (begun.elapsed().as_secs(), trial.generator.total());
                progress(&format!("{seconds} s: {sent} sent, {}", each.join(" and ")));
            }
            Ok(())
        })
        .await?;
    for (name, at) in [
        ("handlers_mb_at_first", 0),
        ("handlers_mb_at_half", samples.len() / 2),
        ("handlers_mb_at_end", samples.len().saturating_sub(1)),
    ] {
        trial.figure(name, samples.get(at).copied().unwrap_or_default());
    }
    let mut outcome = trial.finish().await?;
    let rate = outcome.report.events as f64 / outcome.seconds;
    outcome.figures.insert("events_per_second", rate);
    Ok(outcome)
}

async fn fleet_memory(harness: &Harness) -> f64 {
    let fleet = harness.fleet().await;
    fleet
        .replicas
        .iter()
        .filter_map(Replica::memory)
        .sum::<u64>() as f64
        / 1e6
}

/// One fault from its beginning to its end; answers its name.
async fn inject(
    harness: &Harness,
    trial: &Trial<'_>,
    random: &mut Random,
) -> anyhow::Result<&'static str> {
    trial.fault();
    let stack = &harness.stack;
    let name = match random.below(8) {
        0 | 1 => {
            let mut fleet = harness.fleet().await;
            let at = random.below(fleet.replicas.len() as u64) as usize;
            fleet.replicas[at].kill().await?;
            sleep(random.millis(0, 1000)).await;
            fleet.replicas[at].restart().await?;
            "handler killed"
        }
        2 => {
            let fleet = harness.fleet().await;
            let at = random.below(fleet.replicas.len() as u64) as usize;
            fleet.replicas[at].pause()?;
            sleep(random.millis(3000, 6000)).await;
            fleet.replicas[at].resume()?;
            "handler paused"
        }
        3 => {
            let fleet = harness.fleet().await;
            let at = random.below(fleet.replicas.len() as u64) as usize;
            let port = fleet.replicas[at].port();
            fleet.proxy.cut(port);
            sleep(random.millis(1000, 4000)).await;
            fleet.proxy.heal(port);
            "handler cut off"
        }
        4 => {
            stack.kill_part(Part::Restate).await?;
            sleep(random.millis(0, 2000)).await;
            stack.start_part(Part::Restate).await?;
            "Restate killed"
        }
        5 => {
            stack.kill_part(Part::Kafka).await?;
            stack.start_part(Part::Kafka).await?;
            "Kafka killed"
        }
        6 => {
            let pid = stack.endpoints().pids.get(Part::Kafka.name()).copied();
            let group = Pid::from_raw(i32::try_from(pid.unwrap_or_default())?);
            killpg(group, Signal::SIGSTOP)?;
            sleep(random.millis(3000, 8000)).await;
            killpg(group, Signal::SIGCONT)?;
            "Kafka paused"
        }
        _ => {
            recreate(harness, None).await?;
            "subscription made anew"
        }
    };
    trial.healed();
    Ok(name)
}
