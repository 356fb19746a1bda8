//! The Avro schemas of every event in the catalogue, and the Rust types made from them.
//!
//! The `.avsc` files beside this crate are the source of truth; `build.rs` turns each into a
//! struct in the module of its namespace: `millstream.product_reservations.ReserveProduct` is
//! [`product_reservations::ReserveProduct`]. Nothing is written twice.
//!
//! A generated struct holds the *body* of an event, without the field `meta`. `meta` is the last
//! field of every record, and Avro's binary encoding of a record is that of its fields one after
//! the other, so body and meta are encoded apart and joined.

mod bytes;
mod event;
mod parsed;

pub use bytes::Bytes;
pub use event::{Decode, Event, EventSchema, EventSet, Visit};

/// For generated code.
#[doc(hidden)]
pub use serde;

include!(concat!(env!("OUT_DIR"), "/millstream.rs"));
