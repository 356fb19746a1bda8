//! Every metric of ours, by Prometheus' conventions. Labels have few values: never a key or an id.
//!
//! An event is counted when its result is acknowledged, not when its handler starts, so an
//! attempt that Restate repeats is not counted again.

#[macro_use]
mod make;

use std::sync::LazyLock;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    Metrics::new().unwrap_or_else(|error| unreachable!("the metrics below are valid: {error}"))
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
        let metrics = Self::make()?;
        let version = [env!("CARGO_PKG_VERSION")];
        metrics.build_info.with_label_values(&version).set(1);
        Ok(metrics)
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

// The documentation of a metric is also what its `# HELP` says.
metrics! {
    // All programs.

    /// Constant 1, labelled with the version.
    BUILD_INFO = "millstream_build_info", build_info: IntGaugeVec ["version"];

    // Handlers.

    /// Events finished, by topic, handler and outcome code (`ok` or a failure's code).
    EVENTS_TOTAL = "millstream_events_total", events: IntCounterVec ["topic", "handler", "code"];
    /// Events not handled again, by topic and reason (`redelivered`, `duplicate-id`).
    EVENTS_SKIPPED_TOTAL = "millstream_events_skipped_total",
        events_skipped: IntCounterVec ["topic", "reason"];
    /// Commands answered from memory by their idempotency key, by topic.
    IDEMPOTENT_ANSWERS_TOTAL = "millstream_idempotent_answers_total",
        idempotent_answers: IntCounterVec ["topic"];
    /// Seconds from a command's `time` to its acknowledged result, by topic.
    EVENT_DURATION_SECONDS = "millstream_event_duration_seconds",
        event_duration: HistogramVec ["topic"];
    /// Seconds from the begin of the attempt that finished an event to its acknowledged result, by
    /// topic.
    HANDLING_DURATION_SECONDS = "millstream_handling_duration_seconds",
        handling_duration: HistogramVec ["topic"];
    /// Seconds from handing a record to the producer to its acknowledgement.
    PUBLISH_DURATION_SECONDS = "millstream_publish_duration_seconds", publish_duration: Histogram [];
    /// Records that could not be published at an attempt, by reason (`record`, `infrastructure`).
    PUBLISH_ERRORS_TOTAL = "millstream_publish_errors_total",
        publish_errors: IntCounterVec ["reason"];
    /// Producers made anew after a fatal error.
    PRODUCER_RESTARTS_TOTAL = "millstream_producer_restarts_total",
        producer_restarts: IntCounter [];
    /// Dead letters written, by topic and code.
    DEAD_LETTERS_TOTAL = "millstream_dead_letters_total",
        dead_letters: IntCounterVec ["topic", "code"];
    /// Attempts that failed for infrastructure and are tried again, by topic.
    RETRIES_TOTAL = "millstream_retries_total", retries: IntCounterVec ["topic"];
    /// Requests between services that were not answered before their deadline, by topic.
    REQUESTS_TIMED_OUT_TOTAL = "millstream_requests_timed_out_total",
        requests_timed_out: IntCounterVec ["topic"];
    /// Replies that came after the deadline of their request.
    REPLIES_LATE_TOTAL = "millstream_replies_late_total", replies_late: IntCounter [];
    /// Compensations that failed and are tried again, by topic.
    COMPENSATION_RETRIES_TOTAL = "millstream_compensation_retries_total",
        compensation_retries: IntCounterVec ["topic"];
    /// Seconds from the time a timer was due to its event's acknowledgement, by the event's topic.
    TIMER_LATENESS_SECONDS = "millstream_timer_lateness_seconds",
        timer_lateness: HistogramVec ["topic"];
    /// Schemas that were looked up, by where: in memory (`cached`), at the registry (`asked`), or not
    /// at all because it did not answer (`failed`).
    SCHEMA_LOOKUPS_TOTAL = "millstream_schema_lookups_total",
        schema_lookups: IntCounterVec ["how"];

    // The guard.

    /// Records of a foreign topic that the guard is done with, by topic and code: `ok` if it was let
    /// through, else why it is a dead letter.
    GUARD_RECORDS_TOTAL = "millstream_guard_records_total",
        guard_records: IntCounterVec ["topic", "code"];
    /// Transactions that the guard has committed, by topic.
    GUARD_TRANSACTIONS_TOTAL = "millstream_guard_transactions_total",
        guard_transactions: IntCounterVec ["topic"];
    /// Times that the guard has begun anew with another consumer and producer after an error, by
    /// topic.
    GUARD_RESTARTS_TOTAL = "millstream_guard_restarts_total",
        guard_restarts: IntCounterVec ["topic"];

    // The gateway.

    /// Requests that the gateway has answered, by route (its template), status and code.
    GATEWAY_REQUESTS_TOTAL = "millstream_gateway_requests_total",
        gateway_requests: IntCounterVec ["route", "status", "code"];
    /// Seconds from a request to the gateway's response, by route.
    GATEWAY_REQUEST_DURATION_SECONDS = "millstream_gateway_request_duration_seconds",
        gateway_duration: HistogramVec ["route"];
    /// Requests that wait for their results at the gateway.
    GATEWAY_WAITING = "millstream_gateway_waiting", gateway_waiting: IntGauge [];
    /// Seconds that the oldest of the requests waiting at the gateway has waited; 0 without any.
    GATEWAY_OLDEST_WAITING_SECONDS = "millstream_gateway_oldest_waiting_seconds",
        gateway_oldest_waiting: Gauge [];
    /// Results that the gateway has read, by whether a request waited for them (`yes`, `no`).
    GATEWAY_RESULTS_TOTAL = "millstream_gateway_results_total",
        gateway_results: IntCounterVec ["claimed"];
    /// Results that the gateway looked for in Kafka, by how: at a noted place, or by reading.
    GATEWAY_LOOKUPS_TOTAL = "millstream_gateway_lookups_total",
        gateway_lookups: IntCounterVec ["how"];
    /// Requests that the gateway has refused because of who sent them or how often, by reason.
    GATEWAY_REFUSED_TOTAL = "millstream_gateway_refused_total",
        gateway_refused: IntCounterVec ["reason"];
    /// Numbered results that the gateway has read, by topic and what the reader rule says of them
    /// (`accepted`, `late`, `duplicate`, `gap`, `conflict`).
    READER_EVENTS_TOTAL = "millstream_reader_events_total",
        reader_events: IntCounterVec ["topic", "verdict"];

    // The built-in schema registry.

    /// Requests that the registry has answered, by method, route (its template) and status.
    REGISTRY_REQUESTS_TOTAL = "millstream_registry_requests_total",
        registry_requests: IntCounterVec ["method", "route", "status"];
    /// Seconds from a request to the registry's response, by route.
    REGISTRY_REQUEST_DURATION_SECONDS = "millstream_registry_request_duration_seconds",
        registry_duration: HistogramVec ["route"];

    // The exporter, which looks at the installation as a whole.

    /// Whether a part answers, by part (`kafka`, `restate`, `registry`): 1 or 0.
    REACHABLE = "millstream_reachable", reachable: IntGaugeVec ["part"];
    /// Records that Restate has not taken yet, by topic and handler.
    SUBSCRIPTION_LAG = "millstream_subscription_lag",
        subscription_lag: IntGaugeVec ["topic", "handler"];
    /// Whether a declared subscription is there, by topic and handler: 0 while it is paused.
    SUBSCRIPTION_ACTIVE = "millstream_subscription_active",
        subscription_active: IntGaugeVec ["topic", "handler"];
    /// Records of a foreign topic that no guard is done with yet, by topic.
    GUARD_LAG = "millstream_guard_lag", guard_lag: IntGaugeVec ["topic"];
    /// Unfinished invocations, by service and state (`paused`, `backing-off`, `running`, `suspended`,
    /// `waiting`).
    INVOCATIONS = "millstream_invocations", invocations: IntGaugeVec ["service", "state"];
    /// Dead letters that nobody has dealt with, by topic.
    DEAD_LETTERS_UNMARKED = "millstream_dead_letters_unmarked",
        dead_letters_unmarked: IntGaugeVec ["topic"];
    /// Unfinished invocations that must go on in a deployment, by address and whether new ones go
    /// there (`yes`, `no`).
    DEPLOYMENT_INVOCATIONS = "millstream_deployment_invocations",
        deployment_invocations: IntGaugeVec ["address", "current"];
}
