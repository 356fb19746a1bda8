//! An event's fields out of JSON, checked against its schema: every mistake is found at once, by
//! the name of its field, and nothing is guessed or left out.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use apache_avro::types::Value as Avro;
use millstream_schemas::EventSchema;
use serde_json::{Map, Value};

use super::problem::FieldError;
use crate::codec::EncodedBody;

/// At most this many mistakes are listed.
const MAX_ERRORS: usize = 20;

/// Encodes an event's body.
pub fn encode(
    schema: &'static EventSchema,
    data: &Map<String, Value>,
) -> Result<EncodedBody, Vec<FieldError>> {
    let mut check = Check {
        root: &schema.body,
        errors: Vec::new(),
    };
    let value = match &schema.body {
        Schema::Record(record) => check.record(record, data, ""),
        _ => Avro::Null,
    };
    if !check.errors.is_empty() {
        check.errors.truncate(MAX_ERRORS);
        return Err(check.errors);
    }
    // Logical types get their own kind of value here.
    let encoded = value
        .resolve(&schema.body)
        .and_then(|value| schema.body_writer().write_value_to_vec(value));
    match encoded {
        Ok(bytes) => Ok(EncodedBody { schema, bytes }),
        Err(error) => Err(vec![FieldError {
            field: String::new(),
            detail: format!("cannot be encoded: {error}"),
        }]),
    }
}

/// JSON of a path parameter's text for this field: a number or boolean where the schema has one.
pub fn scalar(schema: &EventSchema, field: &str, text: String) -> Value {
    match field_of(schema, field).map(value_branch) {
        None | Some(Schema::String | Schema::Enum(_) | Schema::Bytes | Schema::Ref { .. }) => {
            Value::String(text)
        }
        // What is no number stays text, which the check then refuses.
        _ => match serde_json::from_str(&text) {
            Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
            _ => Value::String(text),
        },
    }
}

/// Seconds since 1970 in the unit of this field, a timestamp. What is no number of seconds is left
/// to the check.
pub fn time(schema: &EventSchema, field: &str, seconds: Value) -> Value {
    let units = match field_of(schema, field).map(value_branch) {
        Some(Schema::TimestampMillis | Schema::LocalTimestampMillis) => 1_000,
        Some(Schema::TimestampMicros | Schema::LocalTimestampMicros) => 1_000_000,
        Some(Schema::TimestampNanos | Schema::LocalTimestampNanos) => 1_000_000_000,
        _ => 1,
    };
    match seconds.as_i64() {
        // Beyond what the field holds it is no time.
        Some(seconds) => seconds.checked_mul(units).into(),
        None => seconds,
    }
}

/// The names of an event's fields.
pub fn names(schema: &'static EventSchema) -> impl Iterator<Item = &'static str> {
    let fields = match &schema.body {
        Schema::Record(record) => record.fields.as_slice(),
        _ => &[],
    };
    fields.iter().map(|field| field.name.as_str())
}

/// Whether a field holds bytes.
pub fn is_bytes(schema: &EventSchema, field: &str) -> bool {
    matches!(
        field_of(schema, field).map(value_branch),
        Some(Schema::Bytes)
    )
}

/// The schema of a field.
fn field_of<'s>(schema: &'s EventSchema, field: &str) -> Option<&'s Schema> {
    let Schema::Record(record) = &schema.body else {
        return None;
    };
    let found = record.fields.iter().find(|it| it.name == field)?;
    Some(&found.schema)
}

/// The schema of what an optional field holds when it holds something.
fn value_branch(schema: &Schema) -> &Schema {
    match schema {
        Schema::Union(union) => union
            .variants()
            .iter()
            .find(|variant| !matches!(variant, Schema::Null))
            .unwrap_or(schema),
        _ => schema,
    }
}

struct Check<'s> {
    root: &'s Schema,
    errors: Vec<FieldError>,
}

impl<'s> Check<'s> {
    fn wrong(&mut self, at: &str, detail: impl Into<String>) -> Avro {
        self.errors.push(FieldError {
            field: at.to_owned(),
            detail: detail.into(),
        });
        Avro::Null
    }

    fn record(&mut self, record: &'s RecordSchema, data: &Map<String, Value>, at: &str) -> Avro {
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let at = join(at, &field.name);
            let value = match data.get(&field.name).or(field.default.as_ref()) {
                Some(value) => self.value(&field.schema, value, &at),
                None if is_nullable(&field.schema) => self.value(&field.schema, &Value::Null, &at),
                None => self.wrong(&at, "is missing"),
            };
            fields.push((field.name.clone(), value));
        }
        for name in data.keys() {
            if !record.lookup.contains_key(name) {
                self.wrong(&join(at, name), "is not a field");
            }
        }
        Avro::Record(fields)
    }

    fn value(&mut self, schema: &'s Schema, value: &Value, at: &str) -> Avro {
        match (schema, value) {
            (Schema::Union(union), _) => {
                let null = union.variants().iter().position(|it| *it == Schema::Null);
                let other = union.variants().iter().position(|it| *it != Schema::Null);
                match (value, null, other) {
                    (Value::Null, Some(null), _) => Avro::Union(index(null), Box::new(Avro::Null)),
                    (_, _, Some(other)) => {
                        let inner = self.value(&union.variants()[other], value, at);
                        Avro::Union(index(other), Box::new(inner))
                    }
                    _ => self.wrong(at, "must be null"),
                }
            }
            (Schema::Null, Value::Null) => Avro::Null,
            (Schema::Boolean, Value::Bool(value)) => Avro::Boolean(*value),
            (Schema::Float, Value::Number(number)) => match number.as_f64() {
                #[expect(clippy::cast_possible_truncation, reason = "the schema asks for it")]
                Some(value) => Avro::Float(value as f32),
                None => self.wrong(at, expected(schema)),
            },
            (Schema::Double, Value::Number(number)) => match number.as_f64() {
                Some(value) => Avro::Double(value),
                None => self.wrong(at, expected(schema)),
            },
            (Schema::String | Schema::Uuid(_), Value::String(text)) => Avro::String(text.clone()),
            (Schema::Bytes, Value::String(text)) => Avro::Bytes(text.clone().into_bytes()),
            (Schema::Bytes, Value::Array(items)) => {
                let bytes = items.iter().map(|item| u8::try_from(item.as_u64()?).ok());
                match bytes.collect() {
                    Some(bytes) => Avro::Bytes(bytes),
                    None => self.wrong(at, expected(schema)),
                }
            }
            (Schema::Enum(symbols), Value::String(text)) => {
                match symbols.symbols.iter().position(|it| it == text) {
                    Some(at) => Avro::Enum(index(at), text.clone()),
                    None => {
                        self.wrong(at, format!("must be one of {}", symbols.symbols.join(", ")))
                    }
                }
            }
            (Schema::Array(array), Value::Array(items)) => Avro::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(number, item)| {
                        self.value(&array.items, item, &format!("{at}[{number}]"))
                    })
                    .collect(),
            ),
            (Schema::Map(map), Value::Object(entries)) => Avro::Map(
                entries
                    .iter()
                    .map(|(name, item)| {
                        (name.clone(), self.value(&map.types, item, &join(at, name)))
                    })
                    .collect(),
            ),
            (Schema::Record(record), Value::Object(data)) => self.record(record, data, at),
            (Schema::Ref { name }, _) => match find(self.root, &name.fullname(None)) {
                Some(schema) => self.value(schema, value, at),
                None => self.wrong(at, "has a type that this schema does not contain"),
            },
            (Schema::Int | Schema::Date | Schema::TimeMillis, Value::Number(number)) => {
                match number.as_i64().and_then(|value| i32::try_from(value).ok()) {
                    Some(value) => Avro::Int(value),
                    None => self.wrong(at, expected(schema)),
                }
            }
            (
                Schema::Long
                | Schema::TimeMicros
                | Schema::TimestampMillis
                | Schema::TimestampMicros
                | Schema::TimestampNanos
                | Schema::LocalTimestampMillis
                | Schema::LocalTimestampMicros
                | Schema::LocalTimestampNanos,
                Value::Number(number),
            ) => match number.as_i64() {
                Some(value) => Avro::Long(value),
                None => self.wrong(at, expected(schema)),
            },
            _ => self.wrong(at, expected(schema)),
        }
    }
}

fn is_nullable(schema: &Schema) -> bool {
    match schema {
        Schema::Null => true,
        Schema::Union(union) => union.variants().contains(&Schema::Null),
        _ => false,
    }
}

/// Unions and enums of ours are far smaller.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn expected(schema: &Schema) -> &'static str {
    match schema {
        Schema::Boolean => "must be true or false",
        Schema::Int | Schema::Date | Schema::TimeMillis => "must be an integer of 32 bits",
        Schema::Float | Schema::Double => "must be a number",
        Schema::String | Schema::Uuid(_) | Schema::Enum(_) => "must be a string",
        Schema::Bytes => "must be a string or an array of bytes",
        Schema::Array(_) => "must be an array",
        Schema::Map(_) | Schema::Record(_) => "must be an object",
        Schema::Null => "must be null",
        _ => "must be an integer of 64 bits",
    }
}

fn join(at: &str, name: &str) -> String {
    match at {
        "" => name.to_owned(),
        _ => format!("{at}.{name}"),
    }
}

/// The record or enum of this name within `schema`.
pub fn find<'s>(schema: &'s Schema, full_name: &str) -> Option<&'s Schema> {
    if schema
        .name()
        .is_some_and(|name| name.fullname(None) == full_name)
        && !matches!(schema, Schema::Ref { .. })
    {
        return Some(schema);
    }
    match schema {
        Schema::Record(record) => record
            .fields
            .iter()
            .find_map(|field| find(&field.schema, full_name)),
        Schema::Array(array) => find(&array.items, full_name),
        Schema::Map(map) => find(&map.types, full_name),
        Schema::Union(union) => union.variants().iter().find_map(|it| find(it, full_name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Payload, WriterSchema, join};
    use crate::wire;
    use millstream_topics::TOPICS;
    use serde_json::json;

    fn schemas() -> impl Iterator<Item = &'static EventSchema> {
        let topics = TOPICS.iter().flat_map(|topic| topic.events);
        topics.map(|event| (event.schema)())
    }

    #[test]
    fn seconds_become_the_field_s_unit() {
        let schema = schemas()
            .find(|schema| schema.full_name.ends_with(".ProviderEvent"))
            .unwrap();
        let created = |seconds: Value| time(schema, "created", seconds);
        assert_eq!(
            created(json!(1_633_025_000)),
            json!(1_633_025_000_000_000_i64)
        );
        assert_eq!(created(json!(i64::MAX)), Value::Null);
        for strange in [json!("soon"), json!(1.5), json!([1])] {
            assert_eq!(created(strange.clone()), strange);
        }
    }

    /// What is encoded is what every other producer's example is decoded to.
    #[test]
    fn every_example_is_encoded_as_it_is_read() {
        for schema in schemas() {
            let example: Value = serde_json::from_str(schema.example).unwrap();
            let body = encode(schema, example.as_object().unwrap()).unwrap();
            let value = join(1, &body.bytes, None).unwrap();
            let writer = WriterSchema::parse(1, schema.json).unwrap();
            let payload = Payload::new(&writer, wire::split(&value).unwrap().1);
            let (read, _) = payload.generic().unwrap();
            let read = Value::try_from(read).unwrap();
            for (name, value) in example.as_object().unwrap() {
                let text = matches!(&read[name], Value::Array(_)) && value.is_string();
                assert!(text || read[name] == *value, "{}: {name}", schema.full_name);
            }
        }
    }

    /// Whatever a client sends in a field, it is refused or it is encoded: nothing panics.
    #[test]
    fn anything_else_is_refused_by_its_name() {
        let strange = [
            json!(null),
            json!(true),
            json!(1e300),
            json!(u64::MAX),
            json!(-1),
            json!("x"),
            json!([1, "x", [null]]),
            json!({ "x": { "y": [] } }),
        ];
        for schema in schemas() {
            let example: Map<String, Value> = serde_json::from_str(schema.example).unwrap();
            for name in example.keys() {
                for value in &strange {
                    let mut data = example.clone();
                    data.insert(name.clone(), value.clone());
                    if let Err(errors) = encode(schema, &data) {
                        assert!(errors.iter().all(|it| it.field.starts_with(name.as_str())));
                    }
                }
                let mut unknown = example.clone();
                unknown.insert("no such field".into(), json!(1));
                let errors = encode(schema, &unknown).unwrap_err();
                assert_eq!(errors[0].field, "no such field");
            }
        }
    }
}
