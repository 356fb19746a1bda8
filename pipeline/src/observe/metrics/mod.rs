//! Every metric of ours, by Prometheus' conventions. Labels have few values: never a key or an id.
//!
//! An event is counted when its result is acknowledged, not when its handler starts, so an
//! attempt that Restate repeats is not counted again.

mod known;
#[macro_use]
mod make;

use std::sync::LazyLock;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};

pub use known::{Known, Program, TOMBSTONE};

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
    /// Kafka clients that took or sent nothing although the brokers answered others, and in whose place
    /// another one was made, by client (`results`, `searches`, `guard`, `registry`, `originals`,
    /// `reader`, `producer`).
    KAFKA_CLIENTS_RENEWED_TOTAL = "millstream_kafka_clients_renewed_total",
        kafka_clients_renewed: IntCounterVec ["client"] from {
            Handlers: [clients_of_handlers],
            Gateway: [clients_of_gateway],
            Guard: [clients_of_guard],
            Exporter: [clients_of_exporter],
            Registry: [clients_of_registry]
        };
    /// Log lines that could not be written and are lost.
    LOG_LINES_LOST_TOTAL = "millstream_log_lines_lost_total", log_lines_lost: IntCounter [];

    // Handlers.

    /// Events finished, by topic, handler and outcome code (`ok` or a failure's code).
    EVENTS_TOTAL = "millstream_events_total",
        events: IntCounterVec ["topic", "handler", "code"] from { Handlers: [handled, outcomes] };
    /// Events not handled, or not again, by topic and reason (`redelivered`, `duplicate-id`,
    /// `tombstone`).
    EVENTS_SKIPPED_TOTAL = "millstream_events_skipped_total",
        events_skipped: IntCounterVec ["topic", "reason"] from { Handlers: [subscribed, skips] };
    /// Commands answered from memory by their idempotency key, by topic.
    IDEMPOTENT_ANSWERS_TOTAL = "millstream_idempotent_answers_total",
        idempotent_answers: IntCounterVec ["topic"] from { Handlers: [commands] };
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
        publish_errors: IntCounterVec ["reason"] from { Handlers: [publishing], Gateway: [publishing] };
    /// Producers made anew after a fatal error.
    PRODUCER_RESTARTS_TOTAL = "millstream_producer_restarts_total",
        producer_restarts: IntCounter [];
    /// Dead letters written, by topic and code.
    DEAD_LETTERS_TOTAL = "millstream_dead_letters_total",
        dead_letters: IntCounterVec ["topic", "code"] from { Handlers: [letters] };
    /// Attempts that failed for infrastructure and are tried again, by topic.
    RETRIES_TOTAL = "millstream_retries_total",
        retries: IntCounterVec ["topic"] from { Handlers: [subscribed], Guard: [guarded] };
    /// Requests between services that were not answered before their deadline, by topic.
    REQUESTS_TIMED_OUT_TOTAL = "millstream_requests_timed_out_total",
        requests_timed_out: IntCounterVec ["topic"] from { Handlers: [commands] };
    /// Replies that came after the deadline of their request.
    REPLIES_LATE_TOTAL = "millstream_replies_late_total", replies_late: IntCounter [];
    /// Compensations that failed and are tried again, by topic.
    COMPENSATION_RETRIES_TOTAL = "millstream_compensation_retries_total",
        compensation_retries: IntCounterVec ["topic"] from { Handlers: [commands] };
    /// Seconds from the time a timer was due to its event's acknowledgement, by the event's topic.
    TIMER_LATENESS_SECONDS = "millstream_timer_lateness_seconds",
        timer_lateness: HistogramVec ["topic"];
    /// Schemas that were looked up, by where: in memory (`cached`), at the registry (`asked`), or not
    /// at all because it did not answer (`failed`).
    SCHEMA_LOOKUPS_TOTAL = "millstream_schema_lookups_total",
        schema_lookups: IntCounterVec ["how"] from {
            Handlers: [lookups],
            Gateway: [lookups],
            Guard: [lookups],
            Exporter: [lookups]
        };

    // The batch lane.

    /// Records that retention deleted before the batch lane had decided them, by topic.
    BATCH_LOST_TOTAL = "millstream_batch_lost_total",
        batch_lost: IntCounterVec ["topic"] from { Handlers: [leased] };
    /// Leases that ended, by service and outcome (`idle`, `over`, `replaced`, `failed`).
    BATCH_LEASES_TOTAL = "millstream_batch_leases_total",
        batch_leases: IntCounterVec ["service", "outcome"] from { Handlers: [lanes, ends] };
    /// Batches that leases have committed, by service.
    BATCH_BATCHES_TOTAL = "millstream_batch_batches_total",
        batch_batches: IntCounterVec ["service"] from { Handlers: [lanes] };
    /// Work orders sent, by service.
    BATCH_ORDERS_TOTAL = "millstream_batch_orders_total",
        batch_orders: IntCounterVec ["service"] from { Handlers: [lanes] };

    // The guard.

    /// Records of a foreign topic that the guard is done with, by topic and code: `ok` if it was let
    /// through, else why it is a dead letter.
    GUARD_RECORDS_TOTAL = "millstream_guard_records_total",
        guard_records: IntCounterVec ["topic", "code"] from { Guard: [guarded, checked] };
    /// Transactions that the guard has committed, by topic.
    GUARD_TRANSACTIONS_TOTAL = "millstream_guard_transactions_total",
        guard_transactions: IntCounterVec ["topic"] from { Guard: [guarded] };
    /// Times that the guard has begun anew with another consumer and producer after an error, by
    /// topic.
    GUARD_RESTARTS_TOTAL = "millstream_guard_restarts_total",
        guard_restarts: IntCounterVec ["topic"] from { Guard: [guarded] };

    // The gateway.

    /// Requests that the gateway has answered, by route (its template), status and code.
    GATEWAY_REQUESTS_TOTAL = "millstream_gateway_requests_total",
        gateway_requests: IntCounterVec ["route", "status", "code"] from { Gateway: [routes, statuses] };
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
        gateway_results: IntCounterVec ["claimed"] from { Gateway: [claims] };
    /// Results that the gateway looked for in Kafka, by how: at a noted place, or by reading.
    GATEWAY_LOOKUPS_TOTAL = "millstream_gateway_lookups_total",
        gateway_lookups: IntCounterVec ["how"] from { Gateway: [searches] };
    /// Requests that the gateway has refused because of who sent them or how often, by reason.
    GATEWAY_REFUSED_TOTAL = "millstream_gateway_refused_total",
        gateway_refused: IntCounterVec ["reason"] from { Gateway: [refusals] };
    /// What the reader rule says of results, by topic (`accepted`, `late`, `duplicate`, `gap`,
    /// `conflict`): of numbered ones that a gateway has read, and of those that are published once.
    READER_EVENTS_TOTAL = "millstream_reader_events_total",
        reader_events: IntCounterVec ["topic", "verdict"] from {
            Gateway: [results, verdicts],
            Handlers: [once, verdicts]
        };

    // The built-in schema registry.

    /// Requests that the registry has answered, by method, route (its template) and status.
    REGISTRY_REQUESTS_TOTAL = "millstream_registry_requests_total",
        registry_requests: IntCounterVec ["method", "route", "status"] from { Registry: [methods, of_registry] };
    /// Seconds from a request to the registry's response, by route.
    REGISTRY_REQUEST_DURATION_SECONDS = "millstream_registry_request_duration_seconds",
        registry_duration: HistogramVec ["route"];

    // The exporter, which looks at the installation as a whole.

    /// Whether a part answers, by part (`kafka`, `restate`, `registry`): 1 or 0.
    REACHABLE = "millstream_reachable", reachable: IntGaugeVec ["part"];
    /// Records that Restate has not taken yet, by topic and handler.
    SUBSCRIPTION_LAG = "millstream_subscription_lag",
        subscription_lag: IntGaugeVec ["topic", "handler"];
    /// Seconds that a subscription has taken no record of some partition although one waits there, by
    /// topic and handler; 0 while it moves.
    SUBSCRIPTION_STANDING_SECONDS = "millstream_subscription_standing_seconds",
        subscription_standing: IntGaugeVec ["topic", "handler"];
    /// Whether a declared subscription is there, by topic and handler: 0 while it is paused.
    SUBSCRIPTION_ACTIVE = "millstream_subscription_active",
        subscription_active: IntGaugeVec ["topic", "handler"];
    /// Records of a foreign topic that no guard is done with yet, by topic.
    GUARD_LAG = "millstream_guard_lag", guard_lag: IntGaugeVec ["topic"];
    /// Records that the batch lane has not decided yet, by topic and handler.
    BATCH_LAG = "millstream_batch_lag", batch_lag: IntGaugeVec ["topic", "handler"];
    /// How long a record has waited that the batch lane does not decide, nor any behind it, by service and
    /// topic; 0 while it moves.
    BATCH_STANDING_SECONDS = "millstream_batch_standing_seconds",
        batch_standing: IntGaugeVec ["service", "topic"];
    /// Unfinished invocations, by service and state (`paused`, `backing-off`, `running`, `suspended`,
    /// `waiting`).
    INVOCATIONS = "millstream_invocations", invocations: IntGaugeVec ["service", "state"];
    /// Seconds that the oldest invocation has waited for its turn, by service: behind others of its key,
    /// or for room; 0 while none waits.
    INVOCATIONS_OLDEST_WAITING_SECONDS = "millstream_invocations_oldest_waiting_seconds",
        invocations_oldest_waiting: IntGaugeVec ["service"];
    /// Dead letters that nobody has dealt with, by topic.
    DEAD_LETTERS_UNMARKED = "millstream_dead_letters_unmarked",
        dead_letters_unmarked: IntGaugeVec ["topic"];
    /// Unfinished invocations that must go on in a deployment, by address and whether new ones go
    /// there (`yes`, `no`).
    DEPLOYMENT_INVOCATIONS = "millstream_deployment_invocations",
        deployment_invocations: IntGaugeVec ["address", "current"];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use millstream_topics::TOPICS;

    use super::*;

    const PROGRAMS: [Program; 5] = [
        Program::Handlers,
        Program::Gateway,
        Program::Guard,
        Program::Exporter,
        Program::Registry,
    ];

    fn known() -> Known<'static> {
        let routes = ["GET /subjects", "POST /v1/topics/{topic}"];
        Known::of(TOPICS).serving(routes.map(str::to_owned))
    }

    #[test]
    fn every_labelled_counter_says_what_it_is_known_to_count() {
        for (name, kind, labels, programs) in DEFINED {
            let is_counter = *kind == "IntCounterVec";
            assert_eq!(is_counter, !programs.is_empty(), "{name}");
            for (program, columns) in *programs {
                for set in known::sets(&known(), columns) {
                    assert_eq!(set.len(), labels.len(), "{name} of {program:?}: {set:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_known_is_shown_from_zero_on() {
        let shown = |program| {
            let metrics = Metrics::new().unwrap();
            metrics.begin(program, &known());
            String::from_utf8(metrics.text().unwrap()).unwrap()
        };
        let text = shown(Program::Handlers);
        for line in [
            r#"millstream_requests_timed_out_total{topic="flights"} 0"#,
            r#"millstream_compensation_retries_total{topic="car-rentals"} 0"#,
            r#"millstream_events_total{code="handler-failed",handler="Accounts/onEvent",topic="accounts"} 0"#,
            r#"millstream_events_total{code="ok",handler="Accounts/onEvent",topic="accounts"} 0"#,
            r#"millstream_dead_letters_total{code="undecodable",topic="accounts"} 0"#,
            r#"millstream_events_skipped_total{reason="redelivered",topic="accounts"} 0"#,
            r#"millstream_producer_restarts_total 0"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line}");
        }
        // A command that was understood and refused is no dead letter.
        assert!(!text.contains(r#"dead_letters_total{code="expired",topic="accounts"}"#));
        assert!(
            text.contains(r#"dead_letters_total{code="expired",topic="package-location-updates"}"#)
        );
        assert!(!text.contains("millstream_guard_restarts_total{"));
        let text = shown(Program::Gateway);
        for line in [
            r#"millstream_gateway_requests_total{code="unavailable",route="POST /v1/topics/{topic}",status="503"} 0"#,
            r#"millstream_gateway_requests_total{code="ok",route="GET /subjects",status="200"} 0"#,
            r#"millstream_reader_events_total{topic="orders-results",verdict="conflict"} 0"#,
            r#"millstream_gateway_refused_total{reason="unknown-key"} 0"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line}");
        }
        let line = r#"registry_requests_total{method="GET",route="/subjects",status="500"} 0"#;
        assert!(shown(Program::Registry).contains(line));
        for program in PROGRAMS {
            let text = shown(program);
            let lines: BTreeSet<&str> = text.lines().collect();
            assert_eq!(lines.len(), text.lines().count(), "each once");
            assert!(
                text.contains("millstream_kafka_clients_renewed_total{"),
                "{program:?}"
            );
        }
    }
}
