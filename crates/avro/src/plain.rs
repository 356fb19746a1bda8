//! A schema reduced to what decides how bytes are read, its types under names of our own and the
//! types of its references in it: what the codec is asked whether it could read.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::json::Members;
use super::tree::{Node, Shape, Tree};
use crate::limits::MAX_SCHEMA_DEPTH;

/// Members that say how a logical type's bytes are read.
const LOGICAL: [&str; 3] = ["logicalType", "precision", "scale"];

/// The reduced schema; an error if it has no end or no sense.
pub fn plain(tree: &Tree) -> Result<Value, String> {
    let mut writer = Writer {
        tree,
        names: HashMap::new(),
    };
    writer.node(&tree.root, 0)
}

struct Writer<'a> {
    tree: &'a Tree,
    /// The types that are written, and what they are called here.
    names: HashMap<&'a str, String>,
}

impl<'a> Writer<'a> {
    fn node(&mut self, node: &'a Node, depth: usize) -> Result<Value, String> {
        if depth > MAX_SCHEMA_DEPTH {
            return Err(format!(
                "it is nested deeper than {MAX_SCHEMA_DEPTH} levels with its references"
            ));
        }
        Ok(match node {
            Node::Primitive { kind, props } => with(json!({ "type": kind.name() }), props),
            Node::Array { items, props } => {
                let items = self.node(items, depth + 1)?;
                with(json!({ "type": "array", "items": items }), props)
            }
            Node::Map { values, props } => {
                let values = self.node(values, depth + 1)?;
                with(json!({ "type": "map", "values": values }), props)
            }
            Node::Union(branches) => {
                let branches = branches.iter().map(|it| self.node(it, depth + 1));
                Value::Array(branches.collect::<Result<_, _>>()?)
            }
            Node::Named { name, .. } => return self.named(name, depth),
        })
    }

    fn named(&mut self, name: &'a str, depth: usize) -> Result<Value, String> {
        if let Some(written) = self.names.get(name) {
            return Ok(json!(written));
        }
        let definition = self.tree.find(name);
        let definition = definition.ok_or_else(|| format!("{name} is not defined"))?;
        let called = format!("t{}", self.names.len());
        self.names.insert(name, called.clone());
        let written = match &definition.shape {
            Shape::Fixed(size) => json!({ "type": "fixed", "name": called, "size": size }),
            Shape::Enum { symbols, .. } => {
                let symbols = (0..symbols.len()).map(|number| format!("s{number}"));
                let symbols = symbols.collect::<Vec<_>>();
                json!({ "type": "enum", "name": called, "symbols": symbols })
            }
            Shape::Record(fields) => {
                let mut written = Vec::with_capacity(fields.len());
                for (number, field) in fields.iter().enumerate() {
                    let node = self.node(&field.node, depth + 1)?;
                    written.push(json!({ "name": format!("f{number}"), "type": node }));
                }
                json!({ "type": "record", "name": called, "fields": written })
            }
        };
        Ok(with(written, &definition.props))
    }
}

/// Adds what says how a logical type is read.
fn with(mut written: Value, props: &Members) -> Value {
    let logical = props
        .iter()
        .filter(|(name, _)| LOGICAL.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.clone(), serde_json::to_value(value).ok()?)));
    if let Value::Object(members) = &mut written {
        members.extend(logical.collect::<Map<_, _>>());
    }
    written
}
