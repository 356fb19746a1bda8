//! How long one command takes while a side is half busy.

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::bench::Bench;
use super::feed::Feed;
use super::side::Side;
use super::watch::Fetch;

/// Commands that are not counted: connections are made and caches filled.
const WARM_UP: usize = 200;

/// Milliseconds from when a command was due to when its result was read; of the object that does
/// nothing, to when it was called.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Commands per second.
    pub rate: f64,
    /// How many commands.
    pub events: usize,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    fn new(rate: f64, micros: &Histogram<u64>) -> Self {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            rate,
            events: micros.len() as usize,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }
}

/// Sends commands at `rate` for some seconds, on a schedule that waits for nobody.
pub async fn measure(
    bench: &Bench,
    side: &mut Side,
    feed: &Feed,
    rate: f64,
    seconds: f64,
) -> anyhow::Result<Latency> {
    let from = bench.ends(&side.peer.subscribed())?;
    side.watch(bench, Fetch::AtOnce)?;
    let consuming = bench.consume(side, &from).await?;
    let measured = run(bench, side, feed, rate, seconds).await;
    bench.rest(side, consuming).await?;
    measured.with_context(|| format!("the latency of {} cannot be measured", side.peer.name()))
}

async fn run(
    bench: &Bench,
    side: &mut Side,
    feed: &Feed,
    rate: f64,
    seconds: f64,
) -> anyhow::Result<Latency> {
    side.send_steadily(feed, WARM_UP, rate).await?;
    bench.done(side, WARM_UP as u64).await?;
    side.end_watch().await?;
    side.watch(bench, Fetch::AtOnce)?;
    let events = (rate * seconds).ceil() as usize;
    side.send_steadily(feed, events, rate).await?;
    bench.done(side, events as u64).await?;
    let watched = side.end_watch().await?;
    Ok(Latency::new(rate, &watched.latencies))
}
