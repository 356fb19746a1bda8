//! A line of input, before anybody knows which schema it should fit.

use serde_json::{Map, Value};

use crate::codec::fields::FieldError;

/// What `tail` prints besides, and what a new record gets anew.
const PRINTED: [&str; 5] = ["topic", "partition", "offset", "timestamp", "headers"];

/// One line of input. What `tail` prints can be read again.
#[derive(Debug, Clone, Default)]
pub struct JsonEvent {
    /// The record's key.
    pub key: String,
    /// Full name of the event, or its last part; may be left out on a topic with one kind.
    pub name: Option<String>,
    /// The event's fields without `meta`.
    pub data: Map<String, Value>,
    /// Fields of `meta` that are not to be made up.
    pub meta: Map<String, Value>,
}

impl JsonEvent {
    /// Reads as much as can be read, and says everything that is wrong with the rest.
    pub(super) fn read(line: Value) -> (Self, Vec<FieldError>) {
        let (mut event, mut errors) = (Self::default(), Vec::new());
        let Value::Object(members) = line else {
            errors.push(FieldError::new("", "a line is a JSON object"));
            return (event, errors);
        };
        let mut wrong = |field: &str, detail: &str| errors.push(FieldError::new(field, detail));
        if !members.contains_key("key") {
            wrong("key", "is missing");
        }
        for (name, value) in members {
            match (name.as_str(), value) {
                ("key", Value::String(key)) => event.key = key,
                ("key", _) => wrong("key", "must be a string"),
                ("type", Value::String(name)) => event.name = Some(name),
                ("data", Value::Object(data)) => event.data = data,
                ("meta", Value::Object(meta)) => event.meta = meta,
                ("type" | "meta", Value::Null) => {}
                ("type", _) => wrong("type", "must be a string"),
                ("data" | "meta", _) => wrong(&name, "must be an object"),
                (printed, _) if PRINTED.contains(&printed) => {}
                _ => wrong(
                    &name,
                    "is no member of a line, which has key, type, data and meta",
                ),
            }
        }
        (event, errors)
    }
}
