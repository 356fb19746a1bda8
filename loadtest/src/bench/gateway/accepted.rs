//! How many requests are accepted a second, when nothing is done about them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Stack;
use super::connection::Prefer;
use super::overhead::Quantiles;
use crate::probe::process;

/// Before it counts: connections are made, and the broker's and the gateway's caches filled.
const WARM_UP: Duration = Duration::from_secs(2);
/// Keys, so that all partitions are written.
const KEYS: u64 = 10_000;

/// Each connection sends its next request when the one before is answered.
#[derive(Debug, Serialize)]
pub struct Accepted {
    pub connections: usize,
    pub seconds: f64,
    pub per_second: f64,
    pub answered: Quantiles,
    /// CPU seconds a second.
    pub gateway_cpu: f64,
    pub kafka_cpu: f64,
    /// Of this program.
    pub client_cpu: f64,
}

pub async fn measure(
    stack: &Stack,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Accepted> {
    let (counting, ended, next) = (
        AtomicBool::new(false),
        AtomicBool::new(false),
        AtomicU64::new(0),
    );
    let pids = [
        stack.pid("gateway")?,
        stack.pid("kafka")?,
        std::process::id(),
    ];
    let cpu = || pids.map(|pid| process::cpu_seconds(pid).unwrap_or_default());
    let client = || async {
        let mut connection = stack.target.connect().await?;
        let mut micros = Histogram::<u64>::new(3)?;
        while !ended.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed) % KEYS;
            let request = stack.target.request(number, Prefer::Async);
            let begun = Instant::now();
            connection.expect(&request, 202).await?;
            if counting.load(Ordering::Relaxed) {
                micros.record(u64::try_from(begun.elapsed().as_micros())?)?;
            }
        }
        anyhow::Ok(micros)
    };
    let clock = async {
        tokio::time::sleep(WARM_UP).await;
        let (before, begun) = (cpu(), Instant::now());
        counting.store(true, Ordering::Relaxed);
        tokio::time::sleep(duration).await;
        counting.store(false, Ordering::Relaxed);
        let (after, seconds) = (cpu(), begun.elapsed().as_secs_f64());
        ended.store(true, Ordering::Relaxed);
        let used = std::array::from_fn::<_, 3, _>(|at| (after[at] - before[at]) / seconds);
        anyhow::Ok((seconds, used))
    };
    let clients = try_join_all((0..connections).map(|_| client()));
    let (all, (seconds, [gateway_cpu, kafka_cpu, client_cpu])) = tokio::try_join!(clients, clock)?;
    let mut micros = Histogram::<u64>::new(3)?;
    for some in &all {
        micros.add(some)?;
    }
    Ok(Accepted {
        connections,
        seconds,
        per_second: micros.len() as f64 / seconds,
        answered: Quantiles::of(&micros),
        gateway_cpu,
        kafka_cpu,
        client_cpu,
    })
}
