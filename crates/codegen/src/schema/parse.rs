//! From the JSON of one schema file to definitions.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Definition, Field, Kind, Type};
use crate::{names, problem::Collector};

const INT_LOGICAL: &[&str] = &["date", "time-millis"];
const LONG_LOGICAL: &[&str] = &[
    "time-micros",
    "timestamp-millis",
    "timestamp-micros",
    "timestamp-nanos",
    "local-timestamp-millis",
    "local-timestamp-micros",
    "local-timestamp-nanos",
];

/// Reads one file. What is wrong goes to the collector and is left out.
pub struct Parser<'a> {
    pub file: &'a str,
    pub problems: &'a Collector,
    pub definitions: &'a mut BTreeMap<String, Definition>,
    pub of_library: bool,
}

impl Parser<'_> {
    fn problem(&self, message: String) {
        self.problems.add(self.file, message);
    }

    /// Reads the definition that the file is named after; returns its full name.
    pub fn top_level(&mut self, schema: &Value) -> Option<String> {
        let object = schema.as_object().filter(|object| {
            matches!(
                object.get("type").and_then(Value::as_str),
                Some("record" | "enum")
            )
        });
        let Some(object) = object else {
            self.problem("must be a record or an enum: write one definition per file.".into());
            return None;
        };
        self.definition(object, "", true)
    }

    fn definition(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        top_level: bool,
    ) -> Option<String> {
        let Some(name) = object.get("name").and_then(Value::as_str) else {
            self.problem("a record or enum has no name: add `name`.".into());
            return None;
        };
        let full_name = if name.contains('.') {
            name.to_owned()
        } else {
            let namespace = object
                .get("namespace")
                .and_then(Value::as_str)
                .unwrap_or(namespace);
            format!("{namespace}.{name}")
        };
        let (namespace, name) = names::split(&full_name);
        if namespace.is_empty() {
            self.problem(format!(
                "`{name}` has no namespace: add `namespace`, such as \"acme.orders\"."
            ));
            return None;
        }
        if !names::is_type_name(name) {
            self.problem(format!(
                "the name `{name}` is not in PascalCase: rename it."
            ));
        }
        if !namespace.split('.').all(names::is_module_name) {
            self.problem(format!(
                "the namespace `{namespace}` is not in lower case: rename it."
            ));
        }
        let what = object
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let kind = if what == "record" {
            self.known_keys(
                object,
                &full_name,
                &["type", "name", "namespace", "doc", "aliases", "fields"],
            );
            Kind::Record(self.fields(object, &full_name, namespace))
        } else {
            let keys = [
                "type",
                "name",
                "namespace",
                "doc",
                "aliases",
                "symbols",
                "default",
            ];
            self.known_keys(object, &full_name, &keys);
            self.symbols(object, &full_name)
        };
        let definition = Definition {
            doc: object.get("doc").and_then(Value::as_str).map(str::to_owned),
            aliases: strings(object.get("aliases")),
            kind,
            file: self.file.to_owned(),
            top_level,
            of_library: self.of_library,
            full_name: full_name.clone(),
        };
        if let Some(other) = self.definitions.get(&full_name) {
            let other = &other.file;
            self.problem(format!(
                "`{full_name}` is defined in {other} too: define it once, in {full_name}.avsc, and refer to it by name."
            ));
        } else {
            self.definitions.insert(full_name.clone(), definition);
        }
        Some(full_name)
    }

    fn known_keys(&self, object: &Map<String, Value>, at: &str, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(format!(
                "`{at}` has the unknown key `{key}`: remove it; known are {}.",
                known.join(", ")
            ));
        }
    }

    fn symbols(&self, object: &Map<String, Value>, full_name: &str) -> Kind {
        let symbols = strings(object.get("symbols"));
        if symbols.is_empty() {
            self.problem(format!(
                "the enum `{full_name}` has no symbols: add `symbols`."
            ));
        }
        let mut seen = BTreeMap::new();
        for symbol in &symbols {
            let variant = names::pascal_case(symbol);
            if !names::is_avro_name(symbol) || !names::is_type_name(&variant) {
                self.problem(format!(
                    "`{symbol}` cannot be a symbol of `{full_name}`: use letters, digits and _."
                ));
            } else if let Some(other) = seen.insert(variant, symbol) {
                self.problem(format!(
                    "`{symbol}` and `{other}` in `{full_name}` are the same in Rust: rename one."
                ));
            }
        }
        let default = object
            .get("default")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if let Some(default) = default
            .as_ref()
            .filter(|default| !symbols.contains(default))
        {
            self.problem(format!(
                "the default `{default}` of `{full_name}` is not one of its symbols: add it there."
            ));
        }
        Kind::Enum { symbols, default }
    }

    fn fields(
        &mut self,
        object: &Map<String, Value>,
        full_name: &str,
        namespace: &str,
    ) -> Vec<Field> {
        let Some(fields) = object.get("fields").and_then(Value::as_array) else {
            self.problem(format!(
                "the record `{full_name}` has no `fields`: add an array of fields."
            ));
            return Vec::new();
        };
        let mut out = Vec::new();
        let mut seen = BTreeMap::new();
        for field in fields {
            let Some((object, name)) = field
                .as_object()
                .and_then(|object| Some((object, object.get("name").and_then(Value::as_str)?)))
            else {
                self.problem(format!(
                    "a field of `{full_name}` has no name: write {{ \"name\": .., \"type\": .. }}."
                ));
                continue;
            };
            let at = format!("{full_name}.{name}");
            if !names::is_avro_name(name) {
                self.problem(format!(
                    "`{name}` cannot be a field of `{full_name}`: use letters, digits and _."
                ));
                continue;
            }
            if let Some(other) = seen.insert(names::snake_case(name), name) {
                self.problem(format!("the fields `{name}` and `{other}` of `{full_name}` are the same in Rust: rename one."));
                continue;
            }
            self.known_keys(
                object,
                &at,
                &["name", "type", "doc", "default", "aliases", "order"],
            );
            let Some(ty) = object.get("type") else {
                self.problem(format!("the field `{at}` has no type: add `type`."));
                continue;
            };
            if let Some(ty) = self.parse(ty, namespace, &at) {
                out.push(Field {
                    name: name.to_owned(),
                    doc: object.get("doc").and_then(Value::as_str).map(str::to_owned),
                    aliases: strings(object.get("aliases")),
                    ty,
                    default: object.get("default").cloned(),
                });
            }
        }
        out
    }

    fn parse(&mut self, ty: &Value, namespace: &str, at: &str) -> Option<Type> {
        match ty {
            Value::String(name) => self.by_name(name, namespace, at),
            Value::Array(branches) => self.union(branches, namespace, at),
            Value::Object(object) => self.object(object, namespace, at),
            _ => {
                self.problem(format!("the type of `{at}` is neither a name, a union nor a definition: write one of these."));
                None
            }
        }
    }

    fn by_name(&self, name: &str, namespace: &str, at: &str) -> Option<Type> {
        Some(match name {
            "boolean" => Type::Boolean,
            "int" => Type::Int(None),
            "long" => Type::Long(None),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            "null" | "array" | "map" | "record" | "enum" | "fixed" => {
                self.problem(format!("the type of `{at}` is `{name}`, which cannot stand alone: give it in full, or as [\"null\", T]."));
                return None;
            }
            _ if name.contains('.') => Type::Named(name.to_owned()),
            _ => Type::Named(format!("{namespace}.{name}")),
        })
    }

    fn union(&mut self, branches: &[Value], namespace: &str, at: &str) -> Option<Type> {
        if let [Value::String(null), other] = branches
            && null == "null"
        {
            let inner = self.parse(other, namespace, at)?;
            return Some(Type::Optional(Box::new(inner)));
        }
        let null_last = branches.len() == 2 && branches[1] == "null";
        self.problem(if null_last {
            format!("the union of `{at}` has null last: write [\"null\", T].")
        } else {
            format!("the union of `{at}` is not [\"null\", T]: use several events, or a record with optional fields.")
        });
        None
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str, at: &str) -> Option<Type> {
        let name = match object.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(inner) => return self.parse(inner, namespace, at),
            None => {
                self.problem(format!("the type of `{at}` has no `type`: add it."));
                return None;
            }
        };
        let nested = |parser: &mut Self, key: &str| {
            parser.known_keys(object, at, &["type", key, "default"]);
            let Some(inner) = object.get(key) else {
                parser.problem(format!("the {name} `{at}` has no `{key}`: add it."));
                return None;
            };
            parser.parse(inner, namespace, at).map(Box::new)
        };
        match name {
            "record" | "enum" => self.definition(object, namespace, false).map(Type::Named),
            "array" => nested(self, "items").map(Type::Array),
            "map" => nested(self, "values").map(Type::Map),
            "fixed" => {
                self.problem(format!(
                    "`{at}` is fixed, which is not supported: use bytes."
                ));
                None
            }
            _ => self.logical(object, name, namespace, at),
        }
    }

    fn logical(
        &self,
        object: &Map<String, Value>,
        name: &str,
        namespace: &str,
        at: &str,
    ) -> Option<Type> {
        let Some(logical) = object.get("logicalType").and_then(Value::as_str) else {
            self.known_keys(object, at, &["type"]);
            return self.by_name(name, namespace, at);
        };
        let known = match name {
            "int" => INT_LOGICAL,
            "long" => LONG_LOGICAL,
            _ => &[],
        };
        if known.contains(&logical) {
            self.known_keys(object, at, &["type", "logicalType"]);
            let logical = Some(logical.to_owned());
            return Some(if name == "int" {
                Type::Int(logical)
            } else {
                Type::Long(logical)
            });
        }
        self.problem(match logical {
            "decimal" | "big-decimal" => format!("`{at}` is {logical}, which is not supported: use long, in the smallest unit, such as cents."),
            "uuid" => format!("`{at}` is uuid, which is not supported: use string."),
            "duration" => format!("`{at}` is duration, which is not supported: use long, in milliseconds."),
            _ => format!("`{at}` is {logical} on {name}, which is not supported: use {name} alone, or timestamp-micros on long."),
        });
        None
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
