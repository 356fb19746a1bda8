//! Every metric of ours, by Prometheus' conventions. Labels have few values: never a key or an id.
//!
//! An event is counted when its result is acknowledged, not when its handler starts, so an
//! attempt that Restate repeats is not counted again.

use std::sync::LazyLock;

use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder,
    histogram_opts, opts,
};

/// Events finished, by topic, handler and outcome code (`ok` or a failure's code).
pub const EVENTS_TOTAL: &str = "millstream_events_total";
/// Events not handled again, by topic and reason (`redelivered`, `duplicate-id`).
pub const EVENTS_SKIPPED_TOTAL: &str = "millstream_events_skipped_total";
/// Commands answered from memory by their idempotency key, by topic.
pub const IDEMPOTENT_ANSWERS_TOTAL: &str = "millstream_idempotent_answers_total";
/// Seconds from a command's `time` to its acknowledged result, by topic.
pub const EVENT_DURATION_SECONDS: &str = "millstream_event_duration_seconds";
/// Seconds from handing a record to the producer to its acknowledgement.
pub const PUBLISH_DURATION_SECONDS: &str = "millstream_publish_duration_seconds";
/// Records that could not be published at an attempt, by reason (`record`, `infrastructure`).
pub const PUBLISH_ERRORS_TOTAL: &str = "millstream_publish_errors_total";
/// Producers made anew after a fatal error.
pub const PRODUCER_RESTARTS_TOTAL: &str = "millstream_producer_restarts_total";
/// Dead letters written, by topic and code.
pub const DEAD_LETTERS_TOTAL: &str = "millstream_dead_letters_total";
/// Attempts that failed for infrastructure and are tried again, by topic.
pub const RETRIES_TOTAL: &str = "millstream_retries_total";
/// Requests between services that were not answered before their deadline, by topic.
pub const REQUESTS_TIMED_OUT_TOTAL: &str = "millstream_requests_timed_out_total";
/// Replies that came after the deadline of their request.
pub const REPLIES_LATE_TOTAL: &str = "millstream_replies_late_total";
/// Compensations that failed and are tried again, by topic.
pub const COMPENSATION_RETRIES_TOTAL: &str = "millstream_compensation_retries_total";
/// Seconds from the time a timer was due to its event's acknowledgement, by the event's topic.
pub const TIMER_LATENESS_SECONDS: &str = "millstream_timer_lateness_seconds";
/// Records of a foreign topic that the guard is done with, by topic and code: `ok` if it was let
/// through, else why it is a dead letter.
pub const GUARD_RECORDS_TOTAL: &str = "millstream_guard_records_total";
/// Transactions that the guard has committed, by topic.
pub const GUARD_TRANSACTIONS_TOTAL: &str = "millstream_guard_transactions_total";
/// Times that the guard has begun anew with another consumer and producer after an error, by topic.
pub const GUARD_RESTARTS_TOTAL: &str = "millstream_guard_restarts_total";
/// Requests that the gateway has answered, by route (its template), status and code.
pub const GATEWAY_REQUESTS_TOTAL: &str = "millstream_gateway_requests_total";
/// Seconds from a request to the gateway's response, by route.
pub const GATEWAY_REQUEST_DURATION_SECONDS: &str = "millstream_gateway_request_duration_seconds";
/// Requests that wait for their results at the gateway.
pub const GATEWAY_WAITING: &str = "millstream_gateway_waiting";
/// Results that the gateway looked for in Kafka, by how: at a noted place, or by reading.
pub const GATEWAY_LOOKUPS_TOTAL: &str = "millstream_gateway_lookups_total";
/// Requests that the gateway has refused because of who sent them or how often, by reason.
pub const GATEWAY_REFUSED_TOTAL: &str = "millstream_gateway_refused_total";
/// Constant 1, labelled with the version.
pub const BUILD_INFO: &str = "millstream_build_info";

/// From a millisecond to a minute and a half, doubling.
const SECONDS: [f64; 17] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 8.0, 16.0,
    32.0, 90.0,
];

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    /// [`EVENTS_TOTAL`].
    pub events: IntCounterVec,
    /// [`EVENTS_SKIPPED_TOTAL`].
    pub events_skipped: IntCounterVec,
    /// [`IDEMPOTENT_ANSWERS_TOTAL`].
    pub idempotent_answers: IntCounterVec,
    /// [`EVENT_DURATION_SECONDS`].
    pub event_duration: HistogramVec,
    /// [`PUBLISH_DURATION_SECONDS`].
    pub publish_duration: Histogram,
    /// [`PUBLISH_ERRORS_TOTAL`].
    pub publish_errors: IntCounterVec,
    /// [`PRODUCER_RESTARTS_TOTAL`].
    pub producer_restarts: IntCounter,
    /// [`DEAD_LETTERS_TOTAL`].
    pub dead_letters: IntCounterVec,
    /// [`RETRIES_TOTAL`].
    pub retries: IntCounterVec,
    /// [`REQUESTS_TIMED_OUT_TOTAL`].
    pub requests_timed_out: IntCounterVec,
    /// [`REPLIES_LATE_TOTAL`].
    pub replies_late: IntCounter,
    /// [`COMPENSATION_RETRIES_TOTAL`].
    pub compensation_retries: IntCounterVec,
    /// [`TIMER_LATENESS_SECONDS`].
    pub timer_lateness: HistogramVec,
    /// [`GUARD_RECORDS_TOTAL`].
    pub guard_records: IntCounterVec,
    /// [`GUARD_TRANSACTIONS_TOTAL`].
    pub guard_transactions: IntCounterVec,
    /// [`GUARD_RESTARTS_TOTAL`].
    pub guard_restarts: IntCounterVec,
    /// [`GATEWAY_REQUESTS_TOTAL`].
    pub gateway_requests: IntCounterVec,
    /// [`GATEWAY_REQUEST_DURATION_SECONDS`].
    pub gateway_duration: HistogramVec,
    /// [`GATEWAY_WAITING`].
    pub gateway_waiting: IntGauge,
    /// [`GATEWAY_LOOKUPS_TOTAL`].
    pub gateway_lookups: IntCounterVec,
    /// [`GATEWAY_REFUSED_TOTAL`].
    pub gateway_refused: IntCounterVec,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    Metrics::new().unwrap_or_else(|error| unreachable!("the metrics above are valid: {error}"))
});

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    /// Where services register metrics of their own, to be shown with these.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name, help, labels: &[&str]| {
            let counters = IntCounterVec::new(opts!(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let build_info = counters(
            BUILD_INFO,
            "Constant 1, labelled with the version.",
            &["version"],
        )?;
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .inc();
        let event_duration = HistogramVec::new(
            histogram_opts!(
                EVENT_DURATION_SECONDS,
                "Seconds from a command's time to its acknowledged result.",
                SECONDS.to_vec()
            ),
            &["topic"],
        )?;
        let publish_duration = Histogram::with_opts(histogram_opts!(
            PUBLISH_DURATION_SECONDS,
            "Seconds from handing a record to the producer to its acknowledgement.",
            SECONDS.to_vec()
        ))?;
        let producer_restarts = IntCounter::with_opts(opts!(
            PRODUCER_RESTARTS_TOTAL,
            "Producers made anew after a fatal error."
        ))?;
        let timer_lateness = HistogramVec::new(
            histogram_opts!(
                TIMER_LATENESS_SECONDS,
                "Seconds from the time a timer was due to its event's acknowledgement.",
                SECONDS.to_vec()
            ),
            &["topic"],
        )?;
        let replies_late = IntCounter::with_opts(opts!(
            REPLIES_LATE_TOTAL,
            "Replies that came after the deadline of their request."
        ))?;
        registry.register(Box::new(timer_lateness.clone()))?;
        registry.register(Box::new(replies_late.clone()))?;
        let gateway_duration = HistogramVec::new(
            histogram_opts!(
                GATEWAY_REQUEST_DURATION_SECONDS,
                "Seconds from a request to the gateway's response.",
                SECONDS.to_vec()
            ),
            &["route"],
        )?;
        let gateway_waiting = IntGauge::with_opts(opts!(
            GATEWAY_WAITING,
            "Requests that wait for their results at the gateway."
        ))?;
        registry.register(Box::new(gateway_duration.clone()))?;
        registry.register(Box::new(gateway_waiting.clone()))?;
        registry.register(Box::new(event_duration.clone()))?;
        registry.register(Box::new(publish_duration.clone()))?;
        registry.register(Box::new(producer_restarts.clone()))?;
        Ok(Self {
            events: counters(
                EVENTS_TOTAL,
                "Events finished, by outcome code.",
                &["topic", "handler", "code"],
            )?,
            events_skipped: counters(
                EVENTS_SKIPPED_TOTAL,
                "Events not handled again.",
                &["topic", "reason"],
            )?,
            idempotent_answers: counters(
                IDEMPOTENT_ANSWERS_TOTAL,
                "Commands answered from memory by their idempotency key.",
                &["topic"],
            )?,
            event_duration,
            publish_duration,
            publish_errors: counters(
                PUBLISH_ERRORS_TOTAL,
                "Records that could not be published at an attempt.",
                &["reason"],
            )?,
            producer_restarts,
            dead_letters: counters(
                DEAD_LETTERS_TOTAL,
                "Dead letters written.",
                &["topic", "code"],
            )?,
            retries: counters(
                RETRIES_TOTAL,
                "Attempts that failed for infrastructure and are tried again.",
                &["topic"],
            )?,
            requests_timed_out: counters(
                REQUESTS_TIMED_OUT_TOTAL,
                "Requests between services that were not answered before their deadline.",
                &["topic"],
            )?,
            replies_late,
            compensation_retries: counters(
                COMPENSATION_RETRIES_TOTAL,
                "Compensations that failed and are tried again.",
                &["topic"],
            )?,
            timer_lateness,
            guard_records: counters(
                GUARD_RECORDS_TOTAL,
                "Records of a foreign topic that the guard is done with, by code.",
                &["topic", "code"],
            )?,
            guard_transactions: counters(
                GUARD_TRANSACTIONS_TOTAL,
                "Transactions that the guard has committed.",
                &["topic"],
            )?,
            guard_restarts: counters(
                GUARD_RESTARTS_TOTAL,
                "Times that the guard has begun anew after an error.",
                &["topic"],
            )?,
            gateway_requests: counters(
                GATEWAY_REQUESTS_TOTAL,
                "Requests that the gateway has answered, by route, status and code.",
                &["route", "status", "code"],
            )?,
            gateway_duration,
            gateway_waiting,
            gateway_lookups: counters(
                GATEWAY_LOOKUPS_TOTAL,
                "Results that the gateway looked for in Kafka.",
                &["how"],
            )?,
            gateway_refused: counters(
                GATEWAY_REFUSED_TOTAL,
                "Requests that the gateway has refused because of who sent them or how often.",
                &["reason"],
            )?,
            registry,
        })
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
