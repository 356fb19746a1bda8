//! The trace that a request belongs to (W3C Trace Context).

use axum::http::HeaderMap;

use crate::digest::{digest, hex};
use crate::outgoing::child_traceparent;

/// Longer trace states are left out, as W3C allows.
const MAX_STATE: usize = 512;

/// Trace context of an event.
pub struct Trace {
    /// The event's place in its trace.
    pub traceparent: String,
    /// What other systems add.
    pub tracestate: Option<String>,
}

/// The client's trace with a span of the event's own, or a new trace.
pub fn of(headers: &HeaderMap, event_id: &str) -> Trace {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let child = text("traceparent").and_then(|parent| child_traceparent(parent, event_id));
    match child {
        Some(traceparent) => Trace {
            traceparent,
            tracestate: text("tracestate")
                .filter(|state| !state.is_empty() && state.len() <= MAX_STATE)
                .map(str::to_owned),
        },
        None => {
            let trace = hex::<16>(&digest(&[b"trace", event_id.as_bytes()]));
            let span = hex::<8>(&digest(&[b"span", event_id.as_bytes()]));
            Trace {
                traceparent: format!("00-{trace}-{span}-01"),
                tracestate: None,
            }
        }
    }
}
