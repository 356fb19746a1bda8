//! The rules that hold between topics, and between topics and schemas.

use std::collections::BTreeMap;

use super::{Access, OF_LIBRARY, Topic, http, lane, once};
use crate::{
    names,
    problem::Collector,
    schema::{REQUEST_FAILED, Schemas, WORK_DUE},
};

/// Leaves room for the suffixes within Kafka's 249 characters.
const LONGEST_NAME: usize = 200;

/// The most that an object may keep. Restate pauses an invocation whose state has more than 32 MiB,
/// whoever wrote it: the state has both parts in it, and the second one as base64.
const LARGEST_STATE: usize = 16 * 1024 * 1024;
const MOST_ANSWERS: usize = 4 * 1024 * 1024;

/// `all_read`: no topic file is left out because it is no TOML.
pub fn check(topics: &[Topic], all_read: bool, schemas: &Schemas, problems: &Collector) {
    let mut owners: BTreeMap<&str, &Topic> = BTreeMap::new();
    let mut handles: BTreeMap<String, &Topic> = BTreeMap::new();
    for topic in topics {
        name(topic, problems);
        if let Some(other) = handles.insert(names::pascal_case(&topic.name), topic) {
            problems.add(
                &topic.file,
                format!(
                    "the names `{}` and `{}` are the same in Rust: rename one.",
                    topic.name, other.name
                ),
            );
        }
        counts(topic, problems);
        for event in &topic.events {
            is_event(topic, &event.name, schemas, problems);
            if !topic.replies {
                namespace(topic, &event.name, problems);
                match owners.insert(&event.name, topic) {
                    Some(other) if other.name == topic.name => {
                        problems.add(
                            &topic.file,
                            format!("lists `{}` twice: remove one.", event.name),
                        );
                    }
                    Some(other) => {
                        problems.add(&topic.file, format!("`{}` is on the topic `{}` too: an event belongs to one topic, remove it from the other.", event.name, other.name));
                    }
                    None => {}
                }
            }
            for (index, result) in event.results.iter().enumerate() {
                if result == REQUEST_FAILED {
                    problems.add(
                        &topic.file,
                        format!(
                            "`{}` lists {REQUEST_FAILED}, which every command may have: remove it.",
                            event.name
                        ),
                    );
                } else if event.results[..index].contains(result) {
                    problems.add(
                        &topic.file,
                        format!(
                            "`{}` lists the result `{result}` twice: remove one.",
                            event.name
                        ),
                    );
                } else {
                    is_event(topic, result, schemas, problems);
                }
            }
        }
    }
    http::check(topics, schemas, problems);
    lane::check(topics, problems);
    once::check(topics, problems);
    if all_read {
        orphans(topics, schemas, problems);
    }
}

/// Reports topics that are called like one of the library.
pub fn check_names(topics: &[Topic], problems: &Collector) {
    for Topic { file, name, .. } in topics {
        if OF_LIBRARY.contains(&&name[..]) {
            problems.add(
                file,
                format!("`{name}` is a topic of the library, which every catalogue has: delete the file, or rename it."),
            );
        }
    }
}

fn name(topic: &Topic, problems: &Collector) {
    let Topic { file, name, .. } = topic;
    if !names::is_kebab_case(name) {
        problems.add(file, format!("the topic's name `{name}` is not in kebab-case: rename the file, such as product-reservations.toml."));
    }
    if name.len() > LONGEST_NAME {
        problems.add(file, format!("the topic's name is longer than {LONGEST_NAME} characters: shorten the file's name."));
    }
    for suffix in ["-results", "-results-once", "-dlq", "-guarded"] {
        if name.ends_with(suffix) {
            problems.add(file, format!("a topic's name cannot end in {suffix}, which belongs to the topics that come with it: rename the file."));
        }
    }
}

fn counts(topic: &Topic, problems: &Collector) {
    let Topic { file, .. } = topic;
    if topic.one_subject && topic.events.len() != 1 {
        problems.add(file, format!("`subjects` is \"topic\", but it has {} events: list exactly one, or write \"topic-record\".", topic.events.len()));
    } else if topic.events.is_empty() && !topic.replies {
        problems.add(file, "has no events: add [[events]] with a name.");
    }
    if topic.replies && topic.has_commands() {
        problems.add(
            file,
            "takes replies, so its events cannot have results: remove `results`.",
        );
    }
    if topic.replies && matches!(topic.access, Access::Public | Access::Signed) {
        problems.add(
            file,
            "takes replies, which only services give: change `access` to \"service\" or \"library\".",
        );
    }
    if topic.access == Access::Signed && !topic.http.iter().any(|route| route.stripe) {
        problems.add(
            file,
            "is \"signed\", but no route has a signature: add `signature` to one, or change `access`.",
        );
    }
    for (field, value, most) in [
        ("state-limit", topic.state_limit, LARGEST_STATE),
        ("idempotency-bytes", topic.idempotency_bytes, MOST_ANSWERS),
    ] {
        if value > most {
            problems.add(
                file,
                format!("`{field}` is {value}, and at 32 MiB of state Restate pauses the key: write {most} or less."),
            );
        }
    }
    if topic.guard && (topic.replies || !topic.dead_letters) {
        problems.add(
            file,
            "is guarded, so it takes no `replies` and needs `dead-letters`: remove one or the other.",
        );
    }
    if topic.guard_key_field.is_some() && !topic.guard {
        problems.add(
            file,
            "has `guard-key-field` without a guard: add `guard = true`, or remove it.",
        );
    }
    if topic.results.present && !topic.has_commands() {
        problems.add(file, "has [results], but no event with results: remove it.");
    }
}

fn is_event(topic: &Topic, full_name: &str, schemas: &Schemas, problems: &Collector) {
    if full_name.is_empty() || schemas.unread.contains(full_name) {
        return;
    }
    match schemas.get(full_name) {
        Some(definition) if definition.is_event() => {}
        Some(_) => problems.add(
            &topic.file,
            format!("`{full_name}` is no event: name a record that has the field `meta`."),
        ),
        None => problems.add(
            &topic.file,
            format!("`{full_name}` has no schema: add {full_name}.avsc, or correct the name."),
        ),
    }
}

fn namespace(topic: &Topic, full_name: &str, problems: &Collector) {
    let expected = names::snake_case(&topic.name);
    let (namespace, name) = names::split(full_name);
    let (root, last) = names::split(namespace);
    if !full_name.is_empty() && last != expected {
        let root = if root.is_empty() { last } else { root };
        problems.add(&topic.file, format!("the namespace of `{full_name}` does not match the topic: rename it to {root}.{expected}.{name}."));
    }
}

fn orphans(topics: &[Topic], schemas: &Schemas, problems: &Collector) {
    for event in schemas.events().filter(|event| !event.of_library) {
        let used = topics
            .iter()
            .flat_map(|topic| &topic.events)
            .any(|entry| entry.name == event.full_name || entry.results.contains(&event.full_name));
        if !used && ![REQUEST_FAILED, WORK_DUE].contains(&&event.full_name[..]) {
            problems.add(&event.file, "is neither an event nor a result of any topic: list it in a topic file, or delete it.");
        }
    }
}
