//! What an event and a topic are, and the records and topics that every installation has.
//!
//! - [`Event`], [`EventSet`], [`EventSchema`]: what the types have in common that the code generator
//!   makes of schemas. A type holds the *body* of an event, without the field `meta`. That is the last
//!   field of every record, and Avro's binary encoding of a record is that of its fields one after the
//!   other, so body and meta are encoded apart and joined.
//! - [`Topic`] and [`Declaration`]: what topic files say, as types and constants.
//! - [`EventMeta`], which every event carries, [`RequestFailed`], which every command may be answered
//!   with, and the topics [`Replies`], [`Timers`] and [`DlqStatus`] with their events. They are made of
//!   the files beside this crate, as those of every other crate are of its own.
//!
//! The `TOPICS` that the code generator makes for a crate contain these topics.

mod bytes;
mod declaration;
mod event;
mod parsed;

pub use bytes::Bytes;
pub use declaration::{
    Access, Cleanup, Declaration, EventDeclaration, HttpRoute, Identity, Lane, Once, ResultTopic,
    Signature, Subjects, Subscription, Tombstones, Topic,
};
pub use event::{Decode, Event, EventSchema, EventSet, Visit};

/// For generated code.
#[doc(hidden)]
pub use serde;

include!(concat!(env!("OUT_DIR"), "/millstream.rs"));

/// The topics of the library itself.
pub use TOPICS as SYSTEM_TOPICS;

/// Whether a service is the library's own: `Replies` or `Timers`. An installation has one of each,
/// whichever project serves it.
pub fn is_system_service(name: &str) -> bool {
    SYSTEM_TOPICS
        .iter()
        .flat_map(|topic| topic.subscriptions)
        .any(|subscription| subscription.service == name)
}
