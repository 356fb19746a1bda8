//! Avro schemas as JSON Schema, in the JSON that the gateway reads and writes.

use std::collections::BTreeMap;

use apache_avro::Schema;
use millstream_schemas::EventSchema;
use serde_json::{Map, Value, json};

/// Definitions by name, as an OpenAPI document collects them.
#[derive(Debug, Default)]
pub struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Adds an event's body; a reference to it.
    pub fn event(&mut self, schema: &EventSchema) -> Value {
        self.convert(&schema.body)
    }

    /// The schema of one field of an event's body.
    pub fn field(&mut self, schema: &EventSchema, name: &str) -> Value {
        match &schema.body {
            Schema::Record(record) => {
                let mut fields = record.fields.iter();
                let field = fields.find(|field| field.name == name);
                field.map_or_else(|| json!({}), |field| self.convert(&field.schema))
            }
            _ => json!({}),
        }
    }

    /// Adds a definition of another kind; a reference to it.
    pub fn define(&mut self, name: &str, schema: Value) -> Value {
        self.0.insert(name.to_owned(), schema);
        reference(name)
    }

    /// All definitions.
    pub fn finish(self) -> Value {
        json!(self.0)
    }

    fn convert(&mut self, schema: &Schema) -> Value {
        match schema {
            Schema::Null => json!({ "type": "null" }),
            Schema::Boolean => json!({ "type": "boolean" }),
            Schema::Int => json!({ "type": "integer", "format": "int32" }),
            Schema::Float | Schema::Double => json!({ "type": "number" }),
            Schema::String => json!({ "type": "string" }),
            Schema::Uuid(_) => json!({ "type": "string", "format": "uuid" }),
            Schema::Bytes => json!({
                "description": "Text as its UTF-8 bytes, or the bytes as numbers.",
                "oneOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 255 } },
                ],
            }),
            Schema::Array(array) => json!({ "type": "array", "items": self.convert(&array.items) }),
            Schema::Map(map) => {
                json!({ "type": "object", "additionalProperties": self.convert(&map.types) })
            }
            Schema::Union(union) => {
                let variants = union.variants().iter().map(|it| self.convert(it));
                json!({ "oneOf": variants.collect::<Vec<_>>() })
            }
            Schema::Enum(symbols) => {
                let definition = json!({ "type": "string", "enum": symbols.symbols });
                self.define(&symbols.name.fullname(None), definition)
            }
            Schema::Record(record) => {
                let name = record.name.fullname(None);
                let (mut properties, mut required) = (Map::new(), Vec::new());
                for field in &record.fields {
                    let mut property = self.convert(&field.schema);
                    if let (Some(doc), Some(property)) = (&field.doc, property.as_object_mut()) {
                        property.insert("description".into(), doc.as_str().into());
                    }
                    properties.insert(field.name.clone(), property);
                    let is_optional = match &field.schema {
                        Schema::Union(union) => union.variants().contains(&Schema::Null),
                        _ => field.default.is_some(),
                    };
                    if !is_optional {
                        required.push(field.name.clone());
                    }
                }
                let mut definition = json!({
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                });
                if let Some(doc) = &record.doc {
                    definition["description"] = doc.as_str().into();
                }
                self.define(&name, definition)
            }
            Schema::Ref { name } => reference(&name.fullname(None)),
            Schema::Date => {
                json!({ "type": "integer", "format": "int32", "description": "Days since 1970-01-01." })
            }
            Schema::TimestampMicros => {
                json!({ "type": "integer", "format": "int64", "description": "Microseconds since 1970-01-01 UTC." })
            }
            Schema::TimestampMillis => {
                json!({ "type": "integer", "format": "int64", "description": "Milliseconds since 1970-01-01 UTC." })
            }
            _ => json!({ "type": "integer", "format": "int64" }),
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
