//! Foreign keys that are encoded in Avro.

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

use super::{Codec, DecodeError, body::guarded, whole::Whole};
use crate::code::{self, Failure};
use crate::wire;

impl Codec {
    /// The text of a key in Confluent's wire format: that of the record's field called `field`, or
    /// that of the key itself if it is no record.
    pub async fn key(&self, key: &[u8], field: &str) -> Result<String, DecodeError> {
        let (id, body) = wire::split(key).map_err(invalid)?;
        let schema = self.key_schema(id).await?;
        Ok(of_key(|| text(&schema, body, field))?)
    }

    async fn key_schema(&self, id: u32) -> Result<Arc<Schema>, DecodeError> {
        let ask = || {
            let json = self.registry.clone().schema_by_id(id);
            async move {
                let json = json.await?;
                let schema = of_key(|| {
                    Schema::parse_str(&json)
                        .map_err(|error| invalid(format!("schema {id} cannot be used: {error}")))
                })?;
                Ok(Arc::new(schema))
            }
        };
        self.keys.get(id, ask).await
    }
}

/// Runs `work` as [`guarded`] does; whatever is wrong, it is the key's fault.
fn of_key<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    guarded(work).map_err(|failure| Failure::new(code::INVALID_KEY, failure.message))
}

fn text(schema: &Schema, body: &[u8], field: &str) -> Result<String, Failure> {
    let mut rest = Whole(body);
    let value = GenericDatumReader::builder(schema)
        .build()
        .and_then(|reader| reader.read_value(&mut rest))
        .map_err(|error| invalid(format!("the key does not fit its schema: {error}")))?;
    if !rest.0.is_empty() {
        return Err(invalid(format!(
            "{} bytes are left behind the key",
            rest.0.len()
        )));
    }
    match value {
        Value::Record(fields) => {
            let found = fields.into_iter().find(|(name, _)| name == field);
            scalar(
                found
                    .ok_or_else(|| invalid(format!("the key has no field {field}")))?
                    .1,
            )
        }
        other => scalar(other),
    }
}

fn scalar(value: Value) -> Result<String, Failure> {
    match value {
        Value::String(text) | Value::Enum(_, text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        Value::Long(number) => Ok(number.to_string()),
        Value::Uuid(uuid) => Ok(uuid.to_string()),
        Value::Union(_, value) => scalar(*value),
        _ => Err(invalid(
            "the key is no string, integer, enum or UUID; name a field that is one as `guard-key-field`",
        )),
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(code::INVALID_KEY, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::writer::datum::GenericDatumWriter;

    fn key(schema: &str, value: Value) -> Result<String, Failure> {
        let schema = Schema::parse_str(schema).unwrap();
        let bytes = GenericDatumWriter::builder(&schema)
            .build()
            .and_then(|writer| writer.write_value_to_vec(value))
            .unwrap();
        text(&schema, &bytes, "id")
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
}
