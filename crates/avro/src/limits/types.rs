//! The named types of a schema and of those that it refers to, looked up as Java does.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::MAX_SCHEMA_BYTES;
use super::names::split;

/// Kinds of types that have a name.
pub(super) const NAMED: [&str; 4] = ["record", "error", "enum", "fixed"];

/// The text of a schema, and those of the schemas whose types it uses.
#[derive(Debug, Clone, Default)]
pub struct SchemaText {
    /// The schema itself.
    pub text: String,
    /// All that it refers to, at first or second hand, in any order.
    pub references: Vec<String>,
}

impl From<&str> for SchemaText {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            references: Vec::new(),
        }
    }
}

impl From<&String> for SchemaText {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl SchemaText {
    /// The bytes of all of it.
    pub fn size(&self) -> usize {
        self.references.iter().map(String::len).sum::<usize>() + self.text.len()
    }

    /// What it and the schemas that it refers to say, in this order.
    pub(super) fn parse(&self) -> Result<Vec<Value>, String> {
        let size = self.size();
        if size > MAX_SCHEMA_BYTES {
            let with = match self.references.is_empty() {
                true => "it has",
                false => "with those that it refers to it has",
            };
            return Err(format!(
                "{with} {size} bytes; {MAX_SCHEMA_BYTES} are allowed"
            ));
        }
        let texts = [&self.text].into_iter().chain(&self.references);
        texts.map(|text| super::schema::json(text)).collect()
    }
}

/// A named type.
pub(super) struct Definition<'t> {
    pub full_name: String,
    pub members: &'t Map<String, Value>,
}

/// A schema, and the named types that it may use.
pub(super) struct Types<'t> {
    root: &'t Value,
    named: HashMap<String, Definition<'t>>,
}

/// The schema at the root, or a branch of the union there.
pub(super) struct Branch<'t> {
    pub json: &'t Value,
    /// Its full name, if it is a record.
    pub record: Option<&'t str>,
}

impl<'t> Types<'t> {
    /// The types of the first of these and of those that it refers to.
    pub fn read(texts: &'t [Value]) -> Result<Self, String> {
        let Some(root) = texts.first() else {
            return Err("there is no schema".into());
        };
        let named = HashMap::new();
        let mut types = Self { root, named };
        for text in texts {
            types.collect(text, "")?;
        }
        Ok(types)
    }

    /// Notes the definitions in `json`, which is nested no deeper than serde_json reads.
    fn collect(&mut self, json: &'t Value, space: &str) -> Result<(), String> {
        let members = match json {
            Value::Array(branches) => {
                return branches.iter().try_for_each(|it| self.collect(it, space));
            }
            Value::Object(members) => members,
            _ => return Ok(()),
        };
        let inner = match members.get("type") {
            Some(Value::String(kind)) if NAMED.contains(&kind.as_str()) => {
                return self.define(members, space);
            }
            Some(Value::String(kind)) if kind == "array" => members.get("items"),
            Some(Value::String(kind)) if kind == "map" => members.get("values"),
            other => other,
        };
        inner.map_or(Ok(()), |inner| self.collect(inner, space))
    }

    fn define(&mut self, members: &'t Map<String, Value>, space: &str) -> Result<(), String> {
        let full_name = full_name(members, space)?;
        if let Some(Value::Array(fields)) = members.get("fields") {
            let (space, _) = split(&full_name);
            for kind in fields.iter().filter_map(|field| field.get("type")) {
                self.collect(kind, space)?;
            }
        }
        let definition = Definition {
            full_name: full_name.clone(),
            members,
        };
        match self.named.insert(full_name, definition) {
            Some(other) => Err(format!("{} is defined twice", other.full_name)),
            None => Ok(()),
        }
    }

    /// The type of this name, as it is meant within a namespace: one of that, or one that has none.
    pub fn find(&self, name: &str, space: &str) -> Option<&Definition<'t>> {
        let within = match name.contains('.') || space.is_empty() {
            true => None,
            false => self.named.get(&format!("{space}.{name}")),
        };
        within.or_else(|| self.named.get(name.strip_prefix('.').unwrap_or(name)))
    }

    /// The whole schema.
    pub fn root(&'t self) -> Branch<'t> {
        self.branch(self.root)
    }

    /// The branches of the union at the root, if it is one.
    pub fn union(&'t self) -> Option<Vec<Branch<'t>>> {
        let mut json = self.root;
        while let Value::Object(members) = json {
            json = members.get("type").filter(|inner| !inner.is_string())?;
        }
        let branches = json.as_array()?.iter();
        Some(branches.map(|it| self.branch(it)).collect())
    }

    fn branch(&'t self, json: &'t Value) -> Branch<'t> {
        let mut at = json;
        let definition = loop {
            at = match at {
                Value::String(name) => break self.find(name, ""),
                Value::Object(members) => match members.get("type") {
                    Some(Value::String(kind)) if NAMED.contains(&kind.as_str()) => {
                        let name = full_name(members, "").unwrap_or_default();
                        break self.named.get(&name);
                    }
                    Some(inner) => inner,
                    None => break None,
                },
                _ => break None,
            };
        };
        let is_record = |it: &&Definition<'t>| {
            let kind = it.members.get("type").and_then(Value::as_str);
            matches!(kind, Some("record" | "error"))
        };
        let record = definition.filter(is_record);
        Branch {
            json,
            record: record.map(|it| it.full_name.as_str()),
        }
    }
}

/// The full name of a definition within a namespace.
pub(super) fn full_name(members: &Map<String, Value>, space: &str) -> Result<String, String> {
    let Some(name) = members.get("name").and_then(Value::as_str) else {
        return Err("a type has no name".into());
    };
    let space = members
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(space);
    Ok(match name.strip_prefix('.') {
        Some(name) => name.to_owned(),
        None if name.contains('.') || space.is_empty() => name.to_owned(),
        None => format!("{space}.{name}"),
    })
}
