//! The rules that hold between the definitions of a folder.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Definition, EVENT_META, Kind, Schemas, Type, json, text};
use crate::{emit, problem::Collector};

pub fn check(schemas: &Schemas, with_library: bool, problems: &Collector) {
    let own = schemas
        .definitions
        .values()
        .filter(|definition| !definition.of_library);
    let mut paths = BTreeMap::new();
    for definition in own {
        let Definition {
            file, full_name, ..
        } = definition;
        if let Some(other) = paths.insert(emit::local_path(full_name), full_name) {
            problems.add(
                file,
                format!("`{full_name}` and `{other}` are the same in Rust: rename one."),
            );
        }
        if full_name != EVENT_META {
            event(definition, schemas, problems);
        }
        fields(definition, schemas, problems);
        aliases(definition, problems);
        if is_recursive(definition, schemas) {
            problems.add(
                file,
                format!(
                    "`{full_name}` contains itself, which is not supported: refer to it by an id."
                ),
            );
        } else if definition.top_level
            // Otherwise it would be reported twice, and less clearly.
            && problems.is_empty()
            && let Err(error) = apache_avro::Schema::parse_str(&text(definition, schemas))
        {
            problems.add(
                file,
                format!("is not a valid Avro schema ({error}): correct it."),
            );
        }
    }
    examples(schemas, with_library, problems);
}

/// The rules for what a file is named after.
fn event(definition: &Definition, schemas: &Schemas, problems: &Collector) {
    let Definition {
        file, full_name, ..
    } = definition;
    if !definition.top_level {
        return;
    }
    if definition.doc.is_none() {
        problems.add(
            file,
            format!("`{full_name}` has no `doc`: say in a sentence what it is for."),
        );
    }
    let shared = schemas.is_shared(full_name);
    if !definition.is_event() {
        if !shared {
            let what = match definition.kind {
                Kind::Record(_) => {
                    "has no field `meta` and no other schema uses it: add { \"name\": \"meta\", \"type\": [\"null\", \"millstream.EventMeta\"], \"default\": null } as its last field, or delete the file."
                }
                Kind::Enum { .. } => "is an enum that no other schema uses: delete the file.",
            };
            problems.add(file, format!("`{full_name}` {what}"));
        }
        return;
    }
    if shared {
        problems.add(file, format!("`{full_name}` is an event, because it has `meta`, but another schema contains it: remove `meta`, or copy the fields."));
    }
    let fields = definition.fields();
    if let Some(meta) = fields.iter().find(|field| field.name == "meta") {
        if fields.last().is_none_or(|last| last.name != "meta") {
            problems.add(
                file,
                format!("`meta` is not the last field of `{full_name}`: move it to the end."),
            );
        }
        if meta.ty != Type::Optional(Box::new(Type::Named(EVENT_META.into()))) {
            problems.add(file, format!("the type of `meta` in `{full_name}` is wrong: write [\"null\", \"millstream.EventMeta\"]."));
        }
        if meta.default != Some(Value::Null) {
            problems.add(
                file,
                format!("`meta` in `{full_name}` has no default: add \"default\": null."),
            );
        }
    }
}

fn fields(definition: &Definition, schemas: &Schemas, problems: &Collector) {
    let Definition {
        file, full_name, ..
    } = definition;
    for field in definition.fields() {
        let at = format!("{full_name}.{}", field.name);
        let is_meta = definition.is_event() && field.name == "meta";
        match field.ty.named() {
            Some(EVENT_META) if !is_meta => {
                problems.add(
                    file,
                    format!(
                        "`{at}` is an EventMeta, which only `meta` may be: use fields of your own."
                    ),
                );
            }
            Some(name) if schemas.get(name).is_none() && !schemas.unread.contains(name) => {
                problems.add(file, format!("`{at}` refers to `{name}`, which does not exist: add {name}.avsc, or correct the name."));
            }
            _ => {}
        }
        // The default of `meta` has a check of its own.
        let Some(default) = field.default.as_ref().filter(|_| !is_meta) else {
            continue;
        };
        if !matches!(field.ty, Type::Optional(_)) {
            for mismatch in json::mismatches(default, &field.ty, schemas) {
                problems.add(
                    file,
                    format!("the default of `{at}` does not fit its type: {mismatch}."),
                );
            }
        } else if !default.is_null() {
            problems.add(
                file,
                format!("the default of `{at}` is not null: an optional field's default is null."),
            );
        }
    }
}

/// An alias names one field of other versions, which no field of this one may be.
fn aliases(definition: &Definition, problems: &Collector) {
    let Definition {
        file, full_name, ..
    } = definition;
    if definition.is_event() && !definition.aliases.is_empty() {
        problems.add(
            file,
            format!("`{full_name}` has `aliases`, but handlers know an event by its name: remove them, and make a new event for a new name."),
        );
    }
    let fields = definition.fields();
    let mut names: BTreeSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    for (field, alias) in fields
        .iter()
        .flat_map(|field| field.aliases.iter().map(move |alias| (field, alias)))
    {
        if !names.insert(alias) {
            problems.add(
                file,
                format!(
                    "the alias `{alias}` of `{full_name}.{}` is another field too: remove it.",
                    field.name
                ),
            );
        }
    }
}

fn is_recursive(definition: &Definition, schemas: &Schemas) -> bool {
    fn reaches(from: &Definition, goal: &str, schemas: &Schemas, seen: &mut Vec<String>) -> bool {
        from.fields()
            .iter()
            .filter_map(|field| field.ty.named())
            .any(|name| {
                if name == goal {
                    return true;
                }
                if seen.iter().any(|seen| seen == name) {
                    return false;
                }
                seen.push(name.to_owned());
                schemas
                    .get(name)
                    .is_some_and(|next| reaches(next, goal, schemas, seen))
            })
    }
    reaches(definition, &definition.full_name, schemas, &mut Vec::new())
}

fn examples(schemas: &Schemas, with_library: bool, problems: &Collector) {
    for event in schemas.events().filter(|event| !event.of_library) {
        let file = format!("examples/{}.json", event.full_name);
        let Some(example) = schemas.examples.get(&event.full_name) else {
            problems.add(
                &event.file,
                format!("has no example: add {file}, one event in JSON without `meta`."),
            );
            continue;
        };
        match serde_json::from_str::<Value>(example) {
            Ok(value) => {
                let body: Vec<_> = event.body().collect();
                for mismatch in json::record_mismatches(&value, body.iter().copied(), schemas) {
                    problems.add(&file, format!("does not fit the schema: {mismatch}."));
                }
            }
            Err(error) => problems.add(&file, format!("is not JSON ({error}): correct it.")),
        }
    }
    for name in schemas.examples.keys() {
        let known = schemas
            .get(name)
            .is_some_and(|found| found.is_event() && !found.of_library);
        let copied = with_library && schemas.get(name).is_some_and(|found| found.of_library);
        if !known && !copied && !schemas.unread.contains(name) {
            problems.add(
                &format!("examples/{name}.json"),
                format!("there is no event `{name}`: add {name}.avsc, or delete the example."),
            );
        }
    }
}
