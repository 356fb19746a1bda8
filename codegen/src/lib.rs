//! Turns a folder of Avro schemas and a folder of topic declarations into Rust, at build time.
//!
//! Every problem of all files is reported at once, each in a sentence that says what to do, and
//! fails the build. What is generated compiles.
//!
//! A crate that uses `millstream-pipeline` has a build script of one line,
//! `millstream_codegen::Catalog::new().generate("millstream.rs")`, and says
//! `include!(concat!(env!("OUT_DIR"), "/millstream.rs"));` where the types are to be.
//!
//! The record `acme.orders.PlaceOrder` becomes `orders::PlaceOrder`: the first segment of the
//! namespace is left out, the others are modules. The topic `orders` becomes the type `Orders`.

mod catalog;
mod emit;
mod history;
mod names;
mod problem;
mod schema;
mod topic;

pub use catalog::Catalog;
pub use problem::{Problem, Problems};

/// Generates the types of the crate `millstream-schemas`, whose files lie beside its manifest.
#[doc(hidden)]
pub fn generate_schemas(out_file: &str) {
    Catalog::of_schemas_crate(".").generate(out_file);
}

/// Generates the handles of the crate `millstream-topics`, whose files lie beside its manifest.
#[doc(hidden)]
pub fn generate_topics(out_file: &str, schemas: &str, schemas_crate: &str) {
    Catalog::of_topics_crate(".", schemas, schemas_crate).generate(out_file);
}
