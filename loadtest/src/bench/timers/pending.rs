//! What pending timers cost: memory of the handlers, and the rate and latency of other events.

use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_pipeline::events::Topic;
use millstream_topics::ProductReservations;
use serde::Serialize;
use tokio::time::Instant;

use super::Arguments;
use super::setter::Setter;
use crate::bench::{commands, latency, median_of, results};
use crate::probe::broker::Ends;
use crate::probe::process::{cpu_seconds, now_micros, rss_mib};

const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Keys of the other events, picked evenly.
const KEYS: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(100);

/// Other events, without or with pending timers.
#[derive(Debug, Serialize)]
pub struct Others {
    /// Median of the rounds.
    pub events_per_second: f64,
    /// Of Restate, Kafka and the handlers, per 1,000 events; median of the rounds.
    pub cpu_seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Memory of the handlers afterwards.
    pub handlers_rss_mib: f64,
}

/// The two compared.
#[derive(Debug, Serialize)]
pub struct Pending {
    pub timers: usize,
    pub set_seconds: f64,
    pub without: Others,
    pub with: Others,
    /// Rate with by rate without.
    pub rate_ratio: f64,
    /// CPU seconds without by those with: what the ratio would be if nothing else ran here.
    pub cpu_ratio: f64,
    /// Median latency with by that without.
    pub latency_ratio: f64,
}

pub async fn measure(setter: &Setter, arguments: &Arguments) -> anyhow::Result<Pending> {
    round(setter, arguments.events, "warm-up").await?;
    let without = others(setter, arguments, "without").await?;
    let tomorrow = now_micros() + DAY;
    let due = (0..arguments.pending).map(|number| tomorrow + number as i64);
    let set_seconds = setter.set(due).await?;
    eprintln!(
        "{} timers are set after {set_seconds:.1} s",
        arguments.pending
    );
    let with = others(setter, arguments, "with").await?;
    Ok(Pending {
        timers: arguments.pending,
        set_seconds,
        rate_ratio: with.events_per_second / without.events_per_second,
        cpu_ratio: without.cpu_seconds / with.cpu_seconds,
        latency_ratio: with.p50_ms / without.p50_ms,
        without,
        with,
    })
}

async fn others(setter: &Setter, arguments: &Arguments, name: &str) -> anyhow::Result<Others> {
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let (rate, cpu) = round(setter, arguments.events, name).await?;
        rates.push(rate);
        cpus.push(cpu);
    }
    let latency = latency::measure(&setter.endpoints, arguments.latency).await?;
    Ok(Others {
        events_per_second: median_of(rates),
        cpu_seconds: median_of(cpus),
        p50_ms: latency.p50_ms,
        p99_ms: latency.p99_ms,
        handlers_rss_mib: rss_mib(setter.pid("handlers")?)?,
    })
}

/// Rate, and CPU seconds per 1,000 events.
async fn round(setter: &Setter, events: usize, name: &str) -> anyhow::Result<(f64, f64)> {
    let commands = commands::encode(&setter.codec, &setter.run, events, KEYS).await?;
    let cpu = || {
        let used = ["restate", "kafka", "handlers"].map(|part| cpu_seconds(setter.pid(part)?));
        used.into_iter().sum::<anyhow::Result<f64>>()
    };
    let (from, used) = (ends(setter)?, cpu()?);
    let topic = ProductReservations::DECLARATION;
    commands.produce(&setter.publisher, topic.name).await?;
    let deadline = Instant::now() + LIMIT;
    while ends(setter)?.since(&from) < events as u64 {
        ensure!(Instant::now() < deadline, "not all events are answered");
        tokio::time::sleep(LOOK).await;
    }
    let (to, used) = (ends(setter)?, cpu()? - used);
    let result_topic = topic.results.as_ref().context("it has results")?.name;
    let (broker, codec) = (&setter.broker, &setter.codec);
    let seconds = results::check(broker, codec, result_topic, (&from, &to), &commands.ids).await?;
    let rate = events as f64 / seconds;
    eprintln!("{name}: {rate:.0} events/s");
    Ok((rate, used * 1000.0 / events as f64))
}

fn ends(setter: &Setter) -> anyhow::Result<Ends> {
    let topic = ProductReservations::DECLARATION;
    let results = topic.results.as_ref().context("it has results")?;
    setter.broker.ends(results.name, results.partitions)
}
