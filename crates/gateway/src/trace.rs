//! The trace that a request belongs to (W3C Trace Context), and its span.

use std::time::SystemTime;

use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

use millstream_pipeline::observe::telemetry;
use millstream_pipeline::observe::trace::TraceContext;

/// Name of the gateway as the source of events.
pub const SOURCE: &str = "gateway";
/// Longer trace states are left out, as W3C allows.
const MAX_STATE: usize = 512;

/// A request's place in its trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Where the client is, or a new trace.
    client: TraceContext,
    event_id: String,
    /// What other systems add to the client's trace.
    pub tracestate: Option<String>,
}

impl Trace {
    /// Of a request that is to become the event with this id.
    pub fn of(headers: &HeaderMap, event_id: &str) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let client = TraceContext::of(text("traceparent"), event_id);
        let tracestate = text("tracestate")
            .filter(|state| client.span != 0 && !state.is_empty() && state.len() <= MAX_STATE);
        Self {
            client,
            event_id: event_id.to_owned(),
            tracestate: tracestate.map(str::to_owned),
        }
    }

    /// The event's place.
    pub fn traceparent(&self) -> String {
        self.client.sending(&self.event_id).to_string()
    }

    /// Exports the span of the request, which has been answered.
    pub fn end(self, method: &Method, route: &str, status: StatusCode, begun: SystemTime) {
        let context = self.client.handling(&self.event_id, SOURCE);
        telemetry::Span {
            kind: SpanKind::Server,
            // A route is known by its method and template.
            name: route.to_owned(),
            context,
            parent: self.client.span,
            begun,
            attributes: vec![
                KeyValue::new("http.request.method", method.to_string()),
                KeyValue::new("http.route", template(route).to_owned()),
                KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
                KeyValue::new("messaging.message.id", self.event_id),
            ],
            error: status
                .is_server_error()
                .then(|| status.as_u16().to_string()),
        }
        .end();
    }
}

fn template(route: &str) -> &str {
    route
        .split_once(' ')
        .map_or(route, |(_, template)| template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_on_with_the_clients_trace_or_begins_one() {
        let mut headers = HeaderMap::new();
        let begun = Trace::of(&headers, "event");
        assert!(TraceContext::parse(&begun.traceparent()).is_some());
        headers.insert("tracestate", "vendor=1".parse().unwrap());
        assert_eq!(Trace::of(&headers, "event").tracestate, None);
        let client = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent", client.parse().unwrap());
        let trace = Trace::of(&headers, "event");
        assert!(trace.traceparent().starts_with(&client[..35]));
        assert_ne!(trace.traceparent(), client);
        assert_eq!(trace.tracestate.as_deref(), Some("vendor=1"));
    }
}
