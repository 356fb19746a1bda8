//! Events in and out of bytes: Confluent's wire format, Avro bodies, schemas from the registry.
//!
//! A handler picks a type by the record's full name and resolves the writer's schema to its own
//! by Avro's rules, so a producer with an older or a newer compatible schema works, whatever
//! subject it registered under. Schemas are looked up once and kept: they never change.

mod body;
mod check;
mod client;
mod key;
mod lookups;
mod whole;

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema;
use millstream_schemas::{Decode, Event, EventMeta, EventSchema, EventSet, Visit};
use millstream_topics::{Declaration, Subjects};

pub use body::{Payload, WriterSchema, join, with_meta};
pub use check::Verdict;
pub use client::{registry_error, settings as registry_settings};

use body::guarded;
use client::Registry;
use lookups::Lookups;

use crate::code::{self, Failure};
use crate::metrics::metrics;
use crate::wire;

/// No record of ours is larger; a forged length must not make us allocate more.
const MAX_ALLOCATION: usize = 16 * 1024 * 1024;

/// Encodes and decodes events. Cheap to share.
pub struct Codec {
    registry: Registry,
    subjects: HashMap<&'static str, String>,
    writers: Lookups<u32, Arc<WriterSchema>, DecodeError>,
    /// Schemas of foreign keys, which need not be records.
    keys: Lookups<u32, Arc<Schema>, DecodeError>,
    ids: Lookups<&'static str, u32, RegistryError>,
}

/// The registry could not be asked or did not answer as a registry does: to be tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("schema registry at {url}: {reason}; the event is tried again")]
pub struct RegistryError {
    url: String,
    reason: String,
}

impl RegistryError {
    fn new(url: &str, reason: String) -> Self {
        let url = crate::http::masked(url);
        Self { url, reason }
    }
}

/// Why a value could not be decoded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// The value itself is wrong, for good.
    #[error(transparent)]
    Value(#[from] Failure),
    /// The registry says that it does not know the id. Only it can say so.
    #[error("the registry has no schema with id {0}; was the value written for another registry?")]
    UnknownSchema(u32),
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// An event out of a value.
#[derive(Debug)]
pub struct Decoded<E> {
    /// The record's full name.
    pub full_name: String,
    /// The field `meta`; `None` when the producer knows nothing of it.
    pub meta: Option<EventMeta>,
    /// As [`Codec::body_digest`], where it was had on the way.
    pub body_digest: Option<[u8; 32]>,
    /// How many bytes of the Avro body stand before `meta`, where that is known.
    pub body_length: Option<usize>,
    /// The event, or why there is none although the value has a known schema.
    pub event: Result<E, Failure>,
}

/// The body of one of our events in Avro, with the schema that it fits.
#[derive(Debug, Clone)]
pub struct EncodedBody {
    /// Its schema.
    pub schema: &'static EventSchema,
    /// Its fields without `meta`.
    pub bytes: Vec<u8>,
}

impl EncodedBody {
    /// Encodes the event that `set` holds; `None` for the set of none.
    pub fn of<E: EventSet>(set: &E) -> Option<Result<Self, Failure>> {
        set.visit(EncodeBody)
    }
}

struct EncodeBody;

impl Visit for EncodeBody {
    type Output = Result<EncodedBody, Failure>;

    fn event<E: Event>(self, event: &E) -> Self::Output {
        Ok(EncodedBody {
            schema: E::schema(),
            bytes: body::encode(event)?,
        })
    }
}

impl Codec {
    /// A codec for the registry at `url` and the subjects of these topics.
    pub fn new(url: &str, declarations: &[&'static Declaration]) -> Result<Self, RegistryError> {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
        Ok(Self {
            registry: Registry::new(url)?,
            subjects: subjects(declarations),
            writers: Lookups::default(),
            keys: Lookups::default(),
            ids: Lookups::default(),
        })
    }

    /// Decodes a value as one of the events of `E`.
    pub async fn decode<E: EventSet>(&self, value: &[u8]) -> Result<Decoded<E>, DecodeError> {
        let (id, body) =
            wire::split(value).map_err(|reason| Failure::new(code::UNDECODABLE, reason))?;
        let writer = self.writer(id).await?;
        Ok(Payload::new(&writer, body).decode_as::<E>())
    }

    /// Digest of a value's body with `meta` null, in the writer's schema: what an idempotency key
    /// stands for.
    pub async fn body_digest(&self, value: &[u8]) -> Result<[u8; 32], DecodeError> {
        let (id, body) =
            wire::split(value).map_err(|reason| Failure::new(code::UNDECODABLE, reason))?;
        let writer = self.writer(id).await?;
        Ok(Payload::new(&writer, body).body_digest()?)
    }

    /// How many bytes of a value's Avro body stand before `meta`; `None` unless that is its last
    /// field.
    pub async fn before_meta(&self, value: &[u8]) -> Result<Option<usize>, DecodeError> {
        let (id, body) =
            wire::split(value).map_err(|reason| Failure::new(code::UNDECODABLE, reason))?;
        let writer = self.writer(id).await?;
        Ok(Payload::new(&writer, body).before_meta()?)
    }

    /// The field `meta` of a value with a known schema, where it has one that can be read.
    pub(crate) async fn meta(&self, value: &[u8]) -> Result<Option<EventMeta>, DecodeError> {
        let (id, body) =
            wire::split(value).map_err(|reason| Failure::new(code::UNDECODABLE, reason))?;
        let writer = self.writer(id).await?;
        Ok(Payload::new(&writer, body).meta_alone())
    }

    /// The writer's schema with this id.
    pub async fn writer(&self, id: u32) -> Result<Arc<WriterSchema>, DecodeError> {
        let ask = || {
            let json = self.registry.clone().schema_by_id(id);
            // A panic would be one for whoever asks for this schema again, too.
            async move {
                let json = json.await?;
                Ok(Arc::new(guarded(|| WriterSchema::parse(id, &json))?))
            }
        };
        self.writers.get(id, ask).await
    }

    /// Joins an encoded body and `meta` to a value; `None`: `meta` null.
    pub async fn join(
        &self,
        body: &EncodedBody,
        meta: Option<&EventMeta>,
    ) -> Result<Vec<u8>, EncodeError> {
        let id = self.schema_id(body.schema).await?;
        Ok(body::join(id, &body.bytes, meta)?)
    }

    /// Looks up one of our own schemas, for writing and for reading.
    pub async fn prepare(&self, schema: &'static EventSchema) -> Result<(), EncodeError> {
        let id = self.schema_id(schema).await?;
        let writer = WriterSchema::parse(id, schema.json)?;
        self.writers.insert(id, Arc::new(writer));
        Ok(())
    }

    /// The registered id of one of our own schemas.
    pub async fn schema_id(&self, schema: &'static EventSchema) -> Result<u32, EncodeError> {
        let subject = self.subjects.get(schema.full_name).ok_or_else(|| {
            Failure::new(
                code::HANDLER_FAILED,
                format!(
                    "no topic declares {}; add it to a topic file",
                    schema.full_name
                ),
            )
        })?;
        let ask = || {
            let registry = self.registry.clone();
            registry.id_of_schema(subject.clone(), schema.json)
        };
        Ok(self.ids.get(schema.full_name, ask).await?)
    }
}

/// Counts a schema that was looked up.
fn looked_up(how: &str) {
    metrics().schema_lookups.with_label_values(&[how]).inc();
}

/// Why an event could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The event does not fit its own schema, for good.
    #[error(transparent)]
    Event(#[from] Failure),
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// The subject that each kind of event is registered under on the topic that declares it.
fn subjects(declarations: &[&'static Declaration]) -> HashMap<&'static str, String> {
    let mut subjects = HashMap::new();
    for declaration in declarations {
        for event in declaration.events {
            subjects.insert(
                event.full_name,
                declaration
                    .subjects
                    .subject(declaration.name, event.full_name),
            );
        }
        for schema in declaration
            .results
            .iter()
            .flat_map(|results| results.schemas)
        {
            let (name, results) = (schema().full_name, declaration.results.as_ref());
            if let Some(results) = results {
                subjects.insert(name, Subjects::TopicRecord.subject(results.name, name));
            }
        }
    }
    subjects
}

impl Payload<'_> {
    /// Decodes the payload as one of the events of `E`, with its `meta` even if that fails.
    fn decode_as<E: EventSet>(self) -> Decoded<E> {
        let full_name = self.full_name().to_owned();
        let (mut meta, mut body_digest, mut body_length) = (None, None, None);
        let event = E::decode(
            &full_name,
            Source {
                payload: &self,
                meta: &mut meta,
                body_digest: &mut body_digest,
                body_length: &mut body_length,
            },
        )
        .unwrap_or_else(|| {
            Err(Failure::new(
                code::UNKNOWN_TYPE,
                format!(
                    "{full_name} is not declared on this topic; declare it or send it elsewhere"
                ),
            ))
        });
        if event.is_err() && meta.is_none() {
            meta = self.meta_alone();
        }
        Decoded {
            full_name,
            meta,
            body_digest,
            body_length,
            event,
        }
    }
}

struct Source<'p, 'b> {
    payload: &'p Payload<'b>,
    meta: &'p mut Option<EventMeta>,
    body_digest: &'p mut Option<[u8; 32]>,
    body_length: &'p mut Option<usize>,
}

impl Decode for Source<'_, '_> {
    type Error = Failure;

    fn decode<E: Event>(self) -> Result<E, Failure> {
        let parts = self.payload.decode::<E>()?;
        *self.meta = parts.meta;
        *self.body_digest = parts.body_digest;
        *self.body_length = parts.body_length;
        Ok(parts.event)
    }
}
