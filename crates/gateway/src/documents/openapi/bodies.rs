//! What requests hold: a schema that says no more and no less than what the gateway takes.

use std::collections::BTreeMap;

use millstream_events::{Declaration, EventDeclaration};
use serde_json::{Map, Value, json};

use super::super::schema::{Schemas, Way, described, integer, nullable, object, reference};
use super::{component, short};
use crate::routes::Route;
use crate::template::{Part, Source, Template};
use millstream_pipeline::codec::fields;
use millstream_pipeline::record::key::MAX_KEY_BYTES;

/// Bytes that a character may take.
const WIDEST: usize = 4;

/// A key, of which the path or the body holds one of `parts`; `fixed` bytes of it are the route's.
///
/// The limit is in bytes, which a schema cannot say: so many characters always fit.
pub fn key(what: &str, fixed: usize, parts: usize) -> Value {
    let longest = MAX_KEY_BYTES.saturating_sub(fixed) / WIDEST / parts.max(1);
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": longest,
        "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        "description": format!(
            "{what}; without control characters. The whole key has at most {MAX_KEY_BYTES} bytes as \
             UTF-8; so many characters always fit."
        ),
    })
}

/// A parameter of a route's path.
pub fn parameter(route: &Route, name: &str, schemas: &mut Schemas) -> Value {
    if let Template::Text(parts) = &route.key {
        let literals = parts.iter().map(|part| match part {
            Part::Literal(text) => text.len(),
            Part::Parameter(_) => 0,
        });
        let of_path = |part: &&Part| matches!(part, Part::Parameter(_));
        if parts.contains(&Part::Parameter(name.to_owned())) {
            let parameters = parts.iter().filter(of_path).count();
            return key(route.declaration.key, literals.sum(), parameters);
        }
    }
    let takes = |template: &Template| *template == Template::parse(&format!("{{{name}}}"));
    let field = route.fields.iter().find(|(_, template)| takes(template));
    let schema = field.map(|(field, _)| schemas.field((route.event.schema)(), field).0);
    match schema {
        Some(schema) if schema["type"] != "string" => schema,
        // An empty segment would be another path.
        Some(mut schema) => {
            schema["minLength"] = 1.into();
            schema
        }
        None => json!({ "type": "string", "minLength": 1 }),
    }
}

/// The body of a declared route; `None`: it takes none.
pub fn declared(route: &Route, schemas: &mut Schemas) -> Option<Value> {
    let event = (route.event.schema)();
    let (mut members, mut whole, mut needed) = (Members::default(), None, Vec::new());
    let fields = route.fields.iter();
    let fields = fields.map(|(field, template)| (Some(*field), template));
    for (field, template) in fields.chain([(None, &route.key)]) {
        let (schema, is_required) = match field {
            Some(field) => schemas.field(event, field),
            None => (key(route.declaration.key, 0, 1), true),
        };
        let made = template.sources().contains(&Source::Id);
        let ways: Vec<&[String]> = template.sources().iter().filter_map(Source::way).collect();
        for source in template.sources() {
            match source {
                Source::Id => {}
                Source::Body => whole = Some((schema.clone(), is_required)),
                // As it came, whatever it is.
                Source::Raw => {
                    whole.get_or_insert((json!({}), is_required));
                }
                Source::Member(way) => members.add(way, schema.clone(), field.is_none()),
                Source::Seconds(way) => members.add(way, seconds(event, field), false),
            }
        }
        if is_required && !made && !ways.is_empty() {
            needed.push(ways);
        }
    }
    let takes_raw_alone = members.inner.is_empty() && route.takes_raw();
    let content = match takes_raw_alone {
        true => "application/octet-stream",
        false => "application/json",
    };
    let (schema, is_required) = match (members.inner.is_empty(), whole) {
        (true, None) => return None,
        (true, Some(whole)) => whole,
        (false, whole) => {
            // Where one of several members will do, one that must be there anyhow is enough.
            let (one, several): (Vec<_>, Vec<_>) =
                needed.into_iter().partition(|ways| ways.len() == 1);
            one.iter().for_each(|ways| members.require(ways[0]));
            let several = several
                .iter()
                .filter(|ways| !ways.iter().any(|way| members.requires(way)));
            let choices: Vec<Value> = several.map(|ways| one_of(ways)).collect();
            let must_be_there = members.must_be_there() || !choices.is_empty();
            let mut schema = members.schema(whole.is_none(), true);
            if !choices.is_empty() {
                schema["allOf"] = choices.into();
            }
            (schema, must_be_there)
        }
    };
    Some(json!({ "required": is_required, "content": { content: { "schema": schema } } }))
}

/// Seconds since 1970 that fit into this field's unit.
fn seconds(event: &millstream_events::EventSchema, field: Option<&str>) -> Value {
    let units = field.map_or(1, |field| fields::units_per_second(event, field));
    let mut schema = integer(64);
    schema["minimum"] = (i64::MIN / units).into();
    schema["maximum"] = (i64::MAX / units).into();
    described(schema, "Seconds since 1970-01-01 UTC.")
}

/// That one of these members is there.
fn one_of(ways: &[&[String]]) -> Value {
    let there = ways.iter().map(|way| {
        let parts = way.iter().rev();
        parts.fold(json!({}), |inner, name| {
            let mut schema = json!({ "required": [name] });
            if inner != json!({}) {
                schema["properties"] = json!({ name: inner });
            }
            schema
        })
    });
    json!({ "anyOf": there.collect::<Vec<_>>() })
}

/// Members of a body, each with those within it.
#[derive(Default)]
struct Members {
    inner: BTreeMap<String, Members>,
    /// What is taken of it as a whole.
    schema: Option<Value>,
    is_required: bool,
}

impl Members {
    fn add(&mut self, way: &[String], schema: Value, is_key: bool) {
        let Some((first, rest)) = way.split_first() else {
            // What is a key as well has a key's limits.
            if self.schema.is_none() || is_key && self.schema == Some(json!({ "type": "string" })) {
                self.schema = Some(schema);
            }
            return;
        };
        let inner = self.inner.entry(first.clone()).or_default();
        inner.add(rest, schema, is_key);
    }

    fn require(&mut self, way: &[String]) {
        if let Some((first, rest)) = way.split_first()
            && let Some(member) = self.inner.get_mut(first)
        {
            member.is_required = true;
            member.require(rest);
        }
    }

    fn requires(&self, way: &[String]) -> bool {
        way.split_first().is_none_or(|(first, rest)| {
            let member = self.inner.get(first);
            member.is_some_and(|it| it.is_required && it.requires(rest))
        })
    }

    fn must_be_there(&self) -> bool {
        self.inner.values().any(|member| member.is_required)
    }

    /// `strict`: nothing else may be in it. What need not be there may be null.
    fn schema(self, strict: bool, is_root: bool) -> Value {
        let must_be_there = is_root || self.is_required;
        let schema = match (self.inner.is_empty(), self.schema) {
            (true, schema) => schema.unwrap_or_else(|| json!({})),
            (false, whole) => {
                let required = self.inner.iter().filter(|(_, member)| member.is_required);
                let required: Vec<String> = required.map(|(name, _)| name.clone()).collect();
                let properties = self.inner.into_iter();
                let properties: Map<String, Value> = properties
                    .map(|(name, member)| (name, member.schema(strict, false)))
                    .collect();
                let way = match strict && whole.is_none() {
                    true => Way::Sent,
                    false => Way::Told,
                };
                object(Value::Object(properties), &required, way)
            }
        };
        match must_be_there {
            true => schema,
            false => nullable(schema),
        }
    }
}

/// The body of `POST /v1/topics/{topic}/{key}`: a definition for each kind of event, told apart by
/// `type`, with both names that each has.
pub fn generic(declaration: &Declaration, schemas: &mut Schemas) -> Value {
    let all = format!("{}.Event", declaration.name);
    let events = declaration.events;
    if let [event] = events {
        let schema = event_of(declaration, event, schemas);
        return schemas.define(&all, schema);
    }
    let (mut alternatives, mut mapping) = (Vec::new(), Map::new());
    for event in events {
        let schema = event_of(declaration, event, schemas);
        let name = component(declaration, event);
        for name_of_event in names(declaration, event) {
            let reference = reference(&name)["$ref"].take();
            mapping.insert(name_of_event.to_owned(), reference);
        }
        alternatives.push(schemas.define(&name, schema));
    }
    schemas.define(&all, super::alternatives(alternatives, "type", mapping))
}

fn event_of(declaration: &Declaration, event: &EventDeclaration, schemas: &mut Schemas) -> Value {
    let schema = (event.schema)();
    let mut data = schemas.event(schema, Way::Sent);
    let needs_data = fields::names(schema).any(|field| schemas.field(schema, field).1);
    let mut required = Vec::new();
    if declaration.events.len() > 1 {
        required.push("type");
    }
    match needs_data {
        true => required.push("data"),
        false => data = nullable(data),
    }
    let names = names(declaration, event);
    object(
        json!({ "type": { "type": "string", "enum": names }, "data": data }),
        &required,
        Way::Sent,
    )
}

/// An event's names: the full one, and its last part where no other event of the topic has it.
fn names(declaration: &Declaration, event: &EventDeclaration) -> Vec<&'static str> {
    let last = short(event.full_name);
    let same = |it: &&EventDeclaration| short(it.full_name) == last;
    match declaration.events.iter().filter(same).count() {
        1 => vec![event.full_name, last],
        _ => vec![event.full_name],
    }
}
