//! What a run counts for Prometheus.

use std::sync::LazyLock;

use millstream_pipeline::observe::metrics::metrics;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    histogram_opts, opts,
};

/// Events handed over, by topic.
pub const SENT_TOTAL: &str = "millstream_loadtest_sent_total";
/// Commands with a result, by topic.
pub const ANSWERED_TOTAL: &str = "millstream_loadtest_answered_total";
/// Commands that failed, by topic.
pub const FAILED_TOTAL: &str = "millstream_loadtest_failed_total";
/// Results that a reader would take a second time, by topic.
pub const DUPLICATES_TOTAL: &str = "millstream_loadtest_duplicates_total";
/// Commands without a result after their deadline, by topic.
pub const MISSING: &str = "millstream_loadtest_missing";
/// Seconds from the time when a command should have been sent to its result, by topic.
pub const LATENCY_SECONDS: &str = "millstream_loadtest_latency_seconds";
/// Events per second that are to be sent, by topic.
pub const TARGET_RATE: &str = "millstream_loadtest_target_rate";

/// From half a millisecond to a minute, doubling.
const SECONDS: [f64; 18] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0,
    8.0, 16.0, 32.0, 64.0,
];

struct Metrics {
    sent: IntCounterVec,
    answered: IntCounterVec,
    failed: IntCounterVec,
    duplicates: IntCounterVec,
    missing: IntGaugeVec,
    latency: HistogramVec,
    target_rate: GaugeVec,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    Metrics::new().unwrap_or_else(|error| unreachable!("the metrics above are valid: {error}"))
});

impl Metrics {
    /// They are shown with those of the pipeline's own clients in this process.
    fn new() -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str| registered(IntCounterVec::new(opts!(name, help), &["topic"])?);
        let latency = histogram_opts!(
            LATENCY_SECONDS,
            "Seconds from the time when a command should have been sent to its result.",
            SECONDS.to_vec()
        );
        let missing = opts!(MISSING, "Commands without a result after their deadline.");
        let target_rate = opts!(TARGET_RATE, "Events per second that are to be sent.");
        Ok(Self {
            sent: counter(SENT_TOTAL, "Events handed over.")?,
            answered: counter(ANSWERED_TOTAL, "Commands with a result.")?,
            failed: counter(FAILED_TOTAL, "Commands that failed.")?,
            duplicates: counter(
                DUPLICATES_TOTAL,
                "Results that a reader would take a second time.",
            )?,
            missing: registered(IntGaugeVec::new(missing, &["topic"])?)?,
            latency: registered(HistogramVec::new(latency, &["topic"])?)?,
            target_rate: registered(GaugeVec::new(target_rate, &["topic"])?)?,
        })
    }
}

fn registered<M: Collector + Clone + 'static>(metric: M) -> Result<M, prometheus::Error> {
    metrics().registry().register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The series of one topic.
#[derive(Debug, Clone)]
pub struct Live {
    pub sent: IntCounter,
    pub answered: IntCounter,
    pub failed: IntCounter,
    pub duplicates: IntCounter,
    pub missing: IntGauge,
    pub latency: Histogram,
}

impl Live {
    /// Those of `topic`, from 0 if they are new.
    pub fn of_topic(topic: &str) -> Self {
        let (metrics, topic) = (&*METRICS, &[topic]);
        Self {
            sent: metrics.sent.with_label_values(topic),
            answered: metrics.answered.with_label_values(topic),
            failed: metrics.failed.with_label_values(topic),
            duplicates: metrics.duplicates.with_label_values(topic),
            missing: metrics.missing.with_label_values(topic),
            latency: metrics.latency.with_label_values(topic),
        }
    }
}

/// Shows the rate at which events of `topic` are to be sent.
pub fn show_target_rate(topic: &str, rate: f64) {
    METRICS.target_rate.with_label_values(&[topic]).set(rate);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../../docs/metrics.md");
        for name in [
            SENT_TOTAL,
            ANSWERED_TOTAL,
            FAILED_TOTAL,
            DUPLICATES_TOTAL,
            MISSING,
            LATENCY_SECONDS,
            TARGET_RATE,
        ] {
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
        Live::of_topic("test").sent.inc();
        show_target_rate("test", 2.0);
        let text = String::from_utf8(metrics().text().unwrap()).unwrap();
        assert!(text.contains("millstream_loadtest_target_rate{topic=\"test\"} 2"));
        assert!(text.contains("millstream_loadtest_latency_seconds_bucket{topic=\"test\""));
    }
}
