//! Whose events a handler emits and what caused them: where ids, sources and traces come from.

use std::sync::Arc;

use millstream_events::EventMeta;

use super::Received;
use crate::identity::Proofs;
use crate::observe::trace::TraceContext;
use crate::record::digest::derived_id;

/// One handling of an event as the source of others.
#[derive(Debug, Clone)]
pub(crate) struct Emitter {
    /// `Service/key`.
    pub source: String,
    /// `Service/handler`.
    pub handler: String,
    /// What ids are derived from: the event's id, or the workflow's `Service/key`.
    pub id_base: String,
    /// `meta` of the event that is handled.
    pub cause: Arc<EventMeta>,
    /// Where that event stands in its trace.
    pub trace: TraceContext,
}

impl Emitter {
    /// An event that is handled, as the source of others.
    pub fn of(received: &Received, meta: &Arc<EventMeta>) -> Self {
        Self {
            source: received.source(),
            handler: received.handler.clone(),
            id_base: meta.id.clone(),
            cause: Arc::clone(meta),
            trace: TraceContext::of(meta.traceparent.as_deref(), &meta.id),
        }
    }

    /// `meta` of the event that is emitted as this one's output of this number, at `time` in
    /// microseconds since 1970-01-01 UTC: the same at every attempt.
    pub fn meta(&self, output: u32, time: i64) -> EventMeta {
        let id = derived_id(&self.id_base, &self.handler, output);
        let cause = &*self.cause;
        EventMeta {
            source: self.source.clone(),
            time,
            correlation_id: cause.correlation_id.clone(),
            causation_id: Some(cause.id.clone()),
            traceparent: Some(self.trace.sending(&id).to_string()),
            tracestate: cause.tracestate.clone(),
            id,
            ..EventMeta::default()
        }
    }

    /// On whose behalf events are sent: that of the cause's principal, if it was proven and can be
    /// proven to others.
    pub fn principal(&self, proofs: &Proofs) -> Option<String> {
        let signer = proofs.signer.as_ref();
        signer.and(self.cause.principal.clone())
    }
}
