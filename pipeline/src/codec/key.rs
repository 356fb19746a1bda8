//! Foreign keys that are encoded in Avro.

use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Codec, DecodeError, SchemaText, body::guarded, parsed};
use crate::failure::{self, Failure};
use crate::record::wire;
use millstream_avro::Whole;
use millstream_avro::limits::Limited;

impl Codec {
    /// The text of a key in Confluent's wire format: that of the record's field called `field`, or
    /// that of the key itself if it is no record.
    pub async fn key(&self, key: &[u8], field: &str) -> Result<String, DecodeError> {
        let (id, body) = wire::split(key).map_err(invalid)?;
        let schema = self.key_schema(id).await?;
        let walked = schema.limited.walk(body).map_err(does_not_fit)?;
        let text = || of_key(|| schema.text(body, field));
        Ok(self.leisure.run(walked, text).await?)
    }

    async fn key_schema(&self, id: u32) -> Result<Arc<KeySchema>, DecodeError> {
        let ask = || {
            let text = self.registry.clone().schema_by_id(id);
            async move { Ok(parsed(text.await?, move |text| KeySchema::parse(id, text)).await) }
        };
        Ok(self.keys.get(id, ask).await??)
    }
}

/// A schema that keys were written with, which need not be records.
#[derive(Debug)]
pub struct KeySchema {
    limited: Limited,
    /// What of it is text that should be a UUID: fields, or the key itself (`""`). Where it is one,
    /// all ways to write it are one key.
    uuids: Vec<String>,
}

impl KeySchema {
    fn parse(id: u32, text: impl Into<SchemaText>) -> Result<Self, Failure> {
        let text = text.into();
        let unusable = |error| invalid(format!("schema {id} cannot be used: {error}"));
        of_key(|| {
            let uuids = uuids(&text.text);
            let limited = Limited::parse(text).map_err(unusable)?;
            Ok(Self { limited, uuids })
        })
    }

    fn text(&self, body: &[u8], field: &str) -> Result<String, Failure> {
        let value = GenericDatumReader::builder(&self.limited.schema)
            .build()
            .and_then(|reader| reader.read_value(&mut Whole(body)))
            .map_err(|error| does_not_fit(error.to_string()))?;
        match unwrapped(value) {
            Value::Record(fields) => {
                let found = fields.into_iter().find(|(name, _)| name == field);
                let found =
                    found.ok_or_else(|| invalid(format!("the key has no field {field}")))?;
                self.scalar(field, found.1)
            }
            other => self.scalar("", other),
        }
    }

    /// The text of the field `name`, or of the key itself.
    fn scalar(&self, name: &str, value: Value) -> Result<String, Failure> {
        match unwrapped(value) {
            Value::String(text) if self.uuids.iter().any(|it| it == name) => {
                Ok(Uuid::parse_str(&text).map_or(text, |uuid| uuid.to_string()))
            }
            Value::String(text) | Value::Enum(_, text) => Ok(text),
            Value::Int(number) | Value::Date(number) | Value::TimeMillis(number) => {
                Ok(number.to_string())
            }
            Value::Long(number)
            | Value::TimeMicros(number)
            | Value::TimestampMillis(number)
            | Value::TimestampMicros(number)
            | Value::TimestampNanos(number)
            | Value::LocalTimestampMillis(number)
            | Value::LocalTimestampMicros(number)
            | Value::LocalTimestampNanos(number) => Ok(number.to_string()),
            Value::Uuid(uuid) => Ok(uuid.to_string()),
            _ => Err(invalid(
                "the key is no string, integer, enum or UUID; name a field that is one as `guard-key-field`",
            )),
        }
    }
}

/// A value without the unions around it.
fn unwrapped(mut value: Value) -> Value {
    while let Value::Union(_, inner) = value {
        value = *inner;
    }
    value
}

/// The fields of a schema's text that are text and should be UUIDs; `""`: the schema itself.
fn uuids(text: &str) -> Vec<String> {
    let schema: Json = serde_json::from_str(text).unwrap_or_default();
    let Some(fields) = schema.get("fields").and_then(Json::as_array) else {
        return is_uuid(&schema).then(String::new).into_iter().collect();
    };
    let names = fields.iter().filter(|field| is_uuid(&field["type"]));
    let names = names.filter_map(|field| field["name"].as_str());
    names.map(str::to_owned).collect()
}

fn is_uuid(schema: &Json) -> bool {
    match schema {
        Json::Array(branches) => branches.iter().any(is_uuid),
        schema => schema["logicalType"] == "uuid" || schema["type"]["logicalType"] == "uuid",
    }
}

/// Runs `work` as [`guarded`] does; whatever is wrong, it is the key's fault.
fn of_key<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    guarded(work).map_err(|failure| Failure::new(failure::INVALID_KEY, failure.message))
}

fn does_not_fit(error: String) -> Failure {
    invalid(format!("the key does not fit its schema: {error}"))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(failure::INVALID_KEY, message)
}

#[cfg(test)]
mod tests {
    use apache_avro::writer::datum::GenericDatumWriter;

    use super::*;

    fn key(schema: &str, value: Value) -> Result<String, Failure> {
        let parsed = KeySchema::parse(1, schema)?;
        let bytes = GenericDatumWriter::builder(&parsed.limited.schema)
            .build()
            .and_then(|writer| writer.write_value_to_vec(value))
            .unwrap();
        parsed.text(&bytes, "id")
    }

    #[test]
    fn a_key_is_the_field_or_the_value_itself() {
        let record = r#"{"type": "record", "name": "K", "fields": [
            {"name": "tenant", "type": "string"}, {"name": "id", "type": ["null", "long"]}]}"#;
        let fields = |id: Value| {
            Value::Record(vec![
                ("tenant".into(), Value::String("t".into())),
                ("id".into(), id),
            ])
        };
        let seven = Value::Union(1, Box::new(Value::Long(7)));
        assert_eq!(key(record, fields(seven)).unwrap(), "7");
        assert_eq!(key(r#""string""#, Value::String("k".into())).unwrap(), "k");
        let null = Value::Union(0, Box::new(Value::Null));
        assert!(key(record, fields(null)).is_err());
        let other = r#"{"type": "record", "name": "K", "fields": [{"name": "a", "type": "int"}]}"#;
        let failure = key(other, Value::Record(vec![("a".into(), Value::Int(1))])).unwrap_err();
        assert!(failure.message.contains("no field id"), "{failure}");
    }

    #[test]
    fn a_uuid_is_one_key_however_it_is_written_and_other_text_is_taken_as_it_is() {
        let lower = "0191d0f7-2f0a-7c55-9e5c-0f5a1c0f5a1c";
        let uuid = r#"{"type": "string", "logicalType": "uuid"}"#;
        let record = |kind: &str| {
            format!(
                r#"{{"type": "record", "name": "K", "fields": [{{"name": "id", "type": {kind}}}]}}"#
            )
        };
        let field = |text: &str| Value::Record(vec![("id".into(), Value::String(text.into()))]);
        let plain = record(r#""string""#);
        for (written, of_uuid, of_text) in [
            (lower, lower, lower),
            (&*lower.to_uppercase(), lower, &*lower.to_uppercase()),
            ("no uuid", "no uuid", "no uuid"),
        ] {
            let text = Value::String(written.into());
            assert_eq!(key(uuid, text.clone()).unwrap(), of_uuid);
            assert_eq!(key(&record(uuid), field(written)).unwrap(), of_uuid);
            assert_eq!(key(&plain, field(written)).unwrap(), of_text);
        }
    }

    #[test]
    fn a_union_at_the_root_is_the_record_of_its_branch() {
        let schema = r#"["null", {"type": "record", "name": "dbserver-1.inventory.Key", "fields": [
            {"name": "id", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}]"#;
        let fields = Value::Record(vec![("id".into(), Value::TimestampMillis(7))]);
        assert_eq!(key(schema, Value::Union(1, Box::new(fields))).unwrap(), "7");
        assert!(key(schema, Value::Union(0, Box::new(Value::Null))).is_err());
    }
}
