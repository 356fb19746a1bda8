//! Events on their way out: meta and headers.

use millstream_schemas::EventMeta;

use crate::digest::{digest, hex};
use crate::publish::Record;

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
    let mut headers = Vec::with_capacity(11);
    let mut text = |name: &str, value: &str| {
        headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
    };
    text("ce_specversion", "1.0");
    text("ce_id", &meta.id);
    text(TYPE, full_name);
    text(SOURCE, &meta.source);
    text("ce_time", &rfc3339(meta.time));
    text("ce_correlationid", &meta.correlation_id);
    if let Some(causation_id) = &meta.causation_id {
        text(CAUSATION_ID, causation_id);
    }
    if let (Some(seq), Some(epoch)) = (meta.seq, &meta.epoch) {
        text(SEQUENCE, &seq.to_string());
        text(EPOCH, epoch);
    }
    if let Some(traceparent) = &meta.traceparent {
        text("traceparent", traceparent);
    }
    if let Some(tracestate) = &meta.tracestate {
        text("tracestate", tracestate);
    }
    Record {
        topic: topic.to_owned(),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value),
        headers,
    }
}

/// Microseconds since 1970-01-01 UTC as text, such as `2026-11-21T01:02:03.000456Z`.
fn rfc3339(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros)
        .unwrap_or_default()
        .to_string()
}

/// The trace context of an event caused by one with `parent`: the same trace, a span of its own.
///
/// The span's id comes from the event's, so that every attempt writes the same bytes.
/// Source: W3C Trace Context, `traceparent` version 00.
pub fn child_traceparent(parent: &str, event_id: &str) -> Option<String> {
    let mut parts = parent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && trace.bytes().any(|byte| byte != b'0')
        && is_hex(span, 16)
        && is_hex(flags, 2);
    let span = hex::<8>(&digest(&[b"span", event_id.as_bytes()]));
    valid.then(|| format!("00-{trace}-{span}-{flags}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_with_a_new_span() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let child = child_traceparent(parent, "event").unwrap();
        assert!(
            child.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && child.ends_with("-01")
        );
        assert_ne!(child, parent);
        assert_eq!(child_traceparent(parent, "event"), Some(child));
        for broken in [
            "",
            "00-1-2-3",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(child_traceparent(broken, "event"), None);
        }
    }

    #[test]
    fn times_are_written_with_microseconds() {
        assert_eq!(
            rfc3339(1_763_686_800_000_456),
            "2025-11-21T01:00:00.000456Z"
        );
    }
}
