//! Body and `meta` of a record.
//!
//! `meta` is the last field of every record of ours, and Avro encodes a record as its fields one
//! after the other. So the two are encoded apart and joined, and a body can be kept and joined to
//! another `meta` later.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::ResolvedSchema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, from_value};
use millstream_events::{Event, EventMeta, EventSchema};

use super::fit;
use super::maps::take_maps;
use super::meta;
use super::writer::{WriterRecord, WriterSchema, does_not_fit};
use crate::failure::{self, Failure};
use crate::record::digest::digest_of_joined;
use crate::record::wire;
use millstream_avro::Whole;
use millstream_avro::limits::{Walked, with_stack};

/// Name of the field that holds [`EventMeta`].
pub(super) const META: &str = "meta";
/// Encoding of `meta` null: the first branch of the union.
const NULL_META: u8 = 0;

/// What a value holds.
#[derive(Debug)]
pub struct Parts<E> {
    /// The event.
    pub event: E,
    /// The field `meta`.
    pub meta: Option<EventMeta>,
}

/// The record in a value, with the schema it was written with. It was walked, so decoding it takes
/// a bounded stack and bounded memory.
#[derive(Debug)]
pub struct Payload<'b> {
    writer: &'b WriterRecord,
    bytes: &'b [u8],
    /// What decoding it takes.
    pub(super) walked: Walked,
}

impl<'b> Payload<'b> {
    /// A body written with `writer`; an error if it does not fit that schema or the limits of this
    /// module.
    pub fn new(writer: &'b WriterSchema, body: &'b [u8]) -> Result<Self, Failure> {
        let (record, bytes) = writer.record(body)?;
        Self::of(record, bytes)
    }

    /// The same of the record alone.
    pub(super) fn of(writer: &'b WriterRecord, bytes: &'b [u8]) -> Result<Self, Failure> {
        let walked = writer.limited.walk(bytes);
        let walked = walked.map_err(|error| does_not_fit(writer.id, &error))?;
        Ok(Self {
            writer,
            bytes,
            walked,
        })
    }

    /// The record's full name.
    pub fn full_name(&self) -> &str {
        &self.writer.full_name
    }

    /// Runs `work` on it as [`guarded`] does, where the stack has room for it.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        with_stack(self.walked.depth, || guarded(work))
    }

    /// Decodes the body as `E`, and `meta`.
    pub fn decode<E: Event>(&self) -> Result<Parts<E>, Failure> {
        self.guarded(|| {
            if !self.writer.is_ours(E::schema()) {
                return self.resolve();
            }
            let mut rest = self.bytes;
            let event = read(E::schema().body_reader(), &mut rest)?;
            let meta =
                meta::take(&mut rest).map_err(|error| does_not_fit(self.writer.id, &error))?;
            nothing_left(rest)?;
            Ok(Parts { event, meta })
        })
    }

    /// Whether the body can be decoded as the event with this schema.
    pub fn fits(&self, schema: &EventSchema) -> Result<(), Failure> {
        self.guarded(|| {
            let (body, _) = split_meta(self.value()?)?;
            if self.writer.is_ours(schema) {
                return Ok(());
            }
            self.resolved(body, &schema.body).map(|_| ())
        })
    }

    /// `meta` of a value whose body cannot be decoded as any declared event, or not at all.
    pub fn meta_alone(&self) -> Option<EventMeta> {
        let meta = self.guarded(|| match self.before_meta() {
            Some(length) if self.writer.has_our_meta => {
                let mut rest = &self.bytes[length..];
                meta::take(&mut rest).map_err(|error| does_not_fit(self.writer.id, &error))
            }
            Some(length) => self.last_field(length).and_then(event_meta),
            None => self.value().and_then(|value| Ok(split_meta(value)?.1)),
        });
        meta.ok().flatten()
    }

    /// The last field, which stands behind so many bytes.
    fn last_field(&self, before: usize) -> Result<Value, Failure> {
        let schema = &self.writer.limited.schema;
        let field = match schema {
            Schema::Record(record) => record.fields.last(),
            _ => None,
        };
        let field = field.ok_or_else(|| undecodable("the record has no field"))?;
        let types = ResolvedSchema::new(schema);
        let value = types.and_then(|types| {
            let reader = GenericDatumReader::builder(&field.schema);
            let reader = reader.resolved_writer_schemata(types).build()?;
            reader.read_value(&mut Whole(&self.bytes[before..]))
        });
        value.map_err(|error| does_not_fit(self.writer.id, &error.to_string()))
    }

    /// Any record as a generic value, with `meta` apart.
    pub fn generic(&self) -> Result<(Value, Option<EventMeta>), Failure> {
        self.guarded(|| split_meta(self.value()?))
    }

    /// Any record as JSON, with `meta` apart.
    pub fn in_json(&self) -> Result<(serde_json::Value, Option<EventMeta>), Failure> {
        self.guarded(|| {
            let (value, meta) = split_meta(self.value()?)?;
            let json = serde_json::Value::try_from(value)
                .map_err(|error| undecodable(format!("the body has no form in JSON: {error}")))?;
            Ok((json, meta))
        })
    }

    /// Digest of the body with `meta` null, in the writer's schema. Where it has maps, only what is left
    /// when they are put in order counts: the Avro library keeps them in none.
    pub fn body_digest(&self) -> Result<[u8; 32], Failure> {
        match self.before_meta() {
            Some(length) if !self.writer.limited.has_maps() => {
                let (body, _) = self.bytes.split_at(length);
                Ok(digest_of_joined(&[body, &[NULL_META]]))
            }
            _ => self.digest_in_order(),
        }
    }

    fn digest_in_order(&self) -> Result<[u8; 32], Failure> {
        self.guarded(|| {
            let Value::Record(mut fields) = self.value()? else {
                return Err(undecodable("the value is not a record"));
            };
            let mut maps = Vec::new();
            for (name, value) in &mut fields {
                if name == META {
                    *value = Value::Union(0, Box::new(Value::Null));
                }
                take_maps(value, &mut maps);
            }
            let body = GenericDatumWriter::builder(&self.writer.limited.schema)
                .build()
                .and_then(|writer| writer.write_value_to_vec(Value::Record(fields)))
                .map_err(|error| undecodable(error.to_string()))?;
            Ok(crate::record::digest::digest(&[&body, &maps.concat()]))
        })
    }

    /// How many of the record's bytes stand before `meta`; `None` unless that is the last field.
    pub fn before_meta(&self) -> Option<usize> {
        self.walked
            .before_last
            .filter(|_| self.writer.ends_with_meta)
    }

    /// Where in `value`, whose payload this is, those bytes stand.
    pub(super) fn body_at(&self, value: &[u8]) -> Option<Range<usize>> {
        let begin = value.len() - self.bytes.len();
        Some(begin..begin + self.before_meta()?)
    }

    /// By Avro's rules from the writer's schema to ours.
    fn resolve<E: Event>(&self) -> Result<Parts<E>, Failure> {
        let (body, meta) = split_meta(self.value()?)?;
        let body = self.resolved(body, &E::schema().body)?;
        let event = from_value(&body).map_err(|error| undecodable(error.to_string()))?;
        Ok(Parts { event, meta })
    }

    fn resolved(&self, body: Value, ours: &Schema) -> Result<Value, Failure> {
        fit::resolve(body, ours).map_err(|error| {
            undecodable(format!(
                "schema {} does not resolve to ours: {error}",
                self.writer.id
            ))
        })
    }

    fn value(&self) -> Result<Value, Failure> {
        let mut rest = Whole(self.bytes);
        let value = GenericDatumReader::builder(&self.writer.limited.schema)
            .build()
            .and_then(|reader| reader.read_value(&mut rest))
            .map_err(|error| does_not_fit(self.writer.id, &error.to_string()))?;
        nothing_left(rest.0)?;
        Ok(value)
    }
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
    Ok((Value::Record(fields), event_meta(meta)?))
}

fn event_meta(meta: Value) -> Result<Option<EventMeta>, Failure> {
    fit::resolve(meta, EventMeta::field_schema())
        .and_then(|meta| from_value(&meta).map_err(|error| error.to_string()))
        .map_err(|error| undecodable(format!("field meta is not an EventMeta: {error}")))
}

/// Joins header, body and `meta` to a value.
pub fn join(schema_id: u32, body: &[u8], meta: Option<&EventMeta>) -> Vec<u8> {
    let mut value = Vec::with_capacity(wire::HEADER_LENGTH + body.len() + 384);
    value.extend_from_slice(&wire::header(schema_id));
    value.extend_from_slice(body);
    match meta {
        Some(meta) => meta::put(&mut value, meta),
        None => value.push(NULL_META),
    }
    value
}

/// A result that is remembered cannot be repeated.
pub fn damaged(error: impl std::fmt::Display) -> Failure {
    let message = format!("a remembered result is damaged: {error}");
    Failure::new(failure::HANDLER_FAILED, message)
}

/// Joins a value that was encoded with `meta` null to another `meta`.
pub fn with_meta(value_without_meta: &[u8], meta: &EventMeta) -> Result<Vec<u8>, Failure> {
    let Some((&NULL_META, body)) = value_without_meta.split_last() else {
        return Err(damaged("it has a `meta` already"));
    };
    let mut value = body.to_vec();
    meta::put(&mut value, meta);
    Ok(value)
}

/// Runs `work`; a panic in it is the value's fault, not a reason to stop the process.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(undecodable("the Avro library gave up on the value")))
}

pub(super) fn undecodable(message: impl Into<String>) -> Failure {
    Failure::new(failure::UNDECODABLE, message)
}

pub(super) fn unencodable(what: &str, error: &apache_avro::Error) -> Failure {
    Failure::new(
        failure::HANDLER_FAILED,
        format!("{what} does not fit its schema: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

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
        let before = |last| Payload::new(&schema(last), &bytes).unwrap().before_meta();
        assert_eq!(before("meta"), Some(2));
        assert_eq!(before("other"), None);
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
            Payload::new(&writer, &body).unwrap().body_digest().unwrap()
        };
        let (a, b) = (entry(b'a', 2), entry(b'b', 4));
        assert_eq!(digest([a, b]), digest([b, a]));
        assert_ne!(digest([a, b]), digest([a, entry(b'b', 6)]));
        assert_ne!(digest([a, b]), digest([a, entry(b'c', 4)]));
    }

    /// One of our events with a map, as its code is generated.
    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Tagged {
        tags: std::collections::BTreeMap<String, i32>,
    }

    impl Event for Tagged {
        const FULL_NAME: &'static str = "t.Tagged";

        fn schema() -> &'static EventSchema {
            static SCHEMA: LazyLock<EventSchema> = LazyLock::new(|| {
                let json = format!(
                    r#"{{"type": "record", "name": "Tagged", "namespace": "t", "fields": [
                        {{"name": "tags", "type": {{"type": "map", "values": "int"}}}},
                        {{"name": "meta", "type": ["null", {}], "default": null}}]}}"#,
                    EventMeta::JSON
                );
                EventSchema::of_generated("t.Tagged", json.leak(), "{}")
            });
            &SCHEMA
        }
    }

    /// A workflow's command is digested where it starts the run, and by the run, which compares the
    /// two: also if it has a map, and its producer writes that in another order.
    #[test]
    fn an_event_of_ours_has_one_digest_whoever_asks() {
        use crate::codec::{Decoded, Digested, EncodedBody};
        let writer = WriterSchema::parse(1, Tagged::schema().json).unwrap();
        let meta = |key: Option<&str>| EventMeta {
            id: "id".into(),
            idempotency_key: key.map(str::to_owned),
            ..EventMeta::default()
        };
        let value = |tags: &[(&str, i32)], key| {
            let tags = tags.iter().map(|(name, tag)| ((*name).to_owned(), *tag));
            let tags = tags.collect();
            let body = EncodedBody::of_event(&Tagged { tags }).unwrap();
            join(1, &body.bytes, Some(&meta(key)))
        };
        let decoded = |value: &[u8], digested| -> Decoded<Tagged> {
            let payload = Payload::new(&writer, &value[wire::HEADER_LENGTH..]).unwrap();
            payload.decode_as(value, digested)
        };
        for tags in [&[][..], &[("a", 1)], &[("a", 1), ("b", 2)]] {
            let (plain, keyed) = (value(tags, None), value(tags, Some("k")));
            let of = |value: &[u8], digested| decoded(value, digested).body_digest;
            assert_eq!(of(&plain, Digested::WithKey), None, "nobody needs it");
            let always = of(&plain, Digested::Always).unwrap().unwrap();
            assert_eq!(of(&keyed, Digested::Always), Some(Ok(always)));
            assert_eq!(of(&keyed, Digested::WithKey), Some(Ok(always)));
            let payload = Payload::new(&writer, &plain[wire::HEADER_LENGTH..]).unwrap();
            assert_eq!(payload.body_digest(), Ok(always));
            assert_eq!(
                decoded(&plain, Digested::Always).event.unwrap().tags.len(),
                tags.len()
            );
        }
        let other = decoded(&value(&[("a", 2)], None), Digested::Always);
        let one = decoded(&value(&[("a", 1)], None), Digested::Always);
        assert_ne!(one.body_digest, other.body_digest);
    }
}
