//! What a schema's text may say, checked before the Avro library parses it.

use serde_json::{Map, Value};

use super::defaults::Defaults;
use super::{MAX_MEMORY, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH};

/// What parsing a schema may copy: the library keeps a copy of every named type within those that
/// hold it, and one for each of its aliases. In bytes of text and [`NODE`] for each piece of it.
pub(super) const MAX_COPIES: usize = 16 * 1024 * 1024;
/// What a piece of a schema counts besides its text.
pub(super) const NODE: usize = 64;

pub(super) const NO_TYPE: &str = "a type is a name, an object or an array";
pub(super) const NO_FIELD: &str = "a field is an object";

pub(super) fn too_deep() -> String {
    format!("it is nested deeper than {MAX_SCHEMA_DEPTH} levels; define types beside one another")
}

/// Checks the text of a schema that is to be parsed with everything in it.
pub fn check(text: &str) -> Result<(), String> {
    let json = json(text)?;
    let mut pass = Pass::default();
    pass.schema(&json, 0)?;
    pass.defaults.check(&json)
}

/// Checks that schemas which are parsed together are not too much together.
pub fn fits_together<'t>(texts: impl Iterator<Item = &'t str>) -> Result<(), String> {
    let mut length = 0;
    for text in texts {
        length += text.len();
        if length > MAX_SCHEMA_BYTES {
            return Err(format!(
                "the schema and those it refers to have more than {MAX_SCHEMA_BYTES} bytes"
            ));
        }
        check(text)?;
    }
    Ok(())
}

/// The JSON of a schema's text.
pub(super) fn json(text: &str) -> Result<Value, String> {
    if text.len() > MAX_SCHEMA_BYTES {
        return Err(format!(
            "it has {} bytes; {MAX_SCHEMA_BYTES} are allowed",
            text.len()
        ));
    }
    // Deeper than 128 levels is an error of serde_json's.
    serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
}

/// Counts what a schema comes to when the Avro library parses it.
#[derive(Default)]
pub(super) struct Pass {
    /// Weight of what was seen so far.
    weight: usize,
    copies: usize,
    defaults: Defaults,
}

impl Pass {
    fn count(&mut self, text: &str) {
        self.weight += NODE + text.len();
    }

    fn copied(&mut self, since: usize, times: usize) -> Result<(), String> {
        self.copies = self
            .copies
            .saturating_add((self.weight - since).saturating_mul(times));
        match self.copies > MAX_COPIES {
            true => Err("its types hold one another too often; name fewer aliases, or define types beside one another".into()),
            false => Ok(()),
        }
    }

    /// Checks a type and all that is in it.
    pub(super) fn schema(&mut self, json: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_SCHEMA_DEPTH {
            return Err(too_deep());
        }
        match json {
            Value::String(name) => {
                self.count(name);
                Ok(())
            }
            Value::Array(branches) => {
                let mut branches = branches.iter();
                branches.try_for_each(|it| self.schema(it, depth + 1))
            }
            Value::Object(members) => self.object(members, depth),
            _ => Err(NO_TYPE.into()),
        }
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> Result<(), String> {
        let since = self.weight;
        self.count("");
        for (name, value) in members {
            match (name.as_str(), value) {
                ("type" | "items" | "values", value) => self.schema(value, depth + 1)?,
                ("fields", Value::Array(fields)) => {
                    let mut fields = fields.iter();
                    fields.try_for_each(|field| self.field(field, depth + 2))?;
                }
                ("symbols", Value::Array(symbols)) => {
                    for symbol in symbols.iter().filter_map(Value::as_str) {
                        self.count(symbol);
                    }
                }
                ("size", value) if value.as_u64().is_none_or(|size| size > MAX_MEMORY as u64) => {
                    return Err(format!(
                        "a fixed has {value} bytes; from 0 to {MAX_MEMORY} are allowed"
                    ));
                }
                (
                    "name" | "namespace" | "logicalType" | "precision" | "scale",
                    Value::Array(_) | Value::Object(_),
                ) => {
                    return Err(format!("\"{name}\" is neither a text nor a number"));
                }
                ("name" | "namespace" | "logicalType" | "precision" | "scale", value) => {
                    self.count(value.as_str().unwrap_or_default());
                }
                _ => {}
            }
        }
        if members.contains_key("name") || members.contains_key("logicalType") {
            let aliases = members.get("aliases").and_then(Value::as_array);
            self.copied(since, 1 + aliases.map_or(0, Vec::len))?;
        }
        Ok(())
    }

    fn field(&mut self, field: &Value, depth: usize) -> Result<(), String> {
        let Value::Object(members) = field else {
            return Err(NO_FIELD.into());
        };
        self.count("");
        if let Some(name) = members.get("name") {
            self.count(name.as_str().unwrap_or_default());
        }
        match members.get("type") {
            Some(kind) => self.schema(kind, depth + 1),
            None => Ok(()),
        }
    }
}
