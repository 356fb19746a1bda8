//! Schema files: what they may contain, and what is read from them.

mod check;
mod json;
mod load;
mod parse;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use json::mismatches;
pub use load::{files, load};
pub use text::{pretty_text, text};

use crate::names;

/// The record that every event's field `meta` holds.
pub const EVENT_META: &str = "millstream.EventMeta";
/// The result that every command may have.
pub const REQUEST_FAILED: &str = "millstream.RequestFailed";
/// The work order of the batch lane.
pub const WORK_DUE: &str = "millstream.WorkDue";

/// A type that the code generator supports.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Boolean,
    Int(Option<String>),
    Long(Option<String>),
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Type>),
    Map(Box<Type>),
    /// The union of null and the type.
    Optional(Box<Type>),
    /// A record or an enum, by its full name.
    Named(String),
}

impl Type {
    /// The named types within this one.
    pub fn named(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Array(inner) | Self::Map(inner) | Self::Optional(inner) => inner.named(),
            _ => None,
        }
    }
}

/// A field of a record.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub doc: Option<String>,
    pub aliases: Vec<String>,
    pub ty: Type,
    pub default: Option<Value>,
}

/// A record or an enum.
#[derive(Clone, Debug)]
pub struct Definition {
    pub full_name: String,
    pub doc: Option<String>,
    pub aliases: Vec<String>,
    pub kind: Kind,
    /// Where it is defined.
    pub file: String,
    /// Whether it is what the file is named after, not a part of that.
    pub top_level: bool,
    /// Whether its Rust type belongs to the library and not to the catalogue being generated.
    pub of_library: bool,
}

/// What a definition defines.
#[derive(Clone, Debug)]
pub enum Kind {
    Record(Vec<Field>),
    Enum {
        symbols: Vec<String>,
        default: Option<String>,
    },
}

impl Definition {
    /// The fields; none for an enum.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Record(fields) => fields,
            Kind::Enum { .. } => &[],
        }
    }

    /// The fields without `meta`.
    pub fn body(&self) -> impl Iterator<Item = &Field> {
        self.fields()
            .iter()
            .filter(|field| !(self.top_level && field.name == "meta"))
    }

    /// Whether it is an event: a record of its own with the field `meta`.
    pub fn is_event(&self) -> bool {
        self.top_level && self.fields().iter().any(|field| field.name == "meta")
    }

    pub fn namespace(&self) -> &str {
        names::split(&self.full_name).0
    }

    pub fn name(&self) -> &str {
        names::split(&self.full_name).1
    }
}

/// All that a folder of schemas contains.
#[derive(Default)]
pub struct Schemas {
    /// By full name.
    pub definitions: BTreeMap<String, Definition>,
    /// The text of the example of each event, by full name.
    pub examples: BTreeMap<String, String>,
    /// The names of files that could not be read; nothing is said about what refers to them.
    pub unread: BTreeSet<String>,
}

impl Schemas {
    pub fn get(&self, full_name: &str) -> Option<&Definition> {
        self.definitions.get(full_name)
    }

    /// The events, those of the library included.
    pub fn events(&self) -> impl Iterator<Item = &Definition> {
        self.definitions
            .values()
            .filter(|definition| definition.is_event())
    }

    /// Whether another definition contains this one.
    pub fn is_shared(&self, full_name: &str) -> bool {
        let others = self
            .definitions
            .values()
            .filter(|other| other.full_name != full_name);
        others
            .flat_map(Definition::fields)
            .any(|field| field.ty.named() == Some(full_name))
    }
}
