//! The fields of an event for people to see, without what gives somebody a right.

use millstream_pipeline::events::EventMeta;
use millstream_pipeline::record::Record;
use serde_json::{Map, Value};

use crate::journey::Content;
use crate::tree::Roles;

/// Stands for what is not shown.
const HIDDEN: &str = "***";
/// Fields of `meta` that are not shown: `proof` proves a principal, and who knows a `reply_key` can answer.
const META: [&str; 2] = ["proof", "reply_key"];
/// What the names of secrets contain, without their `-` and `_`.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "signature",
    "cardnumber",
    "cvc",
    "cvv",
];
/// Deeper values are not looked into; the codec lets none pass.
const DEPTH: usize = 64;
/// Headers that tell nothing that the node does not tell.
const KNOWN: [&str; 4] = ["ce_", "trace", "__connect.errors.", "kafka_dlt-"];

/// Whether a field or header of this name holds a secret, as far as its name tells.
fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

/// Hides what the names of fields call a secret.
pub fn without_secrets(value: Value) -> Value {
    hide(value, DEPTH)
}

fn hide(value: Value, depth: usize) -> Value {
    match value {
        Value::Object(_) | Value::Array(_) if depth == 0 => Value::String(HIDDEN.into()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let is_hidden = is_secret(&name) && !value.is_null();
                let value = if is_hidden {
                    Value::String(HIDDEN.into())
                } else {
                    hide(value, depth - 1)
                };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|it| hide(it, depth - 1)).collect())
        }
        plain => plain,
    }
}

/// Hides what a timer is set for: the event's bytes have no names by which its secrets are known, and
/// the key may be that of a reply.
pub fn hide_timed(data: &mut Value, roles: &Roles) {
    hide_bytes(data, "value");
    let hides_key = data["topic"]
        .as_str()
        .is_some_and(|it| roles.hides_keys(it));
    if let Some(key) = data.get_mut("key").filter(|_| hides_key) {
        *key = Value::String(HIDDEN.into());
    }
}

fn hide_bytes(data: &mut Value, field: &str) {
    let Some(value) = data.get_mut(field) else {
        return;
    };
    let count = match value {
        Value::Array(bytes) => bytes.len(),
        // A letter is a byte.
        Value::String(text) => text.chars().count(),
        _ => return,
    };
    *value = Value::String(format!("{HIDDEN} ({count} bytes)"));
}

/// `meta` as JSON, without nulls.
pub fn of_meta(meta: &EventMeta) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(meta) else {
        return None;
    };
    fields.retain(|_, value| !value.is_null());
    for name in META {
        if let Some(value) = fields.get_mut(name) {
            *value = Value::String(HIDDEN.into());
        }
    }
    Some(fields)
}

/// Headers that are text, with what a node says of itself left out.
pub fn of_headers(record: &Record) -> Vec<(String, String)> {
    let headers = record.headers.iter();
    let told = |name: &str| KNOWN.iter().any(|known| name.starts_with(known));
    headers
        .filter(|(name, _)| !told(name))
        .filter_map(|(name, value)| {
            let text = std::str::from_utf8(value.as_deref()?).ok()?;
            let text = if is_secret(name) { HIDDEN } else { text };
            Some((name.to_string(), text.to_owned()))
        })
        .collect()
}

/// All of it.
pub fn of(
    record: &Record,
    data: Option<Value>,
    meta: Option<&EventMeta>,
    undecodable: Option<String>,
) -> Content {
    Content {
        data: data.map(without_secrets),
        meta: meta.and_then(of_meta),
        headers: of_headers(record),
        undecodable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_name_calls_a_secret_is_not_shown() {
        let event = json!({
            "card": {"card_number": "4111", "amount_cents": 5, "cvc": null},
            "all": [{"apiKey": "k", "Client-Secret": "s"}],
            "name": "Ann",
        });
        assert_eq!(
            without_secrets(event),
            json!({
                "card": {"card_number": "***", "amount_cents": 5, "cvc": null},
                "all": [{"apiKey": "***", "Client-Secret": "***"}],
                "name": "Ann",
            })
        );
    }

    #[test]
    fn the_bytes_of_an_event_that_is_to_come_are_not_shown_nor_is_the_key_of_a_reply() {
        let roles = Roles::of(millstream_topics::TOPICS);
        let shown = |mut data: Value| {
            hide_timed(&mut data, &roles);
            data
        };
        for value in [json!([0, 0, 97]), json!("\u{0}\u{ff}a")] {
            assert_eq!(
                shown(json!({ "topic": "tasks", "key": "t", "value": value })),
                json!({ "topic": "tasks", "key": "t", "value": "*** (3 bytes)" })
            );
        }
        for topic in ["replies", "replies-dlq"] {
            assert_eq!(
                shown(json!({ "topic": topic, "key": "sign_1", "value": [0] })),
                json!({ "topic": topic, "key": "***", "value": "*** (1 bytes)" })
            );
        }
        assert_eq!(
            shown(json!({ "topic": "tasks" })),
            json!({ "topic": "tasks" })
        );
    }

    #[test]
    fn what_proves_or_answers_is_not_shown() {
        let meta = EventMeta {
            id: "i".into(),
            principal: Some("ann".into()),
            proof: Some("p".into()),
            reply_key: Some("sign_1".into()),
            ..EventMeta::default()
        };
        let shown = of_meta(&meta).unwrap();
        assert_eq!(
            (&shown["principal"], &shown["proof"], &shown["reply_key"]),
            (&json!("ann"), &json!("***"), &json!("***"))
        );
        assert!(!shown.contains_key("seq"));
        let record = Record {
            headers: vec![
                ("Authorization".into(), Some(b"Bearer x".to_vec())),
                ("ce_id".into(), Some(b"i".to_vec())),
                ("own".into(), Some(b"h".to_vec())),
                ("bytes".into(), Some(vec![0xff])),
            ],
            ..Record::default()
        };
        let texts = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            of_headers(&record),
            [texts("Authorization", "***"), texts("own", "h")]
        );
    }
}
