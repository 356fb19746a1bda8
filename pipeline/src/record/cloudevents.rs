//! Events on their way out: meta and headers.

use std::time::SystemTime;

use millstream_events::EventMeta;
use opentelemetry::trace::SpanKind;

use crate::dead_letter::headers;
use crate::observe::telemetry;
use crate::observe::trace::TraceContext;
use crate::record::{Record, Values};

/// Header with the event's id.
pub const ID: &str = "ce_id";

/// Header with the id of the request that the event belongs to.
pub const CORRELATION_ID: &str = "ce_correlationid";

/// Header with the id of the event that caused this one: what waiting clients look for.
pub const CAUSATION_ID: &str = "ce_causationid";

/// Header with the event's number, as CloudEvents' extension of this name has it.
pub const SEQUENCE: &str = "ce_sequence";

/// Header with the numbering that the number belongs to.
pub const EPOCH: &str = "ce_epoch";

/// Header with who emitted the event.
pub const SOURCE: &str = "ce_source";

/// Header with the event's full name.
pub const TYPE: &str = "ce_type";

/// Joins key, value and the headers that tools look for: CloudEvents' (`ce_*`) and W3C's.
///
/// Source: CloudEvents Kafka protocol binding 1.0.2, binary content mode.
pub fn record(topic: &str, key: &str, full_name: &str, meta: &EventMeta, value: Vec<u8>) -> Record {
    let mut headers = Values::with_capacity(11, 384);
    headers.text("ce_specversion", "1.0");
    headers.text(ID, &meta.id);
    headers.text(TYPE, full_name);
    headers.text(SOURCE, &meta.source);
    headers.shown("ce_time", time(meta.time));
    headers.text(CORRELATION_ID, &meta.correlation_id);
    if let Some(causation_id) = &meta.causation_id {
        headers.text(CAUSATION_ID, causation_id);
    }
    if let (Some(seq), Some(epoch)) = (meta.seq, &meta.epoch) {
        headers.shown(SEQUENCE, seq);
        headers.text(EPOCH, epoch);
    }
    if let Some(traceparent) = &meta.traceparent {
        headers.text("traceparent", traceparent);
    }
    if let Some(tracestate) = &meta.tracestate {
        headers.text("tracestate", tracestate);
    }
    Record {
        topic: topic.to_owned(),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value),
        headers: headers.into_list(),
    }
}

/// Exports the span in which an event of ours was sent, from its headers alone: whoever sends it,
/// now or as a timer that is due, is below the handling of the event that caused it.
pub(crate) fn trace(record: &Record, (partition, offset): (i32, i64), begun: SystemTime) {
    // A dead letter has the headers of its original.
    if record.header(headers::TOPIC).is_some() {
        return;
    }
    let header = |name| record.header(name).unwrap_or_default();
    let Some(context) = record.header("traceparent").and_then(TraceContext::parse) else {
        return;
    };
    let (id, source) = (header("ce_id"), header("ce_source"));
    let cause = record.header(CAUSATION_ID).unwrap_or(id);
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    telemetry::Span {
        kind: SpanKind::Producer,
        name: format!("send {}", record.topic),
        context,
        parent: context.handling(cause, source).span,
        begun,
        attributes: telemetry::messaging(
            "send",
            (&record.topic, partition, offset),
            (&key, id, header("ce_correlationid")),
        ),
        error: None,
    }
    .end();
}

/// Microseconds since 1970-01-01 UTC, shown such as `2026-11-21T01:02:03.000456Z`.
fn time(micros: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(micros).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_microseconds() {
        assert_eq!(
            time(1_763_686_800_000_456).to_string(),
            "2025-11-21T01:00:00.000456Z"
        );
    }
}
