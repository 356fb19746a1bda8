//! An event's fields out of JSON, checked against its schema: every mistake is found at once, by
//! the name of its field, and nothing is guessed or left out. For the gateway and for `produce`.

use apache_avro::Schema;
use apache_avro::schema::{RecordSchema, UnionSchema};
use apache_avro::types::Value as Avro;
use millstream_events::EventSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::codec::EncodedBody;
use crate::codec::text;

/// At most this many mistakes are listed.
pub const MAX_ERRORS: usize = 20;
/// Unions in unions are tried branch by branch; what takes more steps is given up.
const MAX_STEPS: usize = 1_000_000;

/// What is wrong with a field of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Way to the field, such as `flight.flight_id` or `lines[0]`; empty: the data as a whole.
    pub field: String,
    /// What it must be.
    pub detail: String,
}

impl FieldError {
    /// A mistake in this field.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            detail: detail.into(),
        }
    }
}

/// Encodes an event's body.
pub fn encode(
    schema: &'static EventSchema,
    data: &Map<String, Value>,
) -> Result<EncodedBody, Vec<FieldError>> {
    encode_at(schema, data, "")
}

/// As [`encode`], where the data is found under a name.
pub fn encode_at(
    schema: &'static EventSchema,
    data: &Map<String, Value>,
    at: &str,
) -> Result<EncodedBody, Vec<FieldError>> {
    let value = fit(&schema.body, |check| match &schema.body {
        Schema::Record(record) => check.record(record, data, at),
        _ => Avro::Null,
    })?;
    match schema.body_writer().write_value_to_vec(value) {
        Ok(bytes) => Ok(EncodedBody { schema, bytes }),
        Err(error) => Err(vec![not_encoded(&error)]),
    }
}

/// Any value of a schema, which is found under the name `at`.
pub fn value(schema: &Schema, json: &Value, at: &str) -> Result<Avro, Vec<FieldError>> {
    fit(schema, |check| check.value(schema, json, at))
}

fn fit<'s>(
    root: &'s Schema,
    work: impl FnOnce(&mut Check<'s>) -> Avro,
) -> Result<Avro, Vec<FieldError>> {
    let mut check = Check {
        root,
        errors: Vec::new(),
        steps: 0,
    };
    let value = work(&mut check);
    if !check.errors.is_empty() {
        check.errors.truncate(MAX_ERRORS);
        return Err(check.errors);
    }
    // Logical types get their own kind of value here.
    value
        .resolve(root)
        .map_err(|error| vec![not_encoded(&error)])
}

fn not_encoded(error: &apache_avro::Error) -> FieldError {
    FieldError::new("", format!("cannot be encoded: {error}"))
}

/// JSON of a path parameter's text for this field: a number or boolean where the schema has one.
pub fn scalar(schema: &EventSchema, field: &str, text: String) -> Value {
    match field_of(schema, field).map(value_branch) {
        None | Some(Schema::String | Schema::Enum(_) | Schema::Bytes | Schema::Ref { .. }) => {
            Value::String(text)
        }
        // What is no number stays text, which the check then refuses.
        _ => match text::parse(text.as_bytes()) {
            Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
            _ => Value::String(text),
        },
    }
}

/// Seconds since 1970 in the unit of this field, a timestamp. What is no number of seconds is left
/// to the check.
pub fn time(schema: &EventSchema, field: &str, seconds: Value) -> Value {
    match seconds.as_number().and_then(text::integer) {
        // Beyond what the field holds it is no time.
        Some(whole) => whole.checked_mul(units_per_second(schema, field)).into(),
        None => seconds,
    }
}

/// How many of this field's units, a timestamp's, are a second.
pub fn units_per_second(schema: &EventSchema, field: &str) -> i64 {
    match field_of(schema, field).map(value_branch) {
        Some(Schema::TimestampMillis | Schema::LocalTimestampMillis) => 1_000,
        Some(Schema::TimestampMicros | Schema::LocalTimestampMicros) => 1_000_000,
        Some(Schema::TimestampNanos | Schema::LocalTimestampNanos) => 1_000_000_000,
        _ => 1,
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

/// Whether what a field holds may have a member of this name.
pub fn has_member(field: &Schema, name: &str) -> bool {
    match value_branch(field) {
        Schema::Record(record) => record.fields.iter().any(|it| it.name == name),
        Schema::Map(_) => true,
        _ => false,
    }
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
    steps: usize,
}

impl<'s> Check<'s> {
    fn wrong(&mut self, at: &str, detail: impl Into<String>) -> Avro {
        self.errors.push(FieldError::new(at, detail));
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
            // The schema's own lookup knows aliases, too, under which nothing is read here.
            if !record.fields.iter().any(|field| field.name == *name) {
                self.wrong(&join(at, name), "is not a field");
            }
        }
        Avro::Record(fields)
    }

    fn union(&mut self, union: &'s UnionSchema, value: &Value, at: &str) -> Avro {
        let branches = union.variants().iter().enumerate();
        let null = union.variants().iter().position(|it| *it == Schema::Null);
        if let (Value::Null, Some(null)) = (value, null) {
            return Avro::Union(index(null), Box::new(Avro::Null));
        }
        let others: Vec<_> = branches.filter(|(at, _)| Some(*at) != null).collect();
        match others[..] {
            [] => self.wrong(at, "must be null"),
            [(number, branch)] => {
                let inner = self.value(branch, value, at);
                Avro::Union(index(number), Box::new(inner))
            }
            _ => {
                let before = self.errors.len();
                for (number, branch) in others {
                    let inner = self.value(branch, value, at);
                    if self.errors.len() == before {
                        return Avro::Union(index(number), Box::new(inner));
                    }
                    self.errors.truncate(before);
                }
                self.wrong(at, "fits no branch of its union")
            }
        }
    }

    fn value(&mut self, schema: &'s Schema, value: &Value, at: &str) -> Avro {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.wrong(at, "takes too long to be compared with its unions");
        }
        match (schema, value) {
            (Schema::Union(union), _) => self.union(union, value, at),
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
            (Schema::String, Value::String(text)) => Avro::String(text.clone()),
            (Schema::Uuid(_), Value::String(text)) => match uuid::Uuid::parse_str(text) {
                Ok(uuid) => Avro::Uuid(uuid),
                Err(_) => self.wrong(at, expected(schema)),
            },
            (
                Schema::Bytes
                | Schema::Fixed(_)
                | Schema::Decimal(_)
                | Schema::BigDecimal
                | Schema::Duration(_),
                Value::String(_) | Value::Array(_),
            ) => match (schema, bytes(value)) {
                (Schema::Fixed(fixed) | Schema::Duration(fixed), Some(bytes))
                    if bytes.len() == fixed.size =>
                {
                    Avro::Fixed(bytes.len(), bytes)
                }
                (Schema::Fixed(fixed) | Schema::Duration(fixed), _) => {
                    self.wrong(at, format!("must be {} bytes", fixed.size))
                }
                (_, Some(bytes)) => Avro::Bytes(bytes),
                (_, None) => self.wrong(at, expected(schema)),
            },
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
                match text::integer(number).and_then(|value| i32::try_from(value).ok()) {
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
            ) => match text::integer(number) {
                Some(value) => Avro::Long(value),
                None => self.wrong(at, expected(schema)),
            },
            _ => self.wrong(at, expected(schema)),
        }
    }
}

/// Bytes as text, or as an array of numbers.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(items) => items
            .iter()
            .map(|item| u8::try_from(item.as_u64()?).ok())
            .collect(),
        _ => None,
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
        Schema::String | Schema::Enum(_) => "must be a string",
        Schema::Uuid(_) => "must be a UUID",
        Schema::Bytes
        | Schema::Fixed(_)
        | Schema::Decimal(_)
        | Schema::BigDecimal
        | Schema::Duration(_) => "must be a string or an array of bytes",
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
    use crate::record::wire;
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
            let value = join(1, &body.bytes, None);
            let writer = WriterSchema::parse(1, schema.json).unwrap();
            let payload = Payload::new(&writer, wire::split(&value).unwrap().1).unwrap();
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

#[cfg(test)]
mod foreign;
