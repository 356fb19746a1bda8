//! Whose events a handler emits and what caused them: where ids, sources and times come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use millstream_schemas::EventMeta;

use crate::codec::{EncodeError, EncodedBody};
use crate::digest::derived_id;
use crate::outgoing;
use crate::publish::Record;
use crate::service::Shared;
use crate::step::StepError;
use crate::trace::TraceContext;

/// One invocation as the source of events.
pub(crate) struct Origin {
    pub shared: Arc<Shared>,
    /// `Service/key`.
    pub source: String,
    /// `Service/handler`.
    pub handler: String,
    /// What ids are derived from: the event's id, or the workflow's `Service/key`.
    id_base: String,
    /// `meta` of the event that caused the invocation.
    pub cause: EventMeta,
    /// How many events were emitted so far.
    outputs: AtomicU32,
    /// The latest time that is known from a record or the journal, in microseconds.
    time: AtomicI64,
    waits: AtomicBool,
}

impl Origin {
    pub fn new(
        shared: Arc<Shared>,
        (service, key, handler): (&str, &str, String),
        id_base: String,
        cause: EventMeta,
        recorded_micros: i64,
    ) -> Self {
        Self {
            shared,
            source: format!("{service}/{key}"),
            handler,
            id_base,
            cause,
            outputs: AtomicU32::new(0),
            time: AtomicI64::new(recorded_micros),
            waits: AtomicBool::new(false),
        }
    }

    /// The origin of something that a workflow does once, whichever of its handlers does it: ids come
    /// from its key and `what`.
    pub fn once(&self, what: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            source: self.source.clone(),
            handler: what.to_owned(),
            id_base: self.source.clone(),
            cause: self.cause.clone(),
            outputs: AtomicU32::new(0),
            time: AtomicI64::new(self.time()),
            waits: AtomicBool::new(true),
        }
    }

    /// `meta` of the next event: the same at every attempt, because handlers emit in one order.
    pub fn next_meta(&self) -> EventMeta {
        let output = self.outputs.fetch_add(1, Ordering::Relaxed);
        let id = derived_id(&self.id_base, &self.handler, output);
        EventMeta {
            source: self.source.clone(),
            time: self.time(),
            correlation_id: self.cause.correlation_id.clone(),
            causation_id: Some(self.cause.id.clone()),
            traceparent: Some(TraceContext::of_event(&self.cause).sending(&id).to_string()),
            tracestate: self.cause.tracestate.clone(),
            id,
            ..EventMeta::default()
        }
    }

    /// The same for an event that is sent on behalf of the cause's principal, if that was proven and
    /// can be proven to others.
    pub fn next_meta_on_behalf(&self) -> EventMeta {
        let mut meta = self.next_meta();
        meta.principal = self.principal();
        meta
    }

    /// On whose behalf events are sent.
    pub fn principal(&self) -> Option<String> {
        let signer = self.shared.proofs.signer.as_ref();
        signer.and(self.cause.principal.clone())
    }

    /// The number of the last event is free again: it was not published.
    pub fn give_back(&self) {
        self.outputs.fetch_sub(1, Ordering::Relaxed);
    }

    /// The handler waits, so it may end in another attempt than it began in.
    pub fn waits(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::waits`] was said.
    pub fn has_waited(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// The latest time known, in microseconds since 1970-01-01 UTC; no attempt's own clock.
    pub fn time(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    /// Something that is journaled happened at `micros`.
    pub fn happened(&self, micros: i64) {
        self.time.fetch_max(micros, Ordering::Relaxed);
    }

    /// Produces an event with this `meta`.
    pub async fn publish(
        &self,
        to: (&str, &str),
        body: &EncodedBody,
        meta: &EventMeta,
    ) -> Result<(), StepError> {
        let record = self.record(to, body, meta).await?;
        self.shared.publisher.publish(&record).await?;
        Ok(())
    }

    /// A record with this `meta`.
    pub async fn record(
        &self,
        (topic, key): (&str, &str),
        body: &EncodedBody,
        meta: &EventMeta,
    ) -> Result<Record, EncodeError> {
        let meta = self.shared.signed((topic, key), body, meta);
        let value = self.shared.codec.join(body, Some(&meta)).await?;
        let full_name = body.schema.full_name;
        Ok(outgoing::record(topic, key, full_name, &meta, value))
    }
}
