//! What very many waiting requests cost.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::Stack;
use super::connection::Prefer;
use crate::probe::process;

/// Connections made at once.
const AT_ONCE: usize = 100;
/// Seconds that each request waits: the gateway's longest.
const WAIT: u64 = 60;
/// How long a request may take to wait.
const LIMIT: Duration = Duration::from_secs(50);
const LOOK: Duration = Duration::from_millis(100);

/// Memory of the gateway's process.
#[derive(Debug, Serialize)]
pub struct Waiting {
    pub requests: usize,
    pub before_mib: f64,
    pub with_mib: f64,
    /// What each adds.
    pub kib_each: f64,
    /// From the first to the last.
    pub seconds: f64,
}

pub async fn measure(stack: &Stack, requests: usize) -> anyhow::Result<Waiting> {
    let gateway = stack.pid("gateway")?;
    let before_mib = process::rss_mib(gateway)?;
    let before = waiting(stack).await?;
    let begun = Instant::now();
    let connections = stream::iter(0..requests).map(|number| async move {
        let mut connection = stack.target.connect().await?;
        let request = stack.target.request(number as u64, Prefer::Wait(WAIT));
        connection.write(&request).await?;
        anyhow::Ok(connection)
    });
    let connections: Vec<_> = connections.buffer_unordered(AT_ONCE).try_collect().await?;
    loop {
        let now = waiting(stack).await? - before;
        if now >= requests as f64 {
            break;
        }
        ensure!(
            begun.elapsed() < LIMIT,
            "{now} of {requests} requests wait after {LIMIT:?}: give it fewer of them"
        );
        tokio::time::sleep(LOOK).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let with_mib = process::rss_mib(gateway)?;
    drop(connections);
    Ok(Waiting {
        requests,
        before_mib,
        with_mib,
        kib_each: (with_mib - before_mib) * 1024.0 / requests as f64,
        seconds,
    })
}

/// Requests that wait at the gateway now, by its metrics.
async fn waiting(stack: &Stack) -> anyhow::Result<f64> {
    let page = millstream_pipeline::http::client()
        .get(&stack.metrics)
        .send()
        .await?
        .error_for_status()?;
    let page = page.text().await?;
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix("millstream_gateway_waiting "));
    value
        .and_then(|value| value.trim().parse().ok())
        .context("the gateway's metrics do not say how many requests wait")
}
