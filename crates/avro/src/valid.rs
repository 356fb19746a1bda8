//! What is asked of a schema that is new, besides that it can be read: what Avro's Java library asks
//! of it, and with it Confluent's registry. What is registered already was once asked by somebody
//! else, and is taken as it is.
//!
//! A namespace is not looked at, as in Confluent's registry up to 8.1: Debezium makes
//! `dbserver-1.inventory.customers` of a server's name, and Java reads and writes that.

use std::collections::HashSet;

use super::json::Json;
use super::plain::plain;
use super::tree::{Field, Kind, Named, Node, Shape, Tree};
use crate::limits::Limited;

/// Defaults of records are made of defaults of records; one that is made of itself ends here.
const MAX_DEPTH: usize = 64;
/// A default that comes to more values is given up.
const MAX_STEPS: usize = 200_000;

/// Why the schema may not be registered. `tree` has the types of the references; `own` are the names
/// that the text itself defines.
pub fn check(tree: &Tree, own: &HashSet<String>) -> Result<(), String> {
    let mut check = Check {
        tree,
        own,
        defined: HashSet::new(),
        steps: 0,
    };
    check.node(&tree.root)?;
    // What the codec cannot read must not get in.
    let readable = plain(tree).and_then(|plain| Limited::parse(&plain.to_string()));
    readable
        .map(|_| ())
        .map_err(|reason| format!("what is written with it could not be read: {reason}"))
}

struct Check<'a> {
    tree: &'a Tree,
    own: &'a HashSet<String>,
    /// The text's own names up to here.
    defined: HashSet<&'a str>,
    steps: usize,
}

impl<'a> Check<'a> {
    fn node(&mut self, node: &'a Node) -> Result<(), String> {
        match node {
            Node::Primitive { .. } => Ok(()),
            Node::Array { items, .. } => self.node(items),
            Node::Map { values, .. } => self.node(values),
            Node::Union(branches) => self.union(branches),
            Node::Named { name, defines } => {
                let is_late = self.own.contains(name) && !self.defined.contains(name.as_str());
                match self.tree.find(name) {
                    Some(definition) if *defines => {
                        self.defined.insert(name);
                        self.definition(definition)
                    }
                    Some(_) if !is_late => Ok(()),
                    Some(_) => Err(format!("{name} is used before it is defined")),
                    None => Err(format!(
                        "{name} is not defined; define it in the schema, or refer to the schema \
                         that does"
                    )),
                }
            }
        }
    }

    fn union(&mut self, branches: &'a [Node]) -> Result<(), String> {
        let mut seen = HashSet::new();
        for branch in branches {
            let name = match branch {
                Node::Union(_) => return Err("a union stands directly in a union".into()),
                Node::Primitive { kind, .. } => kind.name(),
                Node::Array { .. } => "array",
                Node::Map { .. } => "map",
                Node::Named { name, .. } => name,
            };
            if !seen.insert(name) {
                return Err(format!("a union has {name} twice"));
            }
            self.node(branch)?;
        }
        Ok(())
    }

    fn definition(&mut self, named: &'a Named) -> Result<(), String> {
        let full = named.full_name();
        if named.namespace.is_none() && Kind::of(&named.name).is_some() {
            return Err(format!(
                "a {} is called {full}, which is a primitive type",
                named.kind()
            ));
        }
        name(&named.name, &full)?;
        for alias in &named.aliases {
            name(super::tree::split(alias).1, &full)?;
        }
        match &named.shape {
            Shape::Record(fields) => self.record(fields, &full),
            Shape::Enum { symbols, default } => {
                let distinct = symbols.iter().collect::<HashSet<_>>();
                for symbol in symbols {
                    name(symbol, &full)?;
                }
                match default.as_ref().map(Json::as_str) {
                    _ if symbols.is_empty() => Err(format!(
                        "enum {full} has no symbols, so nothing can be one of it"
                    )),
                    _ if distinct.len() < symbols.len() => {
                        Err(format!("enum {full} has a symbol twice"))
                    }
                    Some(symbol) if !symbol.is_some_and(|it| symbols.iter().any(|s| s == it)) => {
                        Err(format!("the default of enum {full} is none of its symbols"))
                    }
                    _ => Ok(()),
                }
            }
            Shape::Fixed(_) => Ok(()),
        }
    }

    fn record(&mut self, fields: &'a [Field], full: &str) -> Result<(), String> {
        let mut seen = HashSet::new();
        for field in fields {
            name(&field.name, full)?;
            if !seen.insert(&field.name) {
                return Err(format!("record {full} has the field {} twice", field.name));
            }
            self.node(&field.node)?;
            let Some(default) = &field.default else {
                continue;
            };
            if !self.fits(&field.node, default, 0) {
                return Err(match self.steps > MAX_STEPS {
                    true => format!("the defaults of {full} come to too much"),
                    false => format!(
                        "the default of {full}.{}, {default}, is no value of its type; give it one, or leave the default out",
                        field.name
                    ),
                });
            }
        }
        Ok(())
    }

    /// Whether `json` is a value of a type, as Java looks at defaults. Of a union it may be any branch.
    fn fits(&mut self, node: &'a Node, json: &Json, depth: usize) -> bool {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            return false;
        }
        let deeper = depth + 1;
        match (node, json) {
            (Node::Primitive { kind, .. }, _) => is_primitive(*kind, json),
            (Node::Array { items, .. }, Json::Array(values)) => {
                values.iter().all(|value| self.fits(items, value, deeper))
            }
            (Node::Map { values, .. }, Json::Object(members)) => members
                .iter()
                .all(|(_, value)| self.fits(values, value, deeper)),
            (Node::Union(branches), _) => branches
                .iter()
                .any(|branch| self.fits(branch, json, deeper)),
            (Node::Named { name, .. }, _) => match self.tree.find(name).map(|it| &it.shape) {
                Some(Shape::Enum { symbols, .. }) => {
                    symbols.iter().any(|symbol| json.as_str() == Some(symbol))
                }
                Some(Shape::Fixed(_)) => json.as_str().is_some(),
                Some(Shape::Record(fields)) if matches!(json, Json::Object(_)) => {
                    fields.iter().all(|field| {
                        let value = json.get(&field.name).or(field.default.as_ref());
                        value.is_some_and(|value| self.fits(&field.node, value, deeper))
                    })
                }
                _ => false,
            },
            _ => false,
        }
    }
}

fn is_primitive(kind: Kind, json: &Json) -> bool {
    match kind {
        Kind::Null => *json == Json::Null,
        Kind::Boolean => matches!(json, Json::Bool(_)),
        Kind::Int => json.as_i64().is_some_and(|it| i32::try_from(it).is_ok()),
        Kind::Long => json.as_i64().is_some(),
        // JSON has no infinity and no NaN, so they are texts.
        Kind::Float | Kind::Double => match json {
            Json::Number(_) => true,
            other => matches!(other.as_str(), Some("NaN" | "Infinity" | "-Infinity")),
        },
        Kind::Bytes | Kind::String => json.as_str().is_some(),
    }
}

/// Checks a name without its namespace.
fn name(text: &str, within: &str) -> Result<(), String> {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(format!(
        "{text:?} in {within} is no name: letters, digits and _ make one, and the first is no digit"
    ))
}
