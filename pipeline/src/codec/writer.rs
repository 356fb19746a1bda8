//! Schemas that producers wrote with.

use std::sync::OnceLock;

use apache_avro::Schema;
use millstream_events::{EventMeta, EventSchema};

use super::body::{META, undecodable};
use crate::failure::Failure;
use millstream_avro::binary::long;
use millstream_avro::limits::{Kind, Kinds, Limited, SchemaText};

/// A schema that some producer wrote with: a record, or a union at whose root are records.
#[derive(Debug)]
pub struct WriterSchema {
    id: u32,
    /// Whether values say which of the records they are.
    is_union: bool,
    records: Vec<Result<WriterRecord, String>>,
}

/// A record that it has.
#[derive(Debug)]
pub struct WriterRecord {
    pub(super) id: u32,
    pub(super) full_name: String,
    pub(super) limited: Limited,
    /// Whether it is our own schema; known once a value was decoded.
    is_ours: OnceLock<bool>,
    /// Whether `meta` is its last field.
    pub(super) ends_with_meta: bool,
    /// Whether that has our own schema.
    pub(super) has_our_meta: bool,
}

impl WriterSchema {
    /// Parses a schema that the registry gave for `id`.
    pub fn parse(id: u32, text: impl Into<SchemaText>) -> Result<Self, Failure> {
        let kinds = Kinds::parse(&text.into()).map_err(|error| unusable(id, &error))?;
        let is_union = kinds.is_union;
        let records = kinds
            .kinds
            .into_iter()
            .map(|kind| WriterRecord::new(id, kind));
        let records: Vec<_> = records.collect();
        if let (false, Some(Err(error))) = (is_union, records.first()) {
            return Err(unusable(id, error));
        }
        Ok(Self {
            id,
            is_union,
            records,
        })
    }

    /// The record that a body is of, and its own bytes.
    pub(super) fn record<'b>(&self, body: &'b [u8]) -> Result<(&WriterRecord, &'b [u8]), Failure> {
        let (number, bytes) = match self.is_union {
            false => (0, body),
            true => long(body).map_err(|error| does_not_fit(self.id, &error))?,
        };
        let record = usize::try_from(number).ok();
        match record.and_then(|number| self.records.get(number)) {
            Some(Ok(record)) => Ok((record, bytes)),
            Some(Err(error)) => Err(undecodable(format!(
                "branch {number} of schema {} cannot be used: {error}",
                self.id
            ))),
            None => {
                let error = format!("its union has no branch {number}");
                Err(does_not_fit(self.id, &error))
            }
        }
    }

    /// The full names of its records.
    pub fn full_names(&self) -> impl Iterator<Item = &str> {
        let records = self.records.iter().flatten();
        records.map(|record| record.full_name.as_str())
    }
}

impl WriterRecord {
    fn new(id: u32, kind: Kind) -> Result<Self, String> {
        let limited = kind.limited?;
        let meta = match &limited.schema {
            Schema::Record(record) => record.fields.last().filter(|last| last.name == META),
            _ => None,
        };
        Ok(Self {
            id,
            full_name: kind.record.unwrap_or_default(),
            ends_with_meta: meta.is_some(),
            has_our_meta: meta.is_some_and(|meta| meta.schema == *EventMeta::field_schema()),
            limited,
            is_ours: OnceLock::new(),
        })
    }

    /// The record's full name.
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Whether it is this schema of ours. A full name has one type, so the answer is the same
    /// whenever somebody asks.
    pub(super) fn is_ours(&self, schema: &EventSchema) -> bool {
        *self
            .is_ours
            .get_or_init(|| self.limited.schema == schema.full)
    }
}

fn unusable(id: u32, error: &str) -> Failure {
    undecodable(format!("schema {id} cannot be used: {error}"))
}

/// A body that is none of the schema's.
pub(super) fn does_not_fit(id: u32, error: &str) -> Failure {
    undecodable(format!("the body does not fit schema {id}: {error}"))
}

#[cfg(test)]
mod tests;
