//! Spans for OpenTelemetry, exported by OTLP over HTTP (`http/protobuf`).
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. These
//! and the other variables mean what OpenTelemetry says.
//!
//! Spans are not made by a tracer: their ids come from those of events ([`crate::observe::trace`]), and each
//! is exported at once with its end, by whoever ends it. So a trace holds together across
//! processes, repeated attempts and waits of days, and nothing is kept in between.
//!
//! Names and attributes: OpenTelemetry semantic conventions 1.37, messaging with Kafka, and HTTP.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SamplingDecision, ShouldSample, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};

use crate::observe::trace::TraceContext;

static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(5);

struct Telemetry {
    processor: BatchSpanProcessor,
    sampler: Sampler,
    scope: InstrumentationScope,
}

/// Begins to export spans of the part with this service name, if the environment says where to.
/// Not to be called within an asynchronous runtime: the exporter has a thread of its own.
pub fn start(service: String) -> Result<(), ExporterBuildError> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is = |name: &str, wanted: &str| {
        std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    let is_wanted = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ]
    .into_iter()
    .any(is_set);
    if !is_wanted || is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(());
    }
    crate::http::install();
    let exporter = SpanExporter::builder().with_http().build()?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let mut resource = Resource::builder();
    if !is_set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(service);
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    processor.set_resource(&resource.with_attribute(version).build());
    let telemetry = Telemetry {
        processor,
        sampler: sampler(|name| std::env::var(name).ok()),
        scope: InstrumentationScope::builder("millstream")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    };
    // A second start in one process changes nothing.
    let _ = TELEMETRY.set(telemetry);
    Ok(())
}

/// Exports what is left, at the end of the process.
pub fn stop() {
    if let Some(telemetry) = TELEMETRY.get()
        && let Err(error) = telemetry.processor.shutdown_with_timeout(LAST)
    {
        tracing::warn!(%error, "the last spans could not be exported");
    }
}

/// Which traces are exported, by their ids: all parts come to the same verdict. A trace that its
/// beginner did not sample is left out in any case.
fn sampler(variable: impl Fn(&str) -> Option<String>) -> Sampler {
    let name = variable("OTEL_TRACES_SAMPLER").unwrap_or_default();
    match name.trim_start_matches("parentbased_") {
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => {
            let ratio = variable("OTEL_TRACES_SAMPLER_ARG").and_then(|text| text.parse().ok());
            Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0))
        }
        _ => Sampler::AlwaysOn,
    }
}

/// Whether spans are exported: if not, nobody need make one.
pub(crate) fn is_on() -> bool {
    TELEMETRY.get().is_some()
}

/// A span that has ended.
pub struct Span {
    /// What it is to the others.
    pub kind: SpanKind,
    /// What was done, and on what.
    pub name: String,
    /// Of the span itself.
    pub context: TraceContext,
    /// 0: none.
    pub parent: u64,
    /// When it began; it ends where it is handed over.
    pub begun: SystemTime,
    /// By the semantic conventions of OpenTelemetry.
    pub attributes: Vec<KeyValue>,
    /// Code of the failure, if it is one.
    pub error: Option<String>,
}

impl Span {
    /// Exports it; it ends now.
    pub fn end(mut self) {
        let Some(telemetry) = TELEMETRY.get() else {
            return;
        };
        let trace = TraceId::from(self.context.trace);
        let sampled =
            telemetry
                .sampler
                .should_sample(None, trace, &self.name, &self.kind, &[], &[]);
        let flags = TraceFlags::new(self.context.flags);
        if !flags.is_sampled() || sampled.decision != SamplingDecision::RecordAndSample {
            return;
        }
        let status = match self.error {
            None => Status::Unset,
            Some(code) => {
                self.attributes
                    .push(KeyValue::new("error.type", code.clone()));
                Status::error(code)
            }
        };
        let span = SpanId::from(self.context.span);
        let (begun, now) = (self.begun, SystemTime::now());
        telemetry.processor.on_end(SpanData {
            span_context: SpanContext::new(trace, span, flags, false, TraceState::NONE),
            parent_span_id: SpanId::from(self.parent),
            parent_span_is_remote: true,
            span_kind: self.kind,
            name: self.name.into(),
            start_time: begun.min(now),
            end_time: now,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: telemetry.scope.clone(),
        });
    }
}

/// The attributes that sending and handling an event have in common.
pub(crate) fn messaging(
    operation: &'static str,
    (topic, partition, offset): (&str, i32, i64),
    (key, event_id, correlation_id): (&str, &str, &str),
) -> Vec<KeyValue> {
    let text = |name: &'static str, value: &str| KeyValue::new(name, value.to_owned());
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        text("messaging.destination.name", topic),
        text("messaging.destination.partition.id", &partition.to_string()),
        KeyValue::new("messaging.kafka.offset", offset),
        text("messaging.kafka.message.key", key),
        text("messaging.message.id", event_id),
        text("messaging.message.conversation_id", correlation_id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &'static str, argument: &'static str) -> Sampler {
        sampler(move |variable| match variable {
            "OTEL_TRACES_SAMPLER" => Some(name.to_owned()),
            _ => Some(argument.to_owned()),
        })
    }

    #[test]
    fn samplers_have_their_standard_names() {
        let shown = |sampler: Sampler| format!("{sampler:?}");
        let ratio = shown(Sampler::TraceIdRatioBased(0.25));
        assert_eq!(shown(chosen("traceidratio", "0.25")), ratio);
        assert_eq!(shown(chosen("parentbased_traceidratio", "0.25")), ratio);
        assert_eq!(shown(chosen("always_off", "")), shown(Sampler::AlwaysOff));
        assert_eq!(shown(chosen("", "")), shown(Sampler::AlwaysOn));
    }
}
