//! What Avro says of schemas: their canonical text, whether one is valid, whether one can read what
//! another wrote as Confluent judges it, and the limits that keep input from deciding about memory or
//! stack ([`limits`]).

pub mod binary;
pub mod compatibility;
pub mod json;
pub mod limits;
mod plain;
pub mod release;
pub mod text;
pub mod tree;
pub mod valid;
mod whole;

pub use text::{canonical, normalized};
pub use tree::Tree;
pub use whole::Whole;

use std::borrow::Cow;

use tree::Kind;

/// The text of a schema as JSON: a primitive type need not be quoted in the registry's API.
pub fn quoted(text: &str) -> Cow<'_, str> {
    match Kind::of(text.trim()) {
        Some(kind) => Cow::Owned(format!("\"{}\"", kind.name())),
        None => Cow::Borrowed(text),
    }
}

/// Whether one schema can read what another wrote, as Confluent judges it.
///
/// # Errors
/// One of the texts is not a schema: why.
pub fn can_read(reader: &str, writer: &str) -> Result<bool, String> {
    let (reader, writer) = (Tree::parse(reader)?, Tree::parse(writer)?);
    Ok(compatibility::problems(&reader, &writer).is_empty())
}

#[cfg(test)]
mod tests;
