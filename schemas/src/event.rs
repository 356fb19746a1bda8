//! What the generated types have in common.

use apache_avro::Schema;
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
