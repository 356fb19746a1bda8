//! What the generated types have in common.

use std::fmt;
use std::sync::OnceLock;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::{Serialize, de::DeserializeOwned};

/// The body of one kind of event: a record generated from an `.avsc` file.
pub trait Event:
    Serialize + DeserializeOwned + Clone + std::fmt::Debug + Send + Sync + 'static
{
    /// The record's full name, such as `millstream.product_reservations.ReserveProduct`.
    const FULL_NAME: &'static str;

    /// The parsed schema; the same reference at every call.
    fn schema() -> &'static EventSchema;
}

/// A schema in the forms that encoding and registering need.
#[derive(Debug)]
pub struct EventSchema {
    /// The record's full name.
    pub full_name: &'static str,
    /// Self-contained JSON, as it is registered: `EventMeta` inlined, no references.
    pub json: &'static str,
    /// One event in JSON, without `meta`.
    pub example: &'static str,
    /// The whole record.
    pub full: Schema,
    /// The record without its last field, `meta`.
    pub body: Schema,
    pub(crate) prepared: Prepared,
}

/// Reader and writer of a body: making them anew for every event takes longer than their work.
#[derive(Default)]
pub(crate) struct Prepared {
    reader: OnceLock<GenericDatumReader<'static>>,
    writer: OnceLock<GenericDatumWriter<'static>>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl EventSchema {
    /// Reads bodies.
    pub fn body_reader(&'static self) -> &'static GenericDatumReader<'static> {
        let make = || GenericDatumReader::builder(&self.body).build();
        self.prepared.reader.get_or_init(|| complete(make()))
    }

    /// Writes bodies.
    pub fn body_writer(&'static self) -> &'static GenericDatumWriter<'static> {
        let make = || GenericDatumWriter::builder(&self.body).build();
        self.prepared.writer.get_or_init(|| complete(make()))
    }
}

#[expect(
    clippy::expect_used,
    reason = "the build fails if a schema refers to one that it does not contain"
)]
fn complete<T>(made: apache_avro::AvroResult<T>) -> T {
    made.expect("a schema that contains all it refers to")
}

/// Some kinds of event, of which a value is one: a topic's events, or a command's results.
///
/// An event is a set of one. The enums that the code generator makes for topics with several
/// kinds are the others, and `()` is the set of none.
pub trait EventSet: Sized + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Decodes the kind with this full name; `None` when it does not belong to the set.
    fn decode<D: Decode>(full_name: &str, source: D) -> Option<Result<Self, D::Error>>;

    /// Hands the event to `visitor`; `None` for the set of none.
    fn visit<V: Visit>(&self, visitor: V) -> Option<V::Output>;
}

/// A source that one event can be decoded from.
pub trait Decode {
    /// Why it could not be.
    type Error;

    /// Decodes the event that the source holds as `E`.
    fn decode<E: Event>(self) -> Result<E, Self::Error>;
}

/// Something to do with an event, whatever its kind.
pub trait Visit {
    /// What doing it yields.
    type Output;

    /// Does it.
    fn event<E: Event>(self, event: &E) -> Self::Output;
}

impl<E: Event> EventSet for E {
    fn decode<D: Decode>(full_name: &str, source: D) -> Option<Result<Self, D::Error>> {
        (full_name == E::FULL_NAME).then(|| source.decode())
    }

    fn visit<V: Visit>(&self, visitor: V) -> Option<V::Output> {
        Some(visitor.event(self))
    }
}

impl EventSet for () {
    fn decode<D: Decode>(_: &str, _: D) -> Option<Result<Self, D::Error>> {
        None
    }

    fn visit<V: Visit>(&self, _: V) -> Option<V::Output> {
        None
    }
}
