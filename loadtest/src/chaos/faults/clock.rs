//! The clock of the handlers jumps.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use millstream_pipeline::events::Topic;
use millstream_topics::OutboundEmails;
use tokio::time::sleep;

use super::catalogue::{Catalogue, Records};
use super::handlers::restart_all;
use super::harness::Harness;
use super::outcome::Outcome;
use super::replica;
use super::trial::{Trial, until};
use crate::bench::timers::setter::Setter;
use crate::probe::process::now_micros;

const LIMIT: Duration = Duration::from_secs(60);
/// Timers that are set at each position of the clock.
const TIMERS: u64 = 20;
/// They are due within so many microseconds, so that some are at each later position.
const DUE_WITHIN: u64 = 8_000_000;

/// The clock of the handlers jumps ten minutes forth, and twenty back.
///
/// The ledger takes unsigned requests here, so that its events are handled by wrong clocks. The
/// catalogue's handlers take signed ones alone, as in production: a signature holds for a minute,
/// so handlers whose clock is wrong take none, and no timer fires early.
pub async fn jump(harness: &Harness) -> anyhow::Result<Outcome> {
    // Debian's package `faketime`.
    let library = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1",
        std::env::consts::ARCH
    );
    if !Path::new(&library).exists() {
        let (name, _) = harness.name();
        return Ok(Outcome::skipped(name, "needs Debian's package faketime"));
    }
    let catalogue = harness.catalogue().await?;
    let trial = harness.trial().await?;
    let mut random = harness.random();
    let clock = harness.stack.folder().join("clock");
    std::fs::write(&clock, "+0")?;
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &*clock.to_string_lossy()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let faked = |settings: replica::Settings| replica::Settings {
        variables: variables.clone().into(),
        ..settings
    };
    let unsigned = replica::Settings {
        unsigned: true,
        ..harness.replica_settings()
    };
    restart_all(harness, &faked(unsigned)).await?;
    let signed = faked(Catalogue::settings());
    catalogue.replica().await.restart_with(signed).await?;

    let timers = Timers {
        mails: catalogue
            .follow(&[OutboundEmails::DECLARATION.name])
            .await?,
        setter: Setter::new(harness.endpoints.clone())?,
    };
    let mut set = 0;
    trial
        .under_load(async {
            for clock_says in ["+0", "+10m", "-10m", "+0"] {
                if set > 0 {
                    trial.fault();
                }
                std::fs::write(&clock, clock_says)?;
                for _ in 0..TIMERS {
                    let due = i64::try_from(random.below(DUE_WITHIN))?;
                    timers.setter.set_one(set, now_micros() + due).await?;
                    set += 1;
                }
                if clock_says != "+0" {
                    let refused = until(LIMIT, || async {
                        is_refused(harness).await.unwrap_or(false)
                    });
                    trial.expect(refused.await, "handlers with a wrong clock take requests");
                }
                trial.healed();
                sleep(random.millis(1000, 2500)).await;
            }
            Ok(())
        })
        .await?;
    timers.check(&trial, set).await;
    let outcome = trial.finish().await?;
    restart_all(harness, &harness.replica_settings()).await?;
    let mut replica = catalogue.replica().await;
    replica.restart_with(Catalogue::settings()).await?;
    Ok(outcome)
}

/// Whether a timer's invocation waits for its next attempt.
async fn is_refused(harness: &Harness) -> anyhow::Result<bool> {
    let counts = harness.restate()?.invocation_counts().await?;
    Ok(counts
        .iter()
        .any(|count| count.service == "Timers" && count.status == "backing-off"))
}

struct Timers {
    setter: Setter,
    mails: Records,
}

impl Timers {
    /// Each of them fires once, and not before its time by the clock of everybody else.
    async fn check(&self, trial: &Trial<'_>, set: usize) {
        let all = until(LIMIT, || async { self.fired().len() >= set });
        trial.expect(all.await, "not all timers have fired");
        // By now a timer that fires twice has.
        sleep(Duration::from_secs(1)).await;
        let fired = self.fired();
        let twice = fired.values().filter(|(count, _)| *count > 1).count();
        let early = fired.values().filter(|(_, late)| *late < 0).count();
        let latest = fired.values().map(|(_, late)| *late).max();
        trial.figure("timers", fired.len() as f64);
        trial.figure("timers_twice", twice as f64);
        trial.figure("timers_early", early as f64);
        trial.figure(
            "timer_latest_seconds",
            latest.unwrap_or_default() as f64 / 1e6,
        );
        trial.expect(twice == 0, "a timer has fired twice");
        trial.expect(early == 0, "a timer has fired early");
    }

    /// How often each has fired, and how many microseconds late.
    fn fired(&self) -> HashMap<String, (u64, i64)> {
        let mut fired: HashMap<String, (u64, i64)> = HashMap::new();
        for (arrived, seen) in self.mails.seen().iter() {
            let (Some(meta), Some(key)) = (&seen.meta, &seen.key) else {
                continue;
            };
            if key.starts_with(&self.setter.run) {
                let late = arrived - meta.time;
                fired.entry(key.clone()).or_insert((0, late)).0 += 1;
            }
        }
        fired
    }
}
