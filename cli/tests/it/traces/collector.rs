//! An OpenTelemetry collector that keeps the spans it receives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tokio::net::TcpListener;

/// What a test looks at.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub kind: i32,
    pub trace: String,
    pub id: String,
    /// Empty: none.
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
    /// Nanoseconds.
    pub begun: u64,
    pub ended: u64,
}

pub struct Collector {
    pub url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub async fn start() -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let into = Arc::clone(&spans);
        let take = move |body: Bytes| async move {
            let Ok(request) = ExportTraceServiceRequest::decode(body) else {
                return StatusCode::BAD_REQUEST;
            };
            into.lock().unwrap().extend(spans_of(request));
            StatusCode::OK
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, spans }
    }

    /// The variables that make a part export to it.
    pub fn variables(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), self.url.clone()),
            ("OTEL_BSP_SCHEDULE_DELAY".into(), "100".into()),
        ])
    }

    /// The spans of a trace that have come so far.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|it| it.trace == id).cloned().collect()
    }

    /// All spans so far for which `wanted` holds.
    pub fn spans(&self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|it| wanted(it)).cloned().collect()
    }
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for resource in request.resource_spans {
        let about = texts(resource.resource.unwrap().attributes);
        for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
            all.push(Span {
                service: about["service.name"].clone(),
                name: span.name,
                kind: span.kind,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                attributes: texts(span.attributes),
                failed: span.status.is_some_and(|status| status.code == 2),
                begun: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
            });
        }
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|it| it.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}
