//! What the registry must know of Avro: the canonical text of a schema, whether a schema is valid,
//! and whether one can read what another wrote.

pub mod compatibility;
pub mod json;
pub mod text;
pub mod tree;

pub use text::{canonical, normalized};
pub use tree::Tree;

/// Checks a schema against the Avro library that reads and writes the events. `references` are the
/// texts of the schemas whose types it uses.
pub fn validate(text: &str, references: &[String]) -> Result<(), String> {
    // The library wants the reason as one sentence; its own chain has it all.
    apache_avro::Schema::parse_str_with_list(text, references)
        .map(|_| ())
        .map_err(|error| error.to_string())
}
