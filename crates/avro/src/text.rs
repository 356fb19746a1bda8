//! The text of a schema as Confluent's registry writes it, so that equal schemas are equal texts in
//! both: compact JSON, attributes in a fixed order, own properties in theirs.

use std::collections::HashMap;

use super::json::{Json, Members};
use super::tree::{Field, Kind, Named, Node, Shape, Tree, split};

/// The text under which a schema is stored and compared. White space, the order of attributes and
/// redundant namespaces make no difference; documentation and properties do.
pub fn canonical(tree: &Tree) -> String {
    Writer {
        named: &tree.named,
        normalize: false,
    }
    .node(&tree.root, None)
    .to_string()
}

/// The text for `normalize=true`: as [`canonical`], with all names in full and without the order of
/// properties and aliases, which mean nothing in Avro.
pub fn normalized(tree: &Tree) -> String {
    Writer {
        named: &tree.named,
        normalize: true,
    }
    .node(&tree.root, None)
    .to_string()
}

struct Writer<'a> {
    named: &'a HashMap<String, Named>,
    normalize: bool,
}

impl Writer<'_> {
    fn node(&self, node: &Node, space: Option<&str>) -> Json {
        match node {
            Node::Primitive { kind, props } if props.is_empty() => Json::from(kind.name()),
            Node::Primitive { kind, props } => {
                self.object(vec![member("type", Json::from(kind.name()))], props)
            }
            Node::Array { items, props } => self.object(
                vec![
                    member("type", "array".into()),
                    member("items", self.node(items, space)),
                ],
                props,
            ),
            Node::Map { values, props } => self.object(
                vec![
                    member("type", "map".into()),
                    member("values", self.node(values, space)),
                ],
                props,
            ),
            Node::Union(branches) => {
                Json::Array(branches.iter().map(|b| self.node(b, space)).collect())
            }
            Node::Named { name, defines } => match self.named.get(name) {
                Some(definition) if *defines => self.definition(definition, space),
                _ => Json::String(self.relative(name, space)),
            },
        }
    }

    fn definition(&self, named: &Named, space: Option<&str>) -> Json {
        let own_space = named.namespace.as_deref();
        let mut members = vec![member("type", named.kind().into())];
        if self.normalize {
            members.insert(0, member("name", Json::String(named.full_name())));
        } else {
            members.push(member("name", named.name.as_str().into()));
            if own_space != space {
                members.push(member("namespace", own_space.unwrap_or_default().into()));
            }
        }
        members.extend(named.doc.clone().map(|doc| member("doc", doc)));
        match &named.shape {
            Shape::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|field| self.field(field, own_space))
                    .collect();
                members.push(member("fields", Json::Array(fields)));
            }
            Shape::Enum { symbols, default } => {
                let symbols = symbols
                    .iter()
                    .map(|symbol| symbol.as_str().into())
                    .collect();
                members.push(member("symbols", Json::Array(symbols)));
                members.extend(default.clone().map(|default| member("default", default)));
            }
            Shape::Fixed(size) => members.push(member("size", Json::Number((*size).into()))),
        }
        let aliases = named
            .aliases
            .iter()
            .map(|alias| self.relative(alias, own_space))
            .collect();
        let aliases = self.aliases(aliases);
        match self.object(members, &named.props) {
            Json::Object(mut members) => {
                members.extend(aliases);
                Json::Object(members)
            }
            other => other,
        }
    }

    fn field(&self, field: &Field, space: Option<&str>) -> Json {
        let mut members = vec![
            member("name", field.name.as_str().into()),
            member("type", self.node(&field.node, space)),
        ];
        members.extend(field.doc.clone().map(|doc| member("doc", doc)));
        members.extend(
            field
                .default
                .clone()
                .map(|default| member("default", default)),
        );
        members.extend(field.order.clone().map(|order| member("order", order)));
        members.extend(self.aliases(field.aliases.clone()));
        self.object(members, &field.props)
    }

    fn aliases(&self, mut aliases: Vec<String>) -> Option<(String, Json)> {
        if self.normalize {
            aliases.sort();
        }
        let list = aliases.into_iter().map(Json::String).collect::<Vec<_>>();
        (!list.is_empty()).then(|| member("aliases", Json::Array(list)))
    }

    fn object(&self, mut members: Members, props: &Members) -> Json {
        if self.normalize {
            let Json::Object(props) = Json::Object(props.clone()).sorted() else {
                return Json::Null;
            };
            members.extend(props);
        } else {
            members.extend(props.iter().cloned());
        }
        Json::Object(members)
    }

    /// The shortest name that means `full` within the namespace `space`.
    fn relative(&self, full: &str, space: Option<&str>) -> String {
        let (namespace, name) = split(full);
        let short = !self.normalize && namespace == space && Kind::of(name).is_none();
        if short { name } else { full }.to_owned()
    }
}

fn member(name: &str, value: Json) -> (String, Json) {
    (name.to_owned(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(schema: &str) -> String {
        canonical(&Tree::parse(schema).unwrap())
    }

    #[test]
    fn attributes_take_their_order_and_white_space_goes() {
        let schema = r#"{ "namespace": "a.b", "doc": "d", "fields": [
            { "default": null, "doc": "x", "type": ["null", { "type": "long", "logicalType": "timestamp-micros" }], "name": "t" },
            { "type": { "type": "string" }, "name": "s", "b": 1, "a": 2 } ],
            "name": "R", "type": "record", "owner": "me", "aliases": ["Q", "c.P"] }"#;
        assert_eq!(
            text(schema),
            concat!(
                r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":["#,
                r#"{"name":"t","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"doc":"x","default":null},"#,
                r#"{"name":"s","type":"string","b":1,"a":2}],"owner":"me","aliases":["Q","c.P"]}"#
            )
        );
    }

    #[test]
    fn a_namespace_is_written_only_where_it_changes() {
        let schema = r#"{"type":"record","name":"a.R","fields":[
            {"name":"x","type":{"type":"enum","name":"E","namespace":"a","symbols":["A"],"default":"A"}},
            {"name":"y","type":{"type":"fixed","name":"b.F","size":4}},
            {"name":"z","type":["null","a.E","b.F"]}]}"#;
        assert_eq!(
            text(schema),
            concat!(
                r#"{"type":"record","name":"R","namespace":"a","fields":["#,
                r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}},"#,
                r#"{"name":"y","type":{"type":"fixed","name":"F","namespace":"b","size":4}},"#,
                r#"{"name":"z","type":["null","E","b.F"]}]}"#
            )
        );
    }

    #[test]
    fn normalizing_forgets_the_order_of_properties() {
        let one =
            r#"{"type":"record","name":"R","namespace":"n","b":1,"a":{"y":1,"x":2},"fields":[]}"#;
        let two = r#"{"type":"record","name":"n.R","a":{"x":2,"y":1},"b":1,"fields":[]}"#;
        assert_ne!(text(one), text(two));
        let normal = |schema| normalized(&Tree::parse(schema).unwrap());
        assert_eq!(normal(one), normal(two));
    }

    #[test]
    fn text_is_stable() {
        for file in ["ReserveProduct", "ProductReserved"] {
            let path = format!(
                "{}/../../schemas/millstream.product_reservations.{file}.avsc",
                env!("CARGO_MANIFEST_DIR")
            );
            let once = text(&std::fs::read_to_string(path).unwrap());
            assert_eq!(text(&once), once);
        }
    }

    #[test]
    fn a_bare_primitive_is_a_schema() {
        assert_eq!(text("string"), r#""string""#);
        assert_eq!(text(r#"{"type":"int"}"#), r#""int""#);
        assert!(Tree::parse("{").is_err());
        assert!(Tree::parse("{}").is_err());
        assert!(Tree::parse(r#"{"type":"record","name":"R"}"#).is_err());
    }
}
