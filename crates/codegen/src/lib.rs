//! Turns a folder of Avro schemas and a folder of topic declarations into Rust, at build time.
//!
//! Every problem of all files is reported at once, each in a sentence that says what to do, and
//! fails the build. What is generated compiles.
//!
//! A crate that uses `millstream` has a build script of one line,
//! `millstream_codegen::Catalog::new().generate("millstream.rs")`, and says
//! `include!(concat!(env!("OUT_DIR"), "/millstream.rs"));` where the types are to be.
//!
//! The record `acme.orders.PlaceOrder` becomes `orders::PlaceOrder`: the first segment of the
//! namespace is left out, the others are modules. The topic `orders` becomes the type `Orders`. Records
//! and topics of the library itself are not generated again: they are in `millstream-events`, and its
//! topics are among the `TOPICS` of every catalogue.

mod catalog;
mod emit;
mod history;
mod names;
mod problem;
mod schema;
mod topic;

pub use catalog::Catalog;
pub use problem::{Problem, Problems};
