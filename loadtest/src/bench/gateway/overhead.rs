//! What the gateway adds to one request on an idle machine.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use millstream_pipeline::client::Client;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::{ProductReservations, TOPICS};
use serde::Serialize;

use super::Stack;
use super::connection::Prefer;

const LIMIT: Duration = Duration::from_secs(30);
/// Requests that are not counted: connections are made and caches filled.
const WARM_UP: usize = 50;

/// Milliseconds of single requests, from sending to having the result.
#[derive(Debug, Serialize)]
pub struct Overhead {
    /// Of either kind.
    pub requests: usize,
    pub kafka: Quantiles,
    pub http: Quantiles,
    /// Median over HTTP less median by Kafka.
    pub median_ms: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quantiles {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
}

impl Quantiles {
    /// Of microseconds.
    pub fn of(micros: &Histogram<u64>) -> Self {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
        }
    }
}

/// Sends requests of both kinds in turn, each after the answer to the one before.
pub async fn measure(stack: &Stack, requests: usize) -> anyhow::Result<Overhead> {
    let client = Client::new(&stack.endpoints, TOPICS, "loadtest").await?;
    let mut connection = stack.target.connect().await?;
    let mut micros = [Histogram::<u64>::new(3)?, Histogram::new(3)?];
    for number in 0..requests + WARM_UP {
        let key = stack.target.key(number as u64 % 100);
        let command = ReserveProduct {
            reservation_id: number.to_string(),
        };
        let begun = Instant::now();
        client
            .request::<ProductReservations>(&key, command, LIMIT)
            .await?;
        let kafka = begun.elapsed();
        let request = stack
            .target
            .request(number as u64 % 100, Prefer::Wait(LIMIT.as_secs()));
        let begun = Instant::now();
        connection.expect(&request, 200).await?;
        let http = begun.elapsed();
        if number >= WARM_UP {
            for (micros, took) in micros.iter_mut().zip([kafka, http]) {
                micros.record(u64::try_from(took.as_micros())?)?;
            }
        }
    }
    let [kafka, http] = micros.map(|micros| Quantiles::of(&micros));
    Ok(Overhead {
        requests,
        kafka,
        http,
        median_ms: http.p50_ms - kafka.p50_ms,
    })
}
