//! The fields of an event for people to see, without what gives somebody a right.

use millstream_pipeline::events::EventMeta;
use millstream_pipeline::record::Record;
use serde_json::{Map, Value};

use crate::hidden::{self, HIDDEN};
use crate::journey::Content;

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

/// `meta` as JSON, without nulls.
pub fn of_meta(meta: &EventMeta) -> Option<Map<String, Value>> {
    let mut meta = meta.clone();
    hidden::in_meta(&mut meta);
    let Ok(Value::Object(mut fields)) = serde_json::to_value(meta) else {
        return None;
    };
    fields.retain(|_, value| !value.is_null());
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
                ("Authorization".into(), Some(b"Bearer x"[..].into())),
                ("ce_id".into(), Some(b"i"[..].into())),
                ("own".into(), Some(b"h"[..].into())),
                ("bytes".into(), Some(vec![0xff].into())),
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
