//! Avro schemas as JSON Schema, in the JSON that the gateway reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::schema::{RecordField, RecordSchema};
use millstream_events::EventSchema;
use serde_json::{Map, Value, json};

/// Which way the JSON goes.
///
/// What is sent holds nothing that is not described. What is told may get more members with a later
/// version, so a client must not refuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a client.
    Sent,
    /// To a client.
    Told,
}

/// Definitions by name, as an OpenAPI document collects them.
#[derive(Debug, Default)]
pub struct Schemas {
    definitions: BTreeMap<String, Value>,
    /// The records of events that are sent; as parts of what is told they have names of their own.
    sent: BTreeSet<String>,
}

impl Schemas {
    /// For documents in which these events are sent.
    pub fn new<'e>(events: impl Iterator<Item = &'e EventSchema>) -> Self {
        let mut schemas = Self::default();
        for event in events {
            records(&event.body, &mut schemas.sent);
        }
        schemas
    }

    /// Adds an event's body; a reference to it.
    pub fn event(&mut self, schema: &EventSchema, way: Way) -> Value {
        self.convert(&schema.body, way)
    }

    /// The schema of one field of an event that is sent, and whether it must be there.
    pub fn field(&mut self, schema: &EventSchema, name: &str) -> (Value, bool) {
        let Schema::Record(record) = &schema.body else {
            return (json!({}), false);
        };
        let mut fields = record.fields.iter();
        match fields.find(|field| field.name == name) {
            Some(field) => (self.convert(&field.schema, Way::Sent), is_required(field)),
            None => (json!({}), false),
        }
    }

    /// Adds a definition of another kind; a reference to it.
    pub fn define(&mut self, name: &str, schema: Value) -> Value {
        self.definitions.insert(name.to_owned(), schema);
        reference(name)
    }

    /// All definitions.
    pub fn finish(self) -> Value {
        json!(self.definitions)
    }

    fn name(&self, full_name: &str, way: Way) -> String {
        match way == Way::Told && self.sent.contains(full_name) {
            true => format!("{full_name}.Told"),
            false => full_name.to_owned(),
        }
    }

    fn convert(&mut self, schema: &Schema, way: Way) -> Value {
        match schema {
            Schema::Null => json!({ "type": "null" }),
            Schema::Boolean => json!({ "type": "boolean" }),
            Schema::Int => integer(32),
            Schema::Float => json!({ "type": "number", "format": "float" }),
            // Beyond that JSON's numbers are none that a reader can hold.
            Schema::Double => json!({
                "type": "number", "format": "double", "minimum": f64::MIN, "maximum": f64::MAX,
            }),
            Schema::String => json!({ "type": "string" }),
            Schema::Uuid(_) => json!({ "type": "string", "format": "uuid" }),
            Schema::Bytes if way == Way::Told => bytes(),
            Schema::Bytes => json!({
                "description": "Text as its UTF-8 bytes, or the bytes as numbers.",
                "oneOf": [{ "type": "string" }, bytes()],
            }),
            Schema::Array(array) => {
                json!({ "type": "array", "items": self.convert(&array.items, way) })
            }
            Schema::Map(map) => {
                json!({ "type": "object", "additionalProperties": self.convert(&map.types, way) })
            }
            Schema::Union(union) => {
                let variants = union.variants();
                let value = variants.iter().find(|it| **it != Schema::Null);
                let value = value.map(|it| self.convert(it, way));
                match (value, variants.contains(&Schema::Null)) {
                    (Some(value), true) => nullable(value),
                    (Some(value), false) => value,
                    (None, _) => json!({ "type": "null" }),
                }
            }
            Schema::Enum(symbols) => {
                let definition = json!({ "type": "string", "enum": symbols.symbols });
                self.define(&symbols.name.fullname(None), definition)
            }
            Schema::Record(record) => self.record(record, way),
            Schema::Ref { name } => reference(&self.name(&name.fullname(None), way)),
            Schema::Date => described(integer(32), "Days since 1970-01-01."),
            Schema::TimeMillis => described(integer(32), "Milliseconds since midnight."),
            Schema::TimeMicros => described(integer(64), "Microseconds since midnight."),
            Schema::TimestampMillis | Schema::LocalTimestampMillis => {
                described(integer(64), "Milliseconds since 1970-01-01 UTC.")
            }
            Schema::TimestampMicros | Schema::LocalTimestampMicros => {
                described(integer(64), "Microseconds since 1970-01-01 UTC.")
            }
            Schema::TimestampNanos | Schema::LocalTimestampNanos => {
                described(integer(64), "Nanoseconds since 1970-01-01 UTC.")
            }
            _ => integer(64),
        }
    }

    fn record(&mut self, record: &RecordSchema, way: Way) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in &record.fields {
            let mut property = self.convert(&field.schema, way);
            if let Some(doc) = &field.doc {
                property = described(property, doc);
            }
            properties.insert(field.name.clone(), property);
            if is_required(field) {
                required.push(field.name.clone());
            }
        }
        let mut definition = object(Value::Object(properties), &required, way);
        if let Some(doc) = &record.doc {
            definition = described(definition, doc);
        }
        let name = self.name(&record.name.fullname(None), way);
        self.define(&name, definition)
    }
}

/// An object with these members, of which these must be there.
pub fn object(properties: Value, required: &[impl AsRef<str>], way: Way) -> Value {
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        let required: Vec<&str> = required.iter().map(AsRef::as_ref).collect();
        object["required"] = json!(required);
    }
    if way == Way::Sent {
        object["additionalProperties"] = false.into();
    }
    object
}

/// A definition of this name.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The same, or null.
pub fn nullable(schema: Value) -> Value {
    match (&schema["type"], schema.get("oneOf")) {
        (Value::String(kind), _) => {
            let mut schema = schema.clone();
            schema["type"] = json!([kind, "null"]);
            schema
        }
        (Value::Null, Some(Value::Array(alternatives))) => {
            let mut alternatives = alternatives.clone();
            if !alternatives.contains(&json!({ "type": "null" })) {
                alternatives.push(json!({ "type": "null" }));
            }
            let mut schema = schema.clone();
            schema["oneOf"] = alternatives.into();
            schema
        }
        (Value::Null, _) => json!({ "oneOf": [schema, { "type": "null" }] }),
        // It is already.
        _ => schema,
    }
}

/// The same with a description.
pub fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// An integer of so many bits, 32 or 64.
pub fn integer(bits: u8) -> Value {
    let (least, most) = match bits {
        32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    json!({ "type": "integer", "format": format!("int{bits}"), "minimum": least, "maximum": most })
}

fn bytes() -> Value {
    json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 255 } })
}

fn is_required(field: &RecordField) -> bool {
    let is_nullable = match &field.schema {
        Schema::Null => true,
        Schema::Union(union) => union.variants().contains(&Schema::Null),
        _ => false,
    };
    !is_nullable && field.default.is_none()
}

/// The names of all records within a schema.
fn records(schema: &Schema, names: &mut BTreeSet<String>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.fullname(None));
            let fields = record.fields.iter();
            fields.for_each(|field| records(&field.schema, names));
        }
        Schema::Array(array) => records(&array.items, names),
        Schema::Map(map) => records(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|it| records(it, names)),
        _ => {}
    }
}
