//! From a value to an event: the writer's schema, a walk that bounds what decoding takes, and the type
//! that has the record's full name. Decoding that takes long does not hold a worker thread, and few
//! values are decoded so at once.

use std::ops::Range;

use millstream_avro::limits::Walked;
use millstream_events::{Decode, Event, EventMeta, EventSet};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

use super::body::{Payload, undecodable};
use super::writer::WriterRecord;
use super::{Codec, DecodeError, RegistryError};
use crate::failure::{self, Failure};
use crate::record::wire;

/// When the body of an event that can be decoded is digested: of its body with `meta` null, in the
/// writer's schema, which is what an idempotency key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digested {
    /// When it has an idempotency key.
    WithKey,
    /// Always: the key of a workflow is one.
    Always,
}

/// An event out of a value.
#[derive(Debug)]
pub struct Decoded<E> {
    /// The record's full name.
    pub full_name: String,
    /// The field `meta`; `None` when the producer knows nothing of it.
    pub meta: Option<EventMeta>,
    /// Digest of the body, if somebody needs it: see [`Digested`].
    pub body_digest: Option<Result<[u8; 32], Failure>>,
    /// Where in the value its body without `meta` stands; `None` unless that is its last field.
    pub body_at: Option<Range<usize>>,
    /// The event, or why there is none although the value has a known schema.
    pub event: Result<E, Failure>,
}

impl Codec {
    /// Decodes a value as one of the events of `E`.
    pub async fn decode<E: EventSet>(&self, value: &[u8]) -> Result<Decoded<E>, DecodeError> {
        self.decode_digested(value, Digested::WithKey).await
    }

    /// Decodes a value as one of the events of `E`, and digests its body where that is wanted.
    pub async fn decode_digested<E: EventSet>(
        &self,
        value: &[u8],
        digested: Digested,
    ) -> Result<Decoded<E>, DecodeError> {
        let (id, body) = wire::split(value).map_err(undecodable)?;
        let writer = self.writer(id).await?;
        let (record, bytes) = writer.record(body)?;
        Ok(match Payload::of(record, bytes) {
            Ok(payload) => {
                let walked = payload.walked;
                let decode = || payload.decode_as::<E>(value, digested);
                self.leisure.run(walked, decode).await
            }
            Err(failure) => Decoded::undecodable(record, failure),
        })
    }

    /// The same for a handler: a value that cannot be decoded is refused for a reason.
    pub(crate) async fn read<E: EventSet>(
        &self,
        value: &[u8],
        digested: Digested,
    ) -> Result<Result<Decoded<E>, Failure>, RegistryError> {
        refusable(self.decode_digested(value, digested).await)
    }

    /// Where in a value its body without `meta` stands; `None` unless that is its last field.
    pub async fn body_at(&self, value: &[u8]) -> Result<Option<Range<usize>>, DecodeError> {
        self.look(value, |payload| payload.body_at(value)).await
    }

    /// The field `meta` of a value with a known schema, where it has one that can be read.
    pub(crate) async fn meta(&self, value: &[u8]) -> Result<Option<EventMeta>, DecodeError> {
        self.look(value, |payload| payload.meta_alone()).await
    }

    /// Looks at a value; one that takes long does not hold others up.
    pub async fn look<T>(
        &self,
        value: &[u8],
        look: impl FnOnce(&Payload<'_>) -> T,
    ) -> Result<T, DecodeError> {
        let (id, body) = wire::split(value).map_err(undecodable)?;
        let writer = self.writer(id).await?;
        let payload = Payload::new(&writer, body)?;
        Ok(self.leisure.run(payload.walked, || look(&payload)).await)
    }

    /// The full name of a value with a known schema.
    pub(crate) async fn full_name(&self, value: &[u8]) -> Result<String, DecodeError> {
        self.look(value, |payload| payload.full_name().to_owned())
            .await
    }
}

/// What a handler is told of an error: what is wrong for good is a failure.
pub(super) fn refusable<T>(
    looked: Result<T, DecodeError>,
) -> Result<Result<T, Failure>, RegistryError> {
    match looked {
        Ok(found) => Ok(Ok(found)),
        Err(DecodeError::Value(failure)) => Ok(Err(failure)),
        Err(error @ DecodeError::UnknownSchema(_)) => Ok(Err(Failure::new(
            failure::UNKNOWN_SCHEMA,
            error.to_string(),
        ))),
        Err(DecodeError::Registry(error)) => Err(error),
    }
}

/// An event of a kind that the set does not have.
fn unknown_type(full_name: &str) -> Failure {
    Failure::new(
        failure::UNKNOWN_TYPE,
        format!("{full_name} is not declared on this topic; declare it or send it elsewhere"),
    )
}

impl<E: EventSet> Decoded<E> {
    /// What is known of a value that does not fit its schema.
    fn undecodable(record: &WriterRecord, failure: Failure) -> Self {
        let full_name = record.full_name().to_owned();
        let event = E::decode(&full_name, Undecodable(failure))
            .unwrap_or_else(|| Err(unknown_type(&full_name)));
        Self {
            full_name,
            meta: None,
            body_digest: None,
            body_at: None,
            event,
        }
    }
}

struct Undecodable(Failure);

impl Decode for Undecodable {
    type Error = Failure;

    fn decode<E: Event>(self) -> Result<E, Failure> {
        Err(self.0)
    }
}

impl Payload<'_> {
    /// Decodes the payload of `value` as one of the events of `E`, with its `meta` even if that fails.
    pub(crate) fn decode_as<E: EventSet>(self, value: &[u8], digested: Digested) -> Decoded<E> {
        let full_name = self.full_name().to_owned();
        let mut meta = None;
        let source = Source {
            payload: &self,
            meta: &mut meta,
        };
        let event = E::decode(&full_name, source);
        let event = event.unwrap_or_else(|| Err(unknown_type(&full_name)));
        if event.is_err() && meta.is_none() {
            meta = self.meta_alone();
        }
        let has_key = meta.as_ref().is_some_and(|meta| {
            let key = meta.idempotency_key.as_ref();
            key.is_some_and(|key| !key.is_empty())
        });
        let is_wanted = event.is_ok() && (has_key || digested == Digested::Always);
        Decoded {
            full_name,
            meta,
            body_digest: is_wanted.then(|| self.body_digest()),
            body_at: self.body_at(value),
            event,
        }
    }
}

struct Source<'p, 'b> {
    payload: &'p Payload<'b>,
    meta: &'p mut Option<EventMeta>,
}

impl Decode for Source<'_, '_> {
    type Error = Failure;

    fn decode<E: Event>(self) -> Result<E, Failure> {
        let parts = self.payload.decode::<E>()?;
        *self.meta = parts.meta;
        Ok(parts.event)
    }
}

/// What takes no more memory is decoded on the spot, in some hundred microseconds.
const ON_THE_SPOT: usize = 64 * 1024;

/// Values that are decoded at leisure at the same time: what they take together is bounded, too.
const AT_ONCE: usize = 2;

/// Where decoding is done.
pub struct Leisure(Semaphore);

impl Default for Leisure {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Leisure {
    /// Runs `work` on a value that was walked.
    pub async fn run<T>(&self, walked: Walked, work: impl FnOnce() -> T) -> T {
        if walked.memory <= ON_THE_SPOT {
            return work();
        }
        // Nobody closes the semaphore.
        let _turn = self.0.acquire().await;
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            // The other tasks of this thread go on in another one.
            Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
            _ => work(),
        }
    }
}
