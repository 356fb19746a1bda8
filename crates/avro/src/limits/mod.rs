//! The one place that bounds Avro. Nothing that a record or a registered schema says decides how deep
//! a stack grows or how much is allocated.
//!
//! 1. A schema is looked at as JSON before the Avro library sees it ([`schema`]): its size, its depth,
//!    its `fixed` sizes, and what its defaults come to. Of a writer's schema the library sees only
//!    what decides how bytes are read ([`essence`]), in one piece with what it refers to.
//! 2. A body is walked along its writer's schema before it is decoded ([`Shape`]): its depth, and what
//!    its values would take in memory, counted over the whole value. A null in an array takes no byte
//!    of the body, but a value in memory, so it counts as one.
//!
//! The library decodes, resolves, compares and drops values recursively and reserves what a length
//! says. A level takes up to 50 KiB of stack in a build without optimisation, so what is nested deeply
//! gets a stack of its own ([`with_stack`]); a value that is accepted takes some tens of megabytes at
//! most on its way.

mod defaults;
mod essence;
mod names;
mod schema;
mod shape;
mod types;
mod walk;

#[cfg(test)]
mod tests;

use apache_avro::Schema;

use essence::Writer;
pub use schema::{check, fits_together};
use shape::Shape;
pub use types::SchemaText;
use types::{Branch, Types};
pub use walk::Walked;

/// A schema's text, with those of the schemas that it refers to, is not longer.
pub const MAX_SCHEMA_BYTES: usize = 1024 * 1024;
/// It refers to no more schemas, at first or second hand.
pub const MAX_REFERENCES: usize = 256;
/// Objects, arrays and names are not nested deeper in it, documentation and properties apart.
pub const MAX_SCHEMA_DEPTH: usize = 64;
/// Records, unions, arrays and maps of a value are not nested deeper.
pub const MAX_DEPTH: usize = 96;
/// A value takes no more memory when it is decoded: some 300,000 numbers or nulls.
pub const MAX_MEMORY: usize = 16 * 1024 * 1024;
/// A decimal number is not longer: what is done with its digits takes the square of their number.
pub const MAX_DECIMAL_BYTES: usize = 1024;
/// JSON that becomes a value is not nested deeper: where a union holds a union the Avro library
/// resolves what is in it twice, so its work doubles with each.
pub const MAX_JSON_DEPTH: usize = 16;

/// What the Avro library takes of the stack for each level of a value or a schema, at most.
const LEVEL: usize = if cfg!(debug_assertions) {
    64 * 1024
} else {
    8 * 1024
};

/// Runs `work`, which calls itself over so many levels, where the stack has room for it.
pub fn with_stack<T>(levels: usize, work: impl FnOnce() -> T) -> T {
    let needed = (levels + 2) * LEVEL;
    stacker::maybe_grow(needed, 2 * needed, work)
}

/// A schema that others wrote with, and how its values are walked.
#[derive(Debug)]
pub struct Limited {
    /// The schema's essence ([`essence`]).
    pub schema: Schema,
    shape: Shape,
}

/// What values a schema has: those of one type, or of the branches of a union, each as if it had
/// come alone.
#[derive(Debug)]
pub struct Kinds {
    /// Whether the schema is a union.
    pub is_union: bool,
    /// In the order of its branches.
    pub kinds: Vec<Kind>,
}

/// One of them.
#[derive(Debug)]
pub struct Kind {
    /// Full name of the record, as it was written; `None`: it is no record.
    pub record: Option<String>,
    /// How its values are read, or why they cannot be.
    pub limited: Result<Limited, String>,
}

impl Kinds {
    /// Those of a schema; the error says what is wrong with it as a whole.
    pub fn parse(text: &SchemaText) -> Result<Self, String> {
        let texts = text.parse()?;
        let types = Types::read(&texts)?;
        let mut writer = Writer::new(&types);
        let (is_union, branches) = match types.union() {
            Some(branches) => (true, branches),
            None => (false, vec![types.root()]),
        };
        let kinds = branches.iter().map(|branch| Kind {
            record: branch.record.map(str::to_owned),
            limited: match branch.record {
                Some(_) => Limited::of(&mut writer, branch),
                None => Err("it is not a record".into()),
            },
        });
        Ok(Self {
            is_union,
            kinds: kinds.collect(),
        })
    }
}

impl Limited {
    /// Parses a schema of any type; the error says what is wrong with it.
    pub fn parse(text: impl Into<SchemaText>) -> Result<Self, String> {
        let texts = text.into().parse()?;
        let types = Types::read(&texts)?;
        Self::of(&mut Writer::new(&types), &types.root())
    }

    fn of<'t>(writer: &mut Writer<'t>, branch: &Branch<'t>) -> Result<Self, String> {
        with_stack(MAX_SCHEMA_DEPTH, || {
            let essence = writer.write(branch)?;
            let schema = Schema::parse(&essence);
            let mut schema = schema.map_err(|error| error.to_string())?;
            writer.names.restore(&mut schema)?;
            let shape = Shape::of(&schema)?;
            Ok(Self { schema, shape })
        })
    }

    /// Walks a body without decoding it.
    pub fn walk(&self, body: &[u8]) -> Result<Walked, String> {
        walk::walk(&self.shape, body)
    }

    /// Whether values have maps, whose entries have no order.
    pub fn has_maps(&self) -> bool {
        self.shape.has_maps
    }
}
