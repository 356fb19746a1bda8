//! What the registry must know of Avro: the canonical text of a schema, whether a schema is valid,
//! and whether one can read what another wrote.

pub mod compatibility;
pub mod json;
mod plain;
pub mod text;
pub mod tree;
pub mod valid;

pub use text::{canonical, normalized};
pub use tree::Tree;

use std::borrow::Cow;

use tree::Kind;

/// The text of a schema as JSON: a primitive type need not be quoted in the registry's API.
pub fn quoted(text: &str) -> Cow<'_, str> {
    match Kind::of(text.trim()) {
        Some(kind) => Cow::Owned(format!("\"{}\"", kind.name())),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
