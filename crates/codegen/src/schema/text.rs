//! Self-contained schema text: every definition stands at its first use.

use std::{cell::RefCell, collections::BTreeSet};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Definition, Field, Kind, Schemas, Type};
use crate::names;

/// The text on one line, as it is registered.
pub fn text(definition: &Definition, schemas: &Schemas) -> String {
    serde_json::to_string(&root(definition, schemas)).unwrap_or_default()
}

/// The text on many lines, as it is kept in the history.
pub fn pretty_text(definition: &Definition, schemas: &Schemas) -> String {
    serde_json::to_string_pretty(&root(definition, schemas)).unwrap_or_default() + "\n"
}

fn root<'a>(definition: &'a Definition, schemas: &'a Schemas) -> impl Serialize {
    struct Root<'a>(&'a Definition, &'a Schemas);
    impl Serialize for Root<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let context = Context {
                schemas: self.1,
                written: RefCell::default(),
            };
            Node {
                context: &context,
                namespace: "",
                what: What::Definition(self.0),
            }
            .serialize(serializer)
        }
    }
    Root(definition, schemas)
}

struct Context<'a> {
    schemas: &'a Schemas,
    /// Full names of the definitions that are in the text already.
    written: RefCell<BTreeSet<&'a str>>,
}

struct Node<'a> {
    context: &'a Context<'a>,
    /// Of the enclosing definition.
    namespace: &'a str,
    what: What<'a>,
}

enum What<'a> {
    Type(&'a Type),
    Definition(&'a Definition),
    Field(&'a Field),
    Fields(&'a [Field]),
}

impl<'a> Node<'a> {
    fn with(&self, what: What<'a>) -> Self {
        Self {
            context: self.context,
            namespace: self.namespace,
            what,
        }
    }

    fn ty<S: Serializer>(&self, ty: &'a Type, serializer: S) -> Result<S::Ok, S::Error> {
        let primitive = match ty {
            Type::Boolean => "boolean",
            Type::Int(None) => "int",
            Type::Long(None) => "long",
            Type::Float => "float",
            Type::Double => "double",
            Type::Bytes => "bytes",
            Type::String => "string",
            Type::Int(Some(logical)) => return object(serializer, "int", "logicalType", logical),
            Type::Long(Some(logical)) => return object(serializer, "long", "logicalType", logical),
            Type::Array(items) => {
                return object(serializer, "array", "items", &self.with(What::Type(items)));
            }
            Type::Map(values) => {
                return object(serializer, "map", "values", &self.with(What::Type(values)));
            }
            Type::Optional(inner) => {
                return ("null", self.with(What::Type(inner))).serialize(serializer);
            }
            Type::Named(name) => match self.context.schemas.get(name) {
                Some(definition) if !self.context.written.borrow().contains(name.as_str()) => {
                    return self
                        .with(What::Definition(definition))
                        .serialize(serializer);
                }
                _ => name,
            },
        };
        serializer.serialize_str(primitive)
    }

    fn definition<S: Serializer>(
        &self,
        definition: &'a Definition,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        self.context
            .written
            .borrow_mut()
            .insert(&definition.full_name);
        let (namespace, name) = names::split(&definition.full_name);
        let mut map = serializer.serialize_map(None)?;
        let kind = match definition.kind {
            Kind::Record(_) => "record",
            Kind::Enum { .. } => "enum",
        };
        map.serialize_entry("type", kind)?;
        map.serialize_entry("name", name)?;
        if namespace != self.namespace {
            map.serialize_entry("namespace", namespace)?;
        }
        if let Some(doc) = &definition.doc {
            map.serialize_entry("doc", doc)?;
        }
        if !definition.aliases.is_empty() {
            map.serialize_entry("aliases", &definition.aliases)?;
        }
        match &definition.kind {
            Kind::Record(fields) => {
                let what = What::Fields(fields);
                map.serialize_entry(
                    "fields",
                    &Node {
                        context: self.context,
                        namespace,
                        what,
                    },
                )?;
            }
            Kind::Enum { symbols, default } => {
                map.serialize_entry("symbols", symbols)?;
                if let Some(default) = default {
                    map.serialize_entry("default", default)?;
                }
            }
        }
        map.end()
    }

    fn field<S: Serializer>(&self, field: &'a Field, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &field.name)?;
        map.serialize_entry("type", &self.with(What::Type(&field.ty)))?;
        if let Some(doc) = &field.doc {
            map.serialize_entry("doc", doc)?;
        }
        if !field.aliases.is_empty() {
            map.serialize_entry("aliases", &field.aliases)?;
        }
        if let Some(default) = &field.default {
            map.serialize_entry("default", default)?;
        }
        map.end()
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.what {
            What::Type(ty) => self.ty(ty, serializer),
            What::Definition(definition) => self.definition(definition, serializer),
            What::Field(field) => self.field(field, serializer),
            What::Fields(fields) => {
                serializer.collect_seq(fields.iter().map(|field| self.with(What::Field(field))))
            }
        }
    }
}

fn object<S: Serializer>(
    serializer: S,
    ty: &str,
    key: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("type", ty)?;
    map.serialize_entry(key, value)?;
    map.end()
}
