//! The Avro schemas of every event in the catalogue, and the Rust types made from them.
//!
//! The `.avsc` files beside this crate are the source of truth; `build.rs` turns each into a
//! struct in the module of its namespace: `millstream.product_reservations.ReserveProduct` is
//! [`product_reservations::ReserveProduct`]. Nothing is written twice.
//!
//! What an event is says `millstream-events`.

include!(concat!(env!("OUT_DIR"), "/millstream.rs"));
