//! An Avro schema as a tree: every name in full, every property kept in its order.

use std::collections::HashMap;

use super::json::{Json, Members};

/// A schema.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The type that the schema describes.
    pub root: Node,
    /// The named types that it defines, by full name.
    pub named: HashMap<String, Named>,
}

/// A type where it is used.
#[derive(Debug, Clone)]
pub enum Node {
    /// `null`, `boolean`, `int`, `long`, `float`, `double`, `bytes` or `string`.
    Primitive {
        /// Which.
        kind: Kind,
        /// What else its object says.
        props: Members,
    },
    /// An array.
    Array {
        /// Type of its items.
        items: Box<Node>,
        /// What else its object says.
        props: Members,
    },
    /// A map.
    Map {
        /// Type of its values.
        values: Box<Node>,
        /// What else its object says.
        props: Members,
    },
    /// A union.
    Union(Vec<Node>),
    /// A named type, by full name.
    Named {
        /// Full name.
        name: String,
        /// Whether this place defines it; otherwise it is defined before, or in a reference.
        defines: bool,
    },
}

/// The primitive types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// null
    Null,
    /// boolean
    Boolean,
    /// int
    Int,
    /// long
    Long,
    /// float
    Float,
    /// double
    Double,
    /// bytes
    Bytes,
    /// string
    String,
}

impl Kind {
    /// The name in a schema.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
        }
    }

    /// The primitive type of this name.
    pub fn of(name: &str) -> Option<Kind> {
        use Kind::*;
        [Null, Boolean, Int, Long, Float, Double, Bytes, String]
            .into_iter()
            .find(|k| k.name() == name)
    }
}

/// A record, an enum or a fixed.
#[derive(Debug, Clone)]
pub struct Named {
    /// Name without namespace.
    pub name: String,
    /// Namespace, if any.
    pub namespace: Option<String>,
    /// Documentation.
    pub doc: Option<Json>,
    /// Other full names.
    pub aliases: Vec<String>,
    /// What it is.
    pub shape: Shape,
    /// All other properties.
    pub props: Members,
}

/// What a named type is.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A record with its fields.
    Record(Vec<Field>),
    /// An enum.
    Enum {
        /// Its symbols.
        symbols: Vec<String>,
        /// What an unknown symbol is read as.
        default: Option<Json>,
    },
    /// So many bytes.
    Fixed(i64),
}

/// A field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Type.
    pub node: Node,
    /// Documentation.
    pub doc: Option<Json>,
    /// Value when the writer has no such field.
    pub default: Option<Json>,
    /// Sort order, when it is not ascending.
    pub order: Option<Json>,
    /// Other names.
    pub aliases: Vec<String>,
    /// All other properties.
    pub props: Members,
}

impl Tree {
    /// Reads the text of a schema. Text that is no schema gives the reason: what Java's parser
    /// refuses even where it validates nothing. A bad default or a name with a space passes here;
    /// [`super::valid`] refuses them in what is new.
    pub fn parse(text: &str) -> Result<Tree, String> {
        let json = serde_json::from_str(&super::quoted(text))
            .map_err(|error| format!("not JSON: {error}"))?;
        let mut named = HashMap::new();
        let root = node(&json, None, &mut named)?;
        Ok(Tree { root, named })
    }

    /// Adds what `reference` defines, so that names of its types are known here.
    pub fn import(&mut self, reference: &Tree) {
        for (name, definition) in &reference.named {
            self.named
                .entry(name.clone())
                .or_insert_with(|| definition.clone());
        }
    }

    /// A named type by its full name; a name in a namespace also finds one without a namespace.
    pub fn find(&self, name: &str) -> Option<&Named> {
        self.named
            .get(name)
            .or_else(|| self.named.get(split(name).1))
    }
}

impl Named {
    /// Namespace and name.
    pub fn full_name(&self) -> String {
        qualify(&self.name, self.namespace.as_deref())
    }

    /// record, enum or fixed
    pub fn kind(&self) -> &'static str {
        match self.shape {
            Shape::Record(_) => "record",
            Shape::Enum { .. } => "enum",
            Shape::Fixed(_) => "fixed",
        }
    }
}

/// Namespace and name of a full name.
pub fn split(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('.') {
        Some(("", name)) => (None, name),
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    }
}

fn qualify(name: &str, namespace: Option<&str>) -> String {
    match (name.contains('.'), namespace) {
        (false, Some(namespace)) => format!("{namespace}.{name}"),
        _ => name.trim_start_matches('.').to_owned(),
    }
}

fn node(
    json: &Json,
    space: Option<&str>,
    named: &mut HashMap<String, Named>,
) -> Result<Node, String> {
    match json {
        Json::String(name) => Ok(reference(name, Vec::new(), space, named)),
        Json::Array(branches) => Ok(Node::Union(
            branches
                .iter()
                .map(|branch| node(branch, space, named))
                .collect::<Result<_, _>>()?,
        )),
        Json::Object(members) => object(json, members, space, named),
        other => Err(format!(
            "{other} is not a type; use a type name, an object or an array"
        )),
    }
}

fn reference(
    name: &str,
    props: Members,
    space: Option<&str>,
    named: &HashMap<String, Named>,
) -> Node {
    if let Some(kind) = Kind::of(name) {
        return Node::Primitive { kind, props };
    }
    let here = qualify(name, space);
    // A name in no namespace is found from within one.
    let name = if !named.contains_key(&here) && named.contains_key(name) {
        name.to_owned()
    } else {
        here
    };
    Node::Named {
        name,
        defines: false,
    }
}

fn object(
    json: &Json,
    members: &Members,
    space: Option<&str>,
    named: &mut HashMap<String, Named>,
) -> Result<Node, String> {
    let kind = match json.get("type") {
        Some(Json::String(kind)) => kind.as_str(),
        Some(nested) => return node(nested, space, named),
        None => return Err(format!("{json} has no \"type\"")),
    };
    let part = |name: &str| {
        json.get(name)
            .ok_or_else(|| format!("{kind} without \"{name}\""))
    };
    match kind {
        "array" => Ok(Node::Array {
            items: Box::new(node(part("items")?, space, named)?),
            props: others(members, &["type", "items"]),
        }),
        "map" => Ok(Node::Map {
            values: Box::new(node(part("values")?, space, named)?),
            props: others(members, &["type", "values"]),
        }),
        "record" | "error" | "enum" | "fixed" => define(kind, json, members, space, named),
        name => Ok(reference(name, others(members, &["type"]), space, named)),
    }
}

fn define(
    kind: &str,
    json: &Json,
    members: &Members,
    space: Option<&str>,
    named: &mut HashMap<String, Named>,
) -> Result<Node, String> {
    let given = json
        .get("name")
        .and_then(Json::as_str)
        .ok_or_else(|| format!("{kind} without \"name\""))?;
    let (namespace, name) = match (
        given.contains('.'),
        json.get("namespace").and_then(Json::as_str),
    ) {
        (true, _) => split(given),
        (false, Some("")) => (None, given),
        (false, Some(namespace)) => (Some(namespace), given),
        (false, None) => (space, given),
    };
    let full = qualify(name, namespace);
    let mut definition = Named {
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        doc: text(json, "doc"),
        aliases: strings(json, "aliases", &full)?
            .iter()
            .map(|alias| qualify(alias, namespace))
            .collect(),
        shape: Shape::Record(Vec::new()),
        props: Vec::new(),
    };
    let mut own = vec!["type", "name", "namespace", "doc", "aliases"];
    match kind {
        "enum" => {
            own.extend(["symbols", "default"]);
            if json.get("symbols").is_none() {
                return Err(format!("enum {full} without \"symbols\""));
            }
            definition.shape = Shape::Enum {
                symbols: strings(json, "symbols", &full)?,
                default: json.get("default").cloned(),
            };
        }
        "fixed" => {
            own.push("size");
            let size = json.get("size").and_then(Json::as_i64);
            let size = size.filter(|size| (0..=i64::from(i32::MAX)).contains(size));
            definition.shape =
                Shape::Fixed(size.ok_or_else(|| {
                    format!("fixed {full} needs a \"size\" from 0 to {}", i32::MAX)
                })?);
        }
        _ => own.push("fields"),
    }
    definition.props = others(members, &own);
    if named.insert(full.clone(), definition).is_some() {
        return Err(format!("{full} is defined twice"));
    }
    if matches!(kind, "record" | "error") {
        let Some(Json::Array(list)) = json.get("fields") else {
            return Err(format!("record {full} without \"fields\""));
        };
        let fields = list
            .iter()
            .map(|json| field(json, namespace, named))
            .collect::<Result<_, _>>()?;
        if let Some(definition) = named.get_mut(&full) {
            definition.shape = Shape::Record(fields);
        }
    }
    Ok(Node::Named {
        name: full,
        defines: true,
    })
}

fn field(
    json: &Json,
    space: Option<&str>,
    named: &mut HashMap<String, Named>,
) -> Result<Field, String> {
    let Json::Object(members) = json else {
        return Err(format!("{json} is not a field; use an object"));
    };
    let name = json
        .get("name")
        .and_then(Json::as_str)
        .ok_or("field without \"name\"")?;
    let kind = json
        .get("type")
        .ok_or_else(|| format!("field {name} without \"type\""))?;
    Ok(Field {
        name: name.to_owned(),
        node: node(kind, space, named)?,
        doc: text(json, "doc"),
        default: json.get("default").cloned(),
        order: order(json, name)?,
        aliases: strings(json, "aliases", name)?,
        props: others(
            members,
            &["name", "type", "doc", "default", "order", "aliases"],
        ),
    })
}

/// The sort order of a field when it is not ascending; the case makes no difference.
fn order(json: &Json, field: &str) -> Result<Option<Json>, String> {
    let Some(order) = json.get("order") else {
        return Ok(None);
    };
    match order.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("ascending") => Ok(None),
        Some(other @ ("descending" | "ignore")) => Ok(Some(other.into())),
        _ => Err(format!(
            "the order of field {field} is {order}; it may be ascending, descending or ignore"
        )),
    }
}

/// A member that is a text; another one is ignored, as Java does.
fn text(json: &Json, member: &str) -> Option<Json> {
    json.get(member).filter(|it| it.as_str().is_some()).cloned()
}

/// A member that is a list of texts; none is an empty one.
fn strings(json: &Json, member: &str, of: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("\"{member}\" of {of} must be an array of strings");
    match json.get(member) {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn others(members: &Members, own: &[&str]) -> Members {
    members
        .iter()
        .filter(|(key, _)| !own.contains(&key.as_str()))
        .cloned()
        .collect()
}
