//! A writer's schema as the Avro library is to see it: what decides how bytes are read, and nothing
//! else. No documentation, defaults, aliases and properties, of which a writer's have no meaning and
//! would only be copied; a default of a wrong type does no harm.
//!
//! Every type stands where it is used first, also one that another schema defines, and each branch
//! of a union at the root is a schema of its own. Names stand in full.
//!
//! Of logical types those are left that any value fits and that say how a value is to be read: units
//! of time, decimals, and UUIDs of 16 bytes. All others are ignored, as the specification has it for
//! those that do not fit: text may be no UUID, whatever its schema says.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::MAX_SCHEMA_DEPTH;
use super::names::{Names, split};
use super::schema::{MAX_COPIES, NO_FIELD, NO_TYPE, NODE, Pass, too_deep};
use super::types::{Branch, Definition, NAMED, Types, full_name};

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// The logical types that are left, and what they are written as.
const LOGICAL: [(&str, &str); 12] = [
    ("date", "int"),
    ("time-millis", "int"),
    ("time-micros", "long"),
    ("timestamp-millis", "long"),
    ("timestamp-micros", "long"),
    ("timestamp-nanos", "long"),
    ("local-timestamp-millis", "long"),
    ("local-timestamp-micros", "long"),
    ("local-timestamp-nanos", "long"),
    ("decimal", "bytes"),
    ("decimal", "fixed"),
    ("uuid", "fixed"),
];

/// Bytes of a UUID.
const UUID: u64 = 16;

/// The types that stand in a schema already.
type Defined<'t> = HashSet<&'t str>;

/// Writes schemas for the Avro library, which together are bounded as one is.
pub(super) struct Writer<'t> {
    types: &'t Types<'t>,
    /// The names that it has replaced.
    pub names: Names,
    weight: usize,
    pass: Pass,
}

impl<'t> Writer<'t> {
    pub fn new(types: &'t Types<'t>) -> Self {
        Self {
            types,
            names: Names::default(),
            weight: 0,
            pass: Pass::default(),
        }
    }

    /// A schema that needs no other.
    pub fn write(&mut self, branch: &Branch<'t>) -> Result<Value, String> {
        let mut defined = Defined::new();
        let schema = self.schema(branch.json, "", &mut defined, 0)?;
        self.pass.schema(&schema, 0)?;
        Ok(schema)
    }

    fn schema(
        &mut self,
        json: &Value,
        space: &str,
        defined: &mut Defined<'t>,
        depth: usize,
    ) -> Result<Value, String> {
        if depth > MAX_SCHEMA_DEPTH {
            return Err(too_deep());
        }
        self.weighs("")?;
        let members = match json {
            Value::String(name) => return self.by_name(name, space, defined, depth),
            Value::Array(branches) => {
                let mut schemas = Vec::new();
                for branch in branches {
                    schemas.push(self.schema(branch, space, defined, depth + 1)?);
                }
                return Ok(Value::Array(schemas));
            }
            Value::Object(members) => members,
            _ => return Err(NO_TYPE.into()),
        };
        let kind = part(members, "type")?;
        let inner = match kind.as_str() {
            Some("array") => "items",
            Some("map") => "values",
            Some(kind) if NAMED.contains(&kind) => {
                let name = full_name(members, space)?;
                return self.by_name(&format!(".{name}"), "", defined, depth);
            }
            Some(name) => {
                let named = self.by_name(name, space, defined, depth)?;
                return Ok(annotated(named, members));
            }
            None => {
                let inner = self.schema(kind, space, defined, depth + 1)?;
                return Ok(annotated(inner, members));
            }
        };
        let of = self.schema(part(members, inner)?, space, defined, depth + 1)?;
        Ok(json!({ "type": kind, inner: of }))
    }

    /// A type that is named: what it is where it comes first, and its name elsewhere.
    fn by_name(
        &mut self,
        name: &str,
        space: &str,
        defined: &mut Defined<'t>,
        depth: usize,
    ) -> Result<Value, String> {
        if PRIMITIVES.contains(&name) {
            return Ok(name.into());
        }
        let types = self.types;
        let Some(Definition { full_name, members }) = types.find(name, space) else {
            return Err(format!(
                "{name} is not defined, neither in it nor in a schema that it refers to"
            ));
        };
        let plain = self.names.full(full_name);
        self.weighs(&plain)?;
        if !defined.insert(full_name) {
            return Ok(plain.into());
        }
        let (space, _) = split(full_name);
        let kind = match members.get("type").and_then(Value::as_str) {
            Some("error") => "record",
            kind => kind.unwrap_or_default(),
        };
        let mut schema = json!({ "type": kind, "name": plain });
        if let Some(Value::Array(written)) = members.get("fields") {
            let mut fields = Vec::new();
            for field in written {
                fields.push(self.field(field, space, defined, depth + 2)?);
            }
            schema["fields"] = fields.into();
        }
        if let Some(Value::Array(written)) = members.get("symbols") {
            let symbols = written.iter().map(|it| self.symbol(it));
            schema["symbols"] = Value::Array(symbols.collect::<Result<_, _>>()?);
        }
        if let Some(size @ Value::Number(_)) = members.get("size") {
            schema["size"] = size.clone();
        }
        Ok(annotated(schema, members))
    }

    fn field(
        &mut self,
        field: &Value,
        space: &str,
        defined: &mut Defined<'t>,
        depth: usize,
    ) -> Result<Value, String> {
        let Value::Object(members) = field else {
            return Err(NO_FIELD.into());
        };
        let (Some(Value::String(name)), Some(kind)) = (members.get("name"), members.get("type"))
        else {
            return Err("a field has no name or no type".into());
        };
        let name = self.names.plain(name);
        self.weighs(&name)?;
        let kind = self.schema(kind, space, defined, depth + 1)?;
        Ok(json!({ "name": name, "type": kind }))
    }

    fn symbol(&mut self, symbol: &Value) -> Result<Value, String> {
        let symbol = symbol.as_str().ok_or("a symbol of an enum is no text")?;
        let symbol = self.names.plain(symbol);
        self.weighs(&symbol)?;
        Ok(symbol.into())
    }

    /// Counts a piece: a type that many branches of a union use stands in each of them.
    fn weighs(&mut self, text: &str) -> Result<(), String> {
        self.weight += NODE + text.len();
        match self.weight > MAX_COPIES {
            true => Err(
                "its branches use one another's types too often; register them one by one".into(),
            ),
            false => Ok(()),
        }
    }
}

fn part<'m>(members: &'m Map<String, Value>, name: &str) -> Result<&'m Value, String> {
    let part = members.get(name);
    part.ok_or_else(|| format!("a type has no \"{name}\""))
}

/// A schema with the logical type that `members` give it, if that is one of [`LOGICAL`].
fn annotated(mut schema: Value, members: &Map<String, Value>) -> Value {
    let Some(logical) = members.get("logicalType").and_then(Value::as_str) else {
        return schema;
    };
    let base = match &schema {
        Value::String(base) => base,
        Value::Object(inner) if !inner.contains_key("logicalType") => inner
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default(),
        _ => return schema,
    };
    let fits = logical != "uuid" || schema["size"].as_u64() == Some(UUID);
    if !LOGICAL.contains(&(logical, base)) || !fits {
        return schema;
    }
    if schema.is_string() {
        schema = json!({ "type": schema });
    }
    schema["logicalType"] = logical.into();
    for digits in ["precision", "scale"] {
        if let Some(count) = members.get(digits).filter(|count| count.is_u64()) {
            schema[digits] = count.clone();
        }
    }
    schema
}

#[cfg(test)]
mod tests;
