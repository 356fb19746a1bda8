//! From the TOML of a topic file to a topic.

use std::path::Path;

use toml::Table;

use super::{Access, EventEntry, ResultsEntry, Route, Topic, fields::Fields};
use crate::{names, problem::Collector, schema};

/// Kept for a week unless the file says otherwise.
const RETENTION: &str = "7d";
const FOREVER: i64 = -1;

/// Bytes that idempotent answers may take unless the file says otherwise.
const IDEMPOTENCY_BYTES: usize = 256 * 1024;
/// Bytes of an object's own fields unless the file says otherwise.
const STATE_LIMIT: usize = 4 * 1024 * 1024;

/// Reads every topic file in `folder`; says whether all of them are TOML.
pub fn load(folder: &Path, problems: &Collector) -> (Vec<Topic>, bool) {
    let mut topics = Vec::new();
    let mut all_read = true;
    for (file, text) in schema::files(folder, "toml", problems) {
        // The crate that embeds the files may keep them beside its manifest.
        if file == "Cargo.toml" {
            continue;
        }
        match text.parse::<Table>() {
            Ok(table) => topics.push(topic(&file, Fields::new(&file, table, problems))),
            Err(error) => {
                all_read = false;
                let error = error.to_string();
                let error = error.lines().map(str::trim).collect::<Vec<_>>().join(" ");
                problems.add(
                    &file,
                    format!("is not TOML ({}): correct it.", error.trim()),
                );
            }
        }
    }
    (topics, all_read)
}

fn topic(file: &str, mut fields: Fields) -> Topic {
    let description = fields.required("description", "a sentence that says what the topic is for");
    let key = fields.required("key", "what the key is, such as \"order id\"");
    let subjects = fields.required(
        "subjects",
        "\"topic\" (one event) or \"topic-record\" (several)",
    );
    if !matches!(subjects.as_str(), "" | "topic" | "topic-record") {
        fields.problem(
            "subjects",
            "is unknown: write \"topic\" (one event) or \"topic-record\" (several).",
        );
    }
    let partitions = fields.positive("partitions").unwrap_or(8);
    let replication = fields.positive::<i16>("replication").map(i32::from);
    let retention = retention(&mut fields);
    let compact = fields.choice("cleanup", "delete", "compact");
    if compact && retention.is_some_and(|retention| retention != FOREVER) {
        fields.problem(
            "retention",
            "has no effect on a compacted topic: remove it.",
        );
    }
    let default = if compact {
        FOREVER
    } else {
        milliseconds(RETENTION).unwrap_or(FOREVER)
    };
    // A null value is how a record is deleted from a compacted topic.
    let skip_tombstones = fields
        .word("tombstones", &[("dead-letter", false), ("skip", true)])
        .unwrap_or(compact);
    let subscriptions = subscriptions(&mut fields);
    let events = fields.tables("events").into_iter().map(event).collect();
    let results = results(fields.table("results"), partitions);
    let batch = fields.choice("lane", "event", "batch");
    // The batch lane remembers by positions what was delivered, and writes a key's state in whole.
    let (input_window, idempotency_window) = if batch { (16, 8) } else { (64, 32) };
    let topic = Topic {
        file: file.to_owned(),
        name: file.trim_end_matches(".toml").to_owned(),
        description,
        key,
        one_subject: subjects == "topic",
        partitions,
        replication,
        retention_ms: retention.unwrap_or(default),
        compact,
        skip_tombstones,
        subscriptions,
        events,
        results,
        dead_letters: fields.boolean("dead-letters", true),
        replies: fields.boolean("replies", false),
        access: fields
            .word("access", &Access::WORDS)
            .unwrap_or(Access::Service),
        guard: fields.boolean("guard", false),
        guard_key_field: fields.string("guard-key-field"),
        generation: fields.positive("generation").unwrap_or(1),
        input_window: fields.positive("input-window").unwrap_or(input_window),
        idempotency_window: fields
            .positive("idempotency-window")
            .unwrap_or(idempotency_window),
        idempotency_bytes: fields
            .positive("idempotency-bytes")
            .unwrap_or(IDEMPOTENCY_BYTES),
        state_limit: fields.positive("state-limit").unwrap_or(STATE_LIMIT),
        identity_required: fields.choice("identity", "none", "required"),
        http: fields.tables("http").into_iter().map(route).collect(),
        batch,
    };
    fields.finish();
    topic
}

fn event(mut fields: Fields) -> EventEntry {
    let name = fields.required(
        "name",
        "the full name of a record, such as \"acme.orders.PlaceOrder\"",
    );
    let results = fields.strings("results");
    fields.finish();
    EventEntry { name, results }
}

fn results(fields: Option<Fields>, partitions: i32) -> ResultsEntry {
    let mut entry = ResultsEntry {
        present: fields.is_some(),
        partitions,
        retention_ms: milliseconds(RETENTION).unwrap_or(FOREVER),
        subscriptions: Vec::new(),
    };
    if let Some(mut fields) = fields {
        entry.partitions = fields.positive("partitions").unwrap_or(partitions);
        entry.retention_ms = retention(&mut fields).unwrap_or(entry.retention_ms);
        entry.subscriptions = subscriptions(&mut fields);
        fields.finish();
    }
    entry
}

fn route(mut fields: Fields) -> Route {
    let method = fields.required("method", "a method, such as \"POST\"");
    let path = fields.required("path", "a path, such as \"/orders/{order}\"");
    let key = fields.required("key", "a template of the key, such as \"{order}\"");
    let event = fields.required("event", "the full name of an event of this topic");
    let stripe = fields.choice("signature", "none", "stripe");
    let respond_async = fields.choice("respond", "wait", "async");
    let mut templates = Vec::new();
    for (name, value) in fields.entries("fields") {
        match value.as_str() {
            Some(template) => templates.push((name, template.to_owned())),
            None => fields.problem(
                &format!("fields.{name}"),
                "is not a template: write a string, or use `constants`.",
            ),
        }
    }
    let mut constants = Vec::new();
    for (name, value) in fields.entries("constants") {
        match serde_json::to_value(&value) {
            Ok(value) => constants.push((name, value)),
            Err(error) => fields.problem(
                &format!("constants.{name}"),
                &format!("has no JSON form ({error}): change it."),
            ),
        }
    }
    fields.finish();
    Route {
        method,
        path,
        key,
        event,
        stripe,
        respond_async,
        fields: templates,
        constants,
    }
}

fn subscriptions(fields: &mut Fields) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for text in fields.strings("subscriptions") {
        match text.split_once('/') {
            Some((service, handler))
                if names::is_avro_name(service) && names::is_avro_name(handler) =>
            {
                let pair = (service.to_owned(), handler.to_owned());
                if out.contains(&pair) {
                    fields.problem(
                        "subscriptions",
                        &format!("names `{text}` twice: remove one."),
                    );
                } else if out.iter().any(|(other, _)| other == service) {
                    fields.problem(
                        "subscriptions",
                        &format!(
                            "names service {service} twice: its objects would take the second \
                             delivery of an event for a repetition. Subscribe one handler of it."
                        ),
                    );
                } else {
                    out.push(pair);
                }
            }
            _ => fields.problem(
                "subscriptions",
                &format!("contains `{text}`: write Service/handler."),
            ),
        }
    }
    out
}

fn retention(fields: &mut Fields) -> Option<i64> {
    let text = fields.string("retention")?;
    let milliseconds = milliseconds(&text);
    if milliseconds.is_none() {
        fields.problem("retention", &format!("is `{text}`: write a positive number with ms, s, m, h or d, such as \"7d\", or \"forever\"."));
    }
    milliseconds
}

/// `7d` in milliseconds.
fn milliseconds(text: &str) -> Option<i64> {
    if text == "forever" {
        return Some(FOREVER);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: i64 = digits.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn retention_is_read() {
        assert_eq!(milliseconds("7d"), Some(604_800_000));
        assert_eq!(milliseconds("250ms"), Some(250));
        assert_eq!(milliseconds("2h"), Some(7_200_000));
        assert_eq!(milliseconds("forever"), Some(-1));
        for bad in [
            "",
            "7",
            "0d",
            "-1d",
            "7w",
            "d",
            "1.5h",
            "99999999999999999d",
            "7 d",
            "é",
        ] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
    }
}
