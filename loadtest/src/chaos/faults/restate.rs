//! Faults of Restate.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use millstream_devstack::Part;
use tokio::time::sleep;

use super::harness::Harness;
use super::input::{now_ms, rewind_stopped};
use super::outcome::Outcome;
use crate::chaos::ledger::event::Book;

/// Restate is killed and started on the same disk.
pub async fn kill9(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    trial
        .under_load(async {
            for _ in 0..3 {
                sleep(random.millis(1000, 2500)).await;
                trial.fault();
                harness.stack.kill_part(Part::Restate).await?;
                sleep(random.millis(0, 500)).await;
                harness.stack.start_part(Part::Restate).await?;
                trial.healed();
            }
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// Restate is away for a minute (six seconds at the small size) while events keep coming.
pub async fn down(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    let away = Duration::from_secs(if harness.size.full { 60 } else { 6 });
    trial
        .under_load(async {
            sleep(random.millis(1000, 2500)).await;
            trial.fault();
            harness.stack.stop_part(Part::Restate).await?;
            sleep(away).await;
            harness.stack.start_part(Part::Restate).await?;
            trial.healed();
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// Restate goes on from a copy of its data that lacks what was handled since, while new events come;
/// rewinding the subscription before Restate is started brings it back.
pub async fn restore_from_backup(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let data = harness.stack.folder().join("data/restate");
    let copy = harness.stack.folder().join("restate-backup");
    let begin = now_ms()?;
    let mut load = trial.usual_load();
    load.events = load.events.div_ceil(3);
    trial.send(&load).await?;
    harness.stack.stop_part(Part::Restate).await?;
    copy_folder(&data, &copy).context("cannot copy Restate's data")?;
    harness.stack.start_part(Part::Restate).await?;
    trial.send(&load).await?;
    trial.expect(trial.answered().await, "the second third is not answered");
    trial
        .under(&load, async {
            trial.fault();
            harness.stack.stop_part(Part::Restate).await?;
            std::fs::remove_dir_all(&data)?;
            std::fs::rename(&copy, &data)?;
            // What comes meanwhile must not be handled before what the copy lacks.
            rewind_stopped(harness, begin).await?;
            harness.stack.start_part(Part::Restate).await?;
            trial.healed();
            Ok(())
        })
        .await?;
    trial.finish().await
}

/// Restate loses all that it has, and is made anew: the batch lane has everything in Kafka, so nothing
/// comes of it but that the declarations have to be applied again.
pub async fn lost(harness: &Harness) -> anyhow::Result<Outcome> {
    // In the event lane objects begin anew with it.
    let trial = harness.trial_in(Book::Batch).await?;
    let data = harness.stack.folder().join("data/restate");
    let mut random = harness.random();
    trial
        .under_load(async {
            sleep(random.millis(1000, 2500)).await;
            trial.fault();
            harness.stack.kill_part(Part::Restate).await?;
            std::fs::remove_dir_all(&data)?;
            harness.stack.start_part(Part::Restate).await?;
            harness.apply().await?;
            harness.apply_catalogue().await?;
            trial.healed();
            Ok(())
        })
        .await?;
    trial.finish().await
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => std::fs::copy(entry.path(), target).map(drop)?,
        }
    }
    Ok(())
}
