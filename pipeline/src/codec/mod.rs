//! Events in and out of bytes: Confluent's wire format, Avro bodies, schemas from the registry.
//!
//! A handler picks a type by the record's full name and resolves the writer's schema to its own
//! by Avro's rules, so a producer with an older or a newer compatible schema works, whatever
//! subject it registered under. Schemas are looked up once and kept: they never change.

mod body;
mod check;
mod client;
mod decode;
pub mod fields;
mod fit;
pub mod json;
mod key;
mod lookups;
mod maps;
mod meta;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use millstream_events::{Declaration, Event, EventMeta, EventSchema, EventSet, Subjects, Visit};
use prometheus::IntCounter;

pub use body::{Payload, damaged, join, with_meta};
pub use check::Verdict;
pub use client::{registry_error, settings as registry_settings};
pub use decode::{Decoded, Digested};
pub use millstream_avro::limits::SchemaText;
pub use writer::WriterSchema;

use body::{guarded, unencodable};
use client::Registry;
use decode::{Leisure, refusable};
use key::KeySchema;
use lookups::Lookups;
use millstream_avro::limits::MAX_MEMORY;

use crate::failure::{self, Failure};
use crate::observe::metrics::metrics;

/// Encodes and decodes events. Cheap to share.
pub struct Codec {
    registry: Registry,
    subjects: HashMap<&'static str, Vec<String>>,
    writers: Lookups<u32, Parsed<WriterSchema>, DecodeError>,
    /// Schemas of foreign keys, which need not be records.
    keys: Lookups<u32, Parsed<KeySchema>, DecodeError>,
    ids: Lookups<&'static str, u32, RegistryError>,
    leisure: Leisure,
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

/// Something of the registry that has to be known: [`Codec::fetch`] asks for it.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// The id of one of our own schemas.
    Id(&'static EventSchema),
    /// The writer's schema with this id, of a result that is remembered.
    Writer(u32),
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
    /// Encodes an event.
    pub fn of_event<E: Event>(event: &E) -> Result<Self, Failure> {
        EncodeBody.event(event)
    }

    /// Encodes the event that `set` holds; `None` for the set of none.
    pub fn of<E: EventSet>(set: &E) -> Option<Result<Self, Failure>> {
        set.visit(EncodeBody)
    }
}

struct EncodeBody;

impl Visit for EncodeBody {
    type Output = Result<EncodedBody, Failure>;

    fn event<E: Event>(self, event: &E) -> Self::Output {
        let schema = E::schema();
        let bytes = guarded(|| {
            let bytes = schema.body_writer().write_ser_to_vec(event);
            bytes.map_err(|error| unencodable(E::FULL_NAME, &error))
        })?;
        Ok(EncodedBody { schema, bytes })
    }
}

impl Codec {
    /// A codec for the registry at `url` and the subjects of these topics.
    pub fn new(url: &str, declarations: &[&'static Declaration]) -> Result<Self, RegistryError> {
        apache_avro::util::max_allocation_bytes(MAX_MEMORY);
        Ok(Self {
            registry: Registry::new(url)?,
            subjects: subjects(declarations),
            writers: Lookups::default(),
            keys: Lookups::default(),
            ids: Lookups::default(),
            leisure: Leisure::default(),
        })
    }

    /// Fetches what was not known. What is wrong for good is a failure.
    pub(crate) async fn fetch(&self, need: Need) -> Result<Result<(), Failure>, RegistryError> {
        match need {
            Need::Id(schema) => match self.schema_id(schema).await {
                Ok(_) => Ok(Ok(())),
                Err(EncodeError::Event(failure)) => Ok(Err(failure)),
                Err(EncodeError::Registry(error)) => Err(error),
            },
            Need::Writer(id) => {
                let writer = refusable(self.writer(id).await)?;
                Ok(writer.map(|_| ()).map_err(damaged))
            }
        }
    }

    /// The registered id of one of our own schemas, if it is known.
    pub(crate) fn known_id(&self, schema: &'static EventSchema) -> Result<Option<u32>, Failure> {
        let id = self.ids.known(schema.full_name);
        if id.is_none() {
            self.subjects(schema)?;
        }
        Ok(id)
    }

    /// The writer's schema with this id, if it is known, or why it cannot be used.
    pub(crate) fn known_writer(&self, id: u32) -> Option<Result<Arc<WriterSchema>, Failure>> {
        self.writers.known(id)
    }

    /// The writer's schema with this id.
    pub async fn writer(&self, id: u32) -> Result<Arc<WriterSchema>, DecodeError> {
        let ask = || {
            let text = self.registry.clone().schema_by_id(id);
            async move { Ok(parsed(text.await?, move |text| WriterSchema::parse(id, text)).await) }
        };
        Ok(self.writers.get(id, ask).await??)
    }

    /// Joins an encoded body and `meta` to a value; `None`: `meta` null.
    pub async fn join(
        &self,
        body: &EncodedBody,
        meta: Option<&EventMeta>,
    ) -> Result<Vec<u8>, EncodeError> {
        let id = self.schema_id(body.schema).await?;
        Ok(body::join(id, &body.bytes, meta))
    }

    /// Looks up one of our own schemas, for writing and for reading.
    pub async fn prepare(&self, schema: &'static EventSchema) -> Result<(), EncodeError> {
        let id = self.schema_id(schema).await?;
        self.insert(schema, id)?;
        Ok(())
    }

    /// Tells the id of one of our own schemas, which then need not be asked for.
    pub(crate) fn insert(&self, schema: &'static EventSchema, id: u32) -> Result<(), Failure> {
        let writer = WriterSchema::parse(id, schema.json)?;
        self.writers.insert(id, Ok(Arc::new(writer)));
        self.ids.insert(schema.full_name, id);
        Ok(())
    }

    /// The registered id of one of our own schemas.
    pub async fn schema_id(&self, schema: &'static EventSchema) -> Result<u32, EncodeError> {
        let subjects = self.subjects(schema)?;
        let ask = || {
            let registry = self.registry.clone();
            registry.id_of_schema(subjects.to_vec(), schema.json)
        };
        Ok(self.ids.get(schema.full_name, ask).await?)
    }
}

impl Codec {
    /// The subjects that a schema of our own is registered under.
    fn subjects(&self, schema: &EventSchema) -> Result<&[String], Failure> {
        let name = schema.full_name;
        let subjects = self.subjects.get(name).map(Vec::as_slice);
        subjects.ok_or_else(|| {
            let message = format!("no topic declares {name}; add it to a topic file");
            Failure::new(failure::HANDLER_FAILED, message)
        })
    }
}

/// A schema, or why it cannot be used: neither changes.
type Parsed<T> = Result<Arc<T>, Failure>;

/// A longer text is parsed off the worker threads.
const LONG_SCHEMA: usize = 32 * 1024;

async fn parsed<T: Send + Sync + 'static>(
    text: Result<SchemaText, Failure>,
    parse: impl FnOnce(SchemaText) -> Result<T, Failure> + Send + 'static,
) -> Parsed<T> {
    let text = text?;
    let is_long = text.size() > LONG_SCHEMA;
    // A panic would be one for whoever asks for this schema again, too.
    let parse = move || guarded(|| parse(text)).map(Arc::new);
    match is_long {
        false => parse(),
        true => match tokio::task::spawn_blocking(parse).await {
            Ok(parsed) => parsed,
            Err(error) => Err(Failure::new(failure::UNDECODABLE, error.to_string())),
        },
    }
}

/// Counts a schema that was looked up.
fn looked_up(how: &str) {
    metrics().schema_lookups.with_label_values(&[how]).inc();
}

/// Counts one that was known already, as it is for each event.
fn known_already() {
    static KNOWN: LazyLock<IntCounter> =
        LazyLock::new(|| metrics().schema_lookups.with_label_values(&["cached"]));
    KNOWN.inc();
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

/// The subjects that each kind of event is registered under on the topics that declare it.
fn subjects(declarations: &[&'static Declaration]) -> HashMap<&'static str, Vec<String>> {
    let mut subjects: HashMap<_, Vec<String>> = HashMap::new();
    for declaration in declarations {
        for event in declaration.events {
            let name = event.full_name;
            let subject = declaration.subjects.subject(declaration.name, name);
            subjects.entry(name).or_default().push(subject);
        }
        for schema in declaration
            .results
            .iter()
            .flat_map(|results| results.schemas)
        {
            let (name, results) = (schema().full_name, declaration.results.as_ref());
            if let Some(results) = results {
                let subject = Subjects::TopicRecord.subject(results.name, name);
                subjects.entry(name).or_default().push(subject);
            }
        }
    }
    subjects
}
