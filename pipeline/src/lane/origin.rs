//! A handler that is running as the source of events: what it has emitted so far, and the latest time
//! that it knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use millstream_events::EventMeta;

use crate::codec::{EncodeError, EncodedBody};
use crate::process::{Emitter, Numbers};
use crate::record::Record;
use crate::record::cloudevents;
use crate::service::Shared;

/// One invocation as the source of events.
pub(crate) struct Origin {
    pub shared: Arc<Shared>,
    pub emitter: Emitter,
    /// How many events were emitted so far.
    outputs: AtomicU32,
    /// The latest time that is known from a record or the journal, in microseconds.
    time: AtomicI64,
    waits: AtomicBool,
}

impl Origin {
    pub fn new(shared: Arc<Shared>, emitter: Emitter, recorded_micros: i64) -> Self {
        Self {
            shared,
            emitter,
            outputs: AtomicU32::new(0),
            time: AtomicI64::new(recorded_micros),
            waits: AtomicBool::new(false),
        }
    }

    /// The origin of something that a workflow does once, whichever of its handlers does it: ids come
    /// from its key and `what`.
    pub fn once(&self, what: &str) -> Self {
        let emitter = Emitter {
            handler: what.into(),
            id_base: Some(self.emitter.source.clone()),
            ..self.emitter.clone()
        };
        let once = Self::new(Arc::clone(&self.shared), emitter, self.time());
        once.waits();
        once
    }

    /// `meta` of the next event: the same at every attempt, because handlers emit in one order. It is
    /// sent on behalf of the cause's principal.
    pub fn next_meta_on_behalf(&self) -> EventMeta {
        let output = self.outputs.fetch_add(1, Ordering::Relaxed);
        EventMeta {
            principal: self.emitter.principal(&self.shared.proofs),
            ..self.emitter.meta(output, self.time())
        }
    }

    /// What the events of its end go on from.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            outputs: self.outputs.load(Ordering::Relaxed),
            time: self.time(),
            sequenced: true,
        }
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

    /// A record with this `meta`.
    pub async fn record(
        &self,
        (topic, key): (&str, &str),
        body: &EncodedBody,
        meta: &EventMeta,
    ) -> Result<Record, EncodeError> {
        let meta = self.shared.proofs.signed((topic, key), body, meta);
        let value = self.shared.codec.join(body, Some(&meta)).await?;
        let full_name = body.schema.full_name;
        Ok(cloudevents::record(topic, key, full_name, &meta, value))
    }
}
