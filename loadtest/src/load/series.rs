//! What a run looked like second by second.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::track::Interval;

/// Of fewer, the 99.9th percentile would be the slowest.
const ENOUGH: u64 = 1_000;

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50_ms: f64,
    /// 90 of 100 are faster.
    pub p90_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// 999 of 1,000 are faster; `None`: there are not as many.
    pub p999_ms: Option<f64>,
    /// The slowest.
    pub max_ms: f64,
}

impl Percentiles {
    /// Of microseconds; `None`: there are none.
    pub fn of(micros: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        (!micros.is_empty()).then(|| Self {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: (micros.len() >= ENOUGH).then(|| at(0.999)),
            max_ms: micros.max() as f64 / 1e3,
        })
    }
}

/// About a second.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Its end, in seconds from the beginning of the run.
    pub seconds: f64,
    /// Events per second that were to be sent.
    pub target_rate: f64,
    /// Events per second that were.
    pub sent_rate: f64,
    /// Results per second, failures among them.
    pub answered_rate: f64,
    /// Failures per second.
    pub failed_rate: f64,
    /// Latencies of the results that came.
    pub latency: Option<Percentiles>,
    /// How late events were sent.
    pub delay: Option<Percentiles>,
    /// Records that the subscriptions have not taken yet.
    pub lag: Option<i64>,
    /// Commands sent without a result yet.
    pub unanswered: u64,
}

impl Sample {
    /// What happened between two times, at the second of which so many commands were unanswered.
    pub fn new(
        (begun, ended): (f64, f64),
        target: f64,
        interval: &Interval,
        lag: Option<i64>,
        unanswered: u64,
    ) -> Self {
        let seconds = (ended - begun).max(1e-3);
        let rate = |count: u64| count as f64 / seconds;
        Self {
            seconds: ended,
            target_rate: target / seconds,
            sent_rate: rate(interval.sent),
            answered_rate: rate(interval.answered),
            failed_rate: rate(interval.failed),
            latency: Percentiles::of(&interval.latency),
            delay: Percentiles::of(&interval.delay),
            lag,
            unanswered,
        }
    }
}
