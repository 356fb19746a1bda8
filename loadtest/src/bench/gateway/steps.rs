//! The rate at which requests are still accepted in time while handlers do what they ask for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use millstream_pipeline::events::{Declaration, Topic};
use millstream_topics::ProductReservations;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::Prefer;
use super::overhead::Quantiles;
use super::{Arguments, Stack};
use crate::probe::broker::{Broker, Ends};

const TOPIC: &Declaration = ProductReservations::DECLARATION;
/// Each step is so much faster than the one before, until one is too fast.
const FASTER: f64 = 1.5;
/// Steps between the last good rate and the first bad one.
const HALVINGS: usize = 2;
const KEYS: u64 = 1_000;
/// Connections that send: so many requests may be under way.
const CONNECTIONS: usize = 256;
/// How long the handlers may take for what is left of a step.
const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(100);

/// One rate.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Requests a second that were sent.
    pub rate: u64,
    /// From the time that a request was due to its 202.
    pub accepted: Quantiles,
    /// Commands a second that were handled meanwhile.
    pub handled: f64,
    /// Commands that were left at the end.
    pub left: u64,
    /// Whether p99 is short enough.
    pub in_time: bool,
}

pub async fn measure(stack: &Stack, arguments: &Arguments) -> anyhow::Result<Vec<Step>> {
    let broker = Broker::new(&stack.endpoints.kafka)?;
    let mut steps = Vec::new();
    let (mut good, mut bad) = (0, None);
    let mut rate = arguments.first_rate;
    let mut halvings = 0;
    loop {
        let step = step(stack, &broker, arguments, rate).await?;
        eprintln!(
            "{rate} requests/s: p99 {:.1} ms, {:.0} handled/s",
            step.accepted.p99_ms, step.handled
        );
        match step.in_time {
            true => good = rate,
            false => bad = Some(rate),
        }
        steps.push(step);
        rate = match bad {
            None => (rate as f64 * FASTER) as u64,
            Some(bad) if halvings < HALVINGS && good > 0 => {
                halvings += 1;
                u64::midpoint(good, bad)
            }
            Some(_) => break,
        };
    }
    steps.sort_by_key(|step| step.rate);
    Ok(steps)
}

async fn step(
    stack: &Stack,
    broker: &Broker,
    arguments: &Arguments,
    rate: u64,
) -> anyhow::Result<Step> {
    let duration = Duration::from_secs(arguments.step_seconds);
    let count = rate * arguments.step_seconds;
    let results = TOPIC.results.as_ref().context("there are results")?.name;
    let ends = || broker.ends(results, TOPIC.partitions);
    let before = ends()?;
    let next = AtomicU64::new(0);
    let connections = CONNECTIONS.min(usize::try_from(count)?);
    let connections = (0..connections).map(|_| stack.target.connect());
    let connections = try_join_all(connections).await?;
    let begun = Instant::now();
    let clients = connections.into_iter().map(|mut connection| {
        let next = &next;
        async move {
            let mut micros = Histogram::<u64>::new(3)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(micros);
                }
                let due = begun + duration.mul_f64(number as f64 / count as f64);
                let request = stack.target.request(number % KEYS, Prefer::Async);
                sleep_until(due).await;
                connection.expect(&request, 202).await?;
                micros.record(u64::try_from(due.elapsed().as_micros())?)?;
            }
        }
    });
    let clients = try_join_all(clients);
    let all = clients.await?;
    let seconds = begun.elapsed().as_secs_f64();
    let handled = ends()?.since(&before);
    let mut micros = Histogram::<u64>::new(3)?;
    for some in &all {
        micros.add(some)?;
    }
    let accepted = Quantiles::of(&micros);
    drain(ends, &before, count).await?;
    Ok(Step {
        rate,
        accepted,
        handled: handled as f64 / seconds,
        left: count.saturating_sub(handled),
        in_time: accepted.p99_ms <= arguments.p99_ms as f64,
    })
}

/// Waits for the handlers, so that each step begins with nothing to do.
async fn drain(
    ends: impl Fn() -> anyhow::Result<Ends>,
    before: &Ends,
    count: u64,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    while ends()?.since(before) < count {
        ensure!(
            Instant::now() < deadline,
            "the handlers do not come to an end; look at `millstream status`"
        );
        sleep(LOOK).await;
    }
    Ok(())
}
