//! How long a single request takes, from producing the command to reading its result.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::{ProductReservations, TOPICS};
use serde::Serialize;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);
/// Requests that are not counted: connections are made and caches filled.
const WARM_UP: usize = 50;

/// Milliseconds from command to result, with one request at a time.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// How many requests.
    pub requests: usize,
    /// Median.
    pub p50_ms: f64,
    /// 90 of 100 are faster.
    pub p90_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// Sends requests, each after the answer to the one before.
pub async fn measure(endpoints: &Endpoints, requests: usize) -> anyhow::Result<Latency> {
    let client = Client::new(endpoints, TOPICS, "loadtest").await?;
    let mut micros = Histogram::<u64>::new(3)?;
    let run = Uuid::now_v7();
    for number in 0..requests + WARM_UP {
        let command = ReserveProduct {
            reservation_id: number.to_string(),
        };
        let key = format!("{run}-{}", number % 100);
        let start = Instant::now();
        client
            .request::<ProductReservations>(&key, command, LIMIT)
            .await?;
        if number >= WARM_UP {
            micros.record(u64::try_from(start.elapsed().as_micros())?)?;
        }
    }
    let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Latency {
        requests,
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        max_ms: at(1.0),
    })
}
