//! Whether a JSON value is one of a type, as the generated Rust types read JSON.

use serde_json::Value;

use super::{Field, Kind, Schemas, Type};

/// Says what keeps `value` from being a `ty`: one sentence each, none if nothing does.
pub fn mismatches(value: &Value, ty: &Type, schemas: &Schemas) -> Vec<String> {
    let mut out = Vec::new();
    Check {
        schemas,
        out: &mut out,
    }
    .value(value, ty, "");
    out
}

/// The same for the fields of a record.
pub fn record_mismatches<'a>(
    value: &Value,
    fields: impl Iterator<Item = &'a Field> + Clone,
    schemas: &Schemas,
) -> Vec<String> {
    let mut out = Vec::new();
    Check {
        schemas,
        out: &mut out,
    }
    .record(value, fields, "");
    out
}

struct Check<'a> {
    schemas: &'a Schemas,
    out: &'a mut Vec<String>,
}

impl Check<'_> {
    fn wrong(&mut self, at: &str, what: &str) {
        let at = if at.is_empty() {
            "it".to_owned()
        } else {
            format!("`{at}`")
        };
        self.out.push(format!("{at} must be {what}"));
    }

    fn value(&mut self, value: &Value, ty: &Type, at: &str) {
        let fits = match ty {
            Type::Boolean => value.is_boolean(),
            Type::Int(_) => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Type::Long(_) => value.as_i64().is_some(),
            Type::Float | Type::Double => value.is_number(),
            Type::String => value.is_string(),
            Type::Bytes => match value {
                Value::Array(items) => items
                    .iter()
                    .all(|item| item.as_u64().is_some_and(|byte| byte < 256)),
                _ => value.is_string(),
            },
            Type::Optional(inner) => {
                if !value.is_null() {
                    self.value(value, inner, at);
                }
                true
            }
            Type::Array(inner) => value.as_array().is_some_and(|items| {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, inner, &format!("{at}[{index}]"));
                }
                true
            }),
            Type::Map(inner) => value.as_object().is_some_and(|entries| {
                for (key, item) in entries {
                    self.value(item, inner, &join(at, key));
                }
                true
            }),
            Type::Named(name) => {
                self.named(value, name, at);
                true
            }
        };
        if !fits {
            self.wrong(at, expected(ty));
        }
    }

    fn named(&mut self, value: &Value, name: &str, at: &str) {
        let schemas = self.schemas;
        match schemas.get(name).map(|definition| &definition.kind) {
            Some(Kind::Record(fields)) => self.record(value, fields.iter(), at),
            Some(Kind::Enum { symbols, .. }) => {
                let text = value.as_str().unwrap_or_default();
                if symbols.iter().all(|symbol| symbol != text) {
                    self.wrong(at, &format!("one of {}", symbols.join(", ")));
                }
            }
            // An unknown name is reported where it is used.
            None => {}
        }
    }

    fn record<'a>(
        &mut self,
        value: &Value,
        fields: impl Iterator<Item = &'a Field> + Clone,
        at: &str,
    ) {
        let Some(object) = value.as_object() else {
            return self.wrong(at, "an object");
        };
        for field in fields.clone() {
            match object.get(&field.name) {
                Some(value) => self.value(value, &field.ty, &join(at, &field.name)),
                None if matches!(field.ty, Type::Optional(_)) => {}
                None => self
                    .out
                    .push(format!("`{}` is missing", join(at, &field.name))),
            }
        }
        for key in object.keys() {
            if !fields.clone().any(|field| field.name == *key) {
                self.out.push(format!("`{}` is not a field", join(at, key)));
            }
        }
    }
}

fn expected(ty: &Type) -> &'static str {
    match ty {
        Type::Boolean => "true or false",
        Type::Int(_) => "an integer of 32 bits",
        Type::Long(_) => "an integer of 64 bits",
        Type::Float | Type::Double => "a number",
        Type::String => "a string",
        Type::Bytes => "a string or an array of bytes",
        Type::Array(_) => "an array",
        _ => "an object",
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}
