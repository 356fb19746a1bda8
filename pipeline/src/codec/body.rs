//! Body and `meta` of a record.
//!
//! `meta` is the last field of every record of ours, and Avro encodes a record as its fields one
//! after the other. So the two are encoded apart and joined, and a body can be kept and joined to
//! another `meta` later.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, OnceLock};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, from_value};
use millstream_schemas::{Event, EventMeta, EventSchema};

use super::whole::Whole;
use crate::code::{self, Failure};
use crate::wire;

/// Name of the field that holds [`EventMeta`].
const META: &str = "meta";
/// Encoding of `meta` null: the first branch of the union.
const NULL_META: u8 = 0;

/// Reads `meta`; made once, like [`META_WRITER`], because making it takes longer than its work.
static META_READER: LazyLock<GenericDatumReader<'static>> = LazyLock::new(|| {
    GenericDatumReader::builder(EventMeta::field_schema())
        .build()
        .unwrap_or_else(|error| unreachable!("the schema refers to nothing else: {error}"))
});

/// Writes `meta`.
static META_WRITER: LazyLock<GenericDatumWriter<'static>> = LazyLock::new(|| {
    GenericDatumWriter::builder(EventMeta::field_schema())
        .build()
        .unwrap_or_else(|error| unreachable!("the schema refers to nothing else: {error}"))
});

/// A schema that some producer wrote with.
#[derive(Debug)]
pub struct WriterSchema {
    id: u32,
    full_name: String,
    schema: Schema,
    /// Whether it is our own schema; known once a value was decoded.
    is_ours: OnceLock<bool>,
    /// The schema up to `meta`, if that is its last field.
    body: OnceLock<Option<Schema>>,
}

impl WriterSchema {
    /// Parses a schema that the registry gave for `id`.
    pub fn parse(id: u32, json: &str) -> Result<Self, Failure> {
        let schema = Schema::parse_str(json)
            .map_err(|error| undecodable(format!("schema {id} cannot be used: {error}")))?;
        let full_name = schema
            .name()
            .ok_or_else(|| undecodable(format!("schema {id} is not a record")))?
            .fullname(None);
        Ok(Self {
            id,
            full_name,
            schema,
            is_ours: OnceLock::new(),
            body: OnceLock::new(),
        })
    }

    fn body(&self) -> Option<&Schema> {
        let without_meta = || {
            let Schema::Record(mut record) = self.schema.clone() else {
                return None;
            };
            let last = record.fields.pop();
            record.lookup.remove(META);
            last.is_some_and(|field| field.name == META)
                .then_some(Schema::Record(record))
        };
        self.body.get_or_init(without_meta).as_ref()
    }
}

/// What a value holds.
#[derive(Debug)]
pub struct Parts<E> {
    /// The event.
    pub event: E,
    /// The field `meta`.
    pub meta: Option<EventMeta>,
    /// As [`Payload::body_digest`], where it is had on the way.
    pub body_digest: Option<[u8; 32]>,
    /// How many bytes stand before `meta`, where that is known.
    pub body_length: Option<usize>,
}

/// The Avro body of a value, with the schema it was written with.
#[derive(Debug)]
pub struct Payload<'b> {
    writer: &'b WriterSchema,
    bytes: &'b [u8],
}

impl<'b> Payload<'b> {
    /// A body written with `writer`.
    pub fn new(writer: &'b WriterSchema, bytes: &'b [u8]) -> Self {
        Self { writer, bytes }
    }

    /// The record's full name.
    pub fn full_name(&self) -> &str {
        &self.writer.full_name
    }

    /// Decodes the body as `E`, and `meta`.
    pub fn decode<E: Event>(&self) -> Result<Parts<E>, Failure> {
        guarded(|| {
            // A full name has one type, so the answer is the same for every `E` that gets here.
            let is_ours = || self.writer.schema == E::schema().full;
            if *self.writer.is_ours.get_or_init(is_ours) {
                self.decode_own()
            } else {
                self.resolve()
            }
        })
    }

    /// Whether the body can be decoded as the event with this schema.
    pub fn fits(&self, schema: &EventSchema) -> Result<(), Failure> {
        guarded(|| {
            let (body, _) = split_meta(self.value()?)?;
            let is_ours = || self.writer.schema == schema.full;
            if *self.writer.is_ours.get_or_init(is_ours) {
                return Ok(());
            }
            self.resolved(body, &schema.body).map(|_| ())
        })
    }

    /// `meta` of a value whose body cannot be decoded as any declared event.
    pub fn meta_alone(&self) -> Option<EventMeta> {
        guarded(|| self.value().and_then(|value| Ok(split_meta(value)?.1)))
            .ok()
            .flatten()
    }

    /// Any record as a generic value, with `meta` apart.
    pub fn generic(&self) -> Result<(Value, Option<EventMeta>), Failure> {
        guarded(|| split_meta(self.value()?))
    }

    /// Digest of the body with `meta` null, in the writer's schema. Only what is left of it when maps
    /// are put in order counts: the Avro library keeps them in none.
    pub fn body_digest(&self) -> Result<[u8; 32], Failure> {
        guarded(|| {
            let Value::Record(mut fields) = self.value()? else {
                return Err(undecodable("the value is not a record"));
            };
            for (name, value) in &mut fields {
                if name == META {
                    *value = Value::Union(0, Box::new(Value::Null));
                }
            }
            let mut maps = Vec::new();
            for (name, value) in &mut fields {
                take_maps(value, name, &mut maps);
            }
            let body = GenericDatumWriter::builder(&self.writer.schema)
                .build()
                .and_then(|writer| writer.write_value_to_vec(Value::Record(fields)))
                .map_err(|error| undecodable(error.to_string()))?;
            maps.sort_unstable();
            let maps: Vec<&[u8]> = maps.iter().map(String::as_bytes).collect();
            Ok(crate::digest::digest(&[&[&body[..]], &maps[..]].concat()))
        })
    }

    /// How many bytes stand before `meta`; `None` unless that is the last field.
    pub fn before_meta(&self) -> Result<Option<usize>, Failure> {
        let Some(schema) = self.writer.body() else {
            return Ok(None);
        };
        guarded(|| {
            let mut rest = Whole(self.bytes);
            GenericDatumReader::builder(schema)
                .build()
                .and_then(|reader| reader.read_value(&mut rest))
                .map_err(|error| self.does_not_fit(&error))?;
            Ok(Some(self.bytes.len() - rest.0.len()))
        })
    }

    /// The short way, for values written with our own schema.
    fn decode_own<E: Event>(&self) -> Result<Parts<E>, Failure> {
        let mut rest = self.bytes;
        let event = read(E::schema().body_reader(), &mut rest)?;
        let (body, _) = self.bytes.split_at(self.bytes.len() - rest.len());
        let (body_digest, body_length) = (Some(digest_of_body(body)), Some(body.len()));
        let meta = read(&META_READER, &mut rest)?;
        nothing_left(rest)?;
        Ok(Parts {
            event,
            meta,
            body_digest,
            body_length,
        })
    }

    /// The long way, by Avro's rules from the writer's schema to ours.
    fn resolve<E: Event>(&self) -> Result<Parts<E>, Failure> {
        let (body, meta) = split_meta(self.value()?)?;
        let body = self.resolved(body, &E::schema().body)?;
        let event = from_value(&body).map_err(|error| undecodable(error.to_string()))?;
        Ok(Parts {
            event,
            meta,
            body_digest: None,
            body_length: None,
        })
    }

    fn resolved(&self, body: Value, ours: &Schema) -> Result<Value, Failure> {
        body.resolve(ours).map_err(|error| {
            undecodable(format!(
                "schema {} does not resolve to ours: {error}",
                self.writer.id
            ))
        })
    }

    fn value(&self) -> Result<Value, Failure> {
        let mut rest = Whole(self.bytes);
        let value = GenericDatumReader::builder(&self.writer.schema)
            .build()
            .and_then(|reader| reader.read_value(&mut rest))
            .map_err(|error| self.does_not_fit(&error))?;
        nothing_left(rest.0)?;
        Ok(value)
    }

    fn does_not_fit(&self, error: &apache_avro::Error) -> Failure {
        undecodable(format!(
            "the body does not fit schema {}: {error}",
            self.writer.id
        ))
    }
}

/// Empties the maps in a value; what they held is listed with the way to it.
fn take_maps(value: &mut Value, way: &str, maps: &mut Vec<String>) {
    match value {
        Value::Map(entries) => {
            for (key, mut value) in std::mem::take(entries) {
                let way = format!("{way}/{key:?}");
                take_maps(&mut value, &way, maps);
                maps.push(format!("{way}={value:?}"));
            }
        }
        Value::Record(fields) => {
            for (name, value) in fields {
                take_maps(value, &format!("{way}/{name}"), maps);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter_mut().enumerate() {
                take_maps(value, &format!("{way}/{index}"), maps);
            }
        }
        Value::Union(_, value) => take_maps(value, way, maps),
        _ => {}
    }
}

/// Digest of a body without `meta`: of its bytes with `meta` null.
fn digest_of_body(body: &[u8]) -> [u8; 32] {
    crate::digest::digest(&[&[body, &[NULL_META]].concat()])
}

fn read<T: serde::de::DeserializeOwned>(
    reader: &GenericDatumReader<'_>,
    rest: &mut &[u8],
) -> Result<T, Failure> {
    reader
        .read_deser(rest)
        .map_err(|error| undecodable(format!("the body does not fit its schema: {error}")))
}

fn nothing_left(rest: &[u8]) -> Result<(), Failure> {
    match rest.len() {
        0 => Ok(()),
        left => Err(undecodable(format!(
            "{left} bytes are left behind the body"
        ))),
    }
}

fn split_meta(value: Value) -> Result<(Value, Option<EventMeta>), Failure> {
    let Value::Record(mut fields) = value else {
        return Err(undecodable("the value is not a record"));
    };
    let meta = match fields.iter().position(|(name, _)| name == META) {
        Some(at) => fields.swap_remove(at).1,
        None => return Ok((Value::Record(fields), None)),
    };
    let meta = meta
        .resolve(EventMeta::field_schema())
        .and_then(|meta| from_value(&meta))
        .map_err(|error| undecodable(format!("field meta is not an EventMeta: {error}")))?;
    Ok((Value::Record(fields), meta))
}

/// Encodes an event's body, without header and `meta`.
pub fn encode<E: Event>(event: &E) -> Result<Vec<u8>, Failure> {
    guarded(|| {
        E::schema()
            .body_writer()
            .write_ser_to_vec(event)
            .map_err(|error| unencodable(E::FULL_NAME, &error))
    })
}

/// Joins header, body and `meta` to a value.
pub fn join(schema_id: u32, body: &[u8], meta: Option<&EventMeta>) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::with_capacity(wire::HEADER_LENGTH + body.len() + 256);
    value.extend_from_slice(&wire::header(schema_id));
    value.extend_from_slice(body);
    match meta {
        Some(meta) => append_meta(&mut value, meta)?,
        None => value.push(NULL_META),
    }
    Ok(value)
}

/// Joins a value that was encoded with `meta` null to another `meta`.
pub fn with_meta(value_without_meta: &[u8], meta: &EventMeta) -> Result<Vec<u8>, Failure> {
    let Some((&NULL_META, body)) = value_without_meta.split_last() else {
        return Err(Failure::new(
            code::HANDLER_FAILED,
            "a remembered result is damaged",
        ));
    };
    let mut value = body.to_vec();
    append_meta(&mut value, meta)?;
    Ok(value)
}

fn append_meta(value: &mut Vec<u8>, meta: &EventMeta) -> Result<(), Failure> {
    META_WRITER
        .write_ser(value, &Some(meta))
        .map_err(|error| unencodable("meta", &error))?;
    Ok(())
}

/// Runs `work`; a panic in it is the value's fault, not a reason to stop the process.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(undecodable("the Avro library gave up on the value")))
}

fn undecodable(message: impl Into<String>) -> Failure {
    Failure::new(code::UNDECODABLE, message)
}

fn unencodable(what: &str, error: &apache_avro::Error) -> Failure {
    Failure::new(
        code::HANDLER_FAILED,
        format!("{what} does not fit its schema: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_meta_is_found_in_foreign_schemas_too() {
        let schema = |last: &str| {
            let json = format!(
                r#"{{"type": "record", "name": "t.T", "fields": [
                    {{"name": "text", "type": "string"}},
                    {{"name": "{last}", "type": ["null", "string"]}}]}}"#
            );
            WriterSchema::parse(1, &json).unwrap()
        };
        let bytes = [2, b'x', 2, 2, b'm'];
        let before = |last| Payload::new(&schema(last), &bytes).before_meta();
        assert_eq!(before("meta"), Ok(Some(2)));
        assert_eq!(before("other"), Ok(None));
    }

    #[test]
    fn the_digest_of_a_body_knows_maps_but_not_their_order() {
        let schema = r#"{"type": "record", "name": "t.T", "fields": [
            {"name": "tags", "type": {"type": "map", "values": {"type": "map", "values": "int"}}}]}"#;
        let writer = WriterSchema::parse(1, schema).unwrap();
        // One entry each: its name, then a map of one entry, then the end.
        let entry = |name: u8, number: u8| [2, name, 2, 2, b'x', number, 0];
        let digest = |entries: [[u8; 7]; 2]| {
            let body = [&[4], &entries.concat()[..], &[0]].concat();
            Payload::new(&writer, &body).body_digest().unwrap()
        };
        let (a, b) = (entry(b'a', 2), entry(b'b', 4));
        assert_eq!(digest([a, b]), digest([b, a]));
        assert_ne!(digest([a, b]), digest([a, entry(b'b', 6)]));
        assert_ne!(digest([a, b]), digest([a, entry(b'c', 4)]));
    }
}
