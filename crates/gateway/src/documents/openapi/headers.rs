//! Headers of requests and responses.

use serde_json::{Map, Value, json};

use crate::identity::MAX_KEY;

/// An idempotency key: neither empty nor with spaces at its ends, which HTTP takes away, nor in
/// quotes, which the gateway takes away.
const IDEMPOTENCY_KEY: &str = "^[!#-~]([ -~]*[!-~])?$";
/// RFC 3339. Not `format: date-time`, which makes generators send the time in a form of their own, or
/// leave out the operation.
const TIME: &str = concat!(
    "^(",
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])",
    "|[0-9]{4}-(0[13-9]|1[0-2])-(29|30)",
    "|[0-9]{4}-(0[13578]|1[02])-31",
    "|[0-9]{2}(0[48]|[2468][048]|[13579][26])-02-29",
    ")[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?",
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
);

/// The parameters of an operation: those of its path, and headers.
pub fn parameters_of(mut parameters: Vec<Value>, takes_key: bool) -> Value {
    let mut names = vec!["Prefer", "Millstream-Expires", "traceparent", "tracestate"];
    if takes_key {
        names.insert(0, "Idempotency-Key");
    }
    parameters.extend(names.into_iter().map(parameter));
    Value::Array(parameters)
}

/// A reference to one of [`parameters`].
pub fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// Headers that operations share.
pub fn parameters() -> Value {
    let header = |name: &str, description: &str, example: &str, limits: Value| {
        let mut schema = json!({ "type": "string" });
        for (limit, value) in limits.as_object().into_iter().flatten() {
            schema[limit.as_str()] = value.clone();
        }
        let header = json!({
            "name": name, "in": "header", "description": description, "example": example,
            "schema": schema,
        });
        (name.to_owned(), header)
    };
    Value::Object(Map::from_iter([
        header(
            "Idempotency-Key",
            "Makes a repeated request the same request.",
            "9b2f6a3e-payment-17",
            json!({ "minLength": 1, "maxLength": MAX_KEY, "pattern": IDEMPOTENCY_KEY }),
        ),
        header(
            "Prefer",
            "`respond-async`, or `wait=<seconds>` (RFC 7240). What cannot be read means nothing.",
            "wait=30",
            json!({}),
        ),
        header(
            "Millstream-Expires",
            "A command handled later than this RFC 3339 time is answered with `expired`.",
            "2027-01-31T12:00:00Z",
            json!({ "maxLength": 35, "pattern": TIME }),
        ),
        header(
            "traceparent",
            "W3C trace context. What cannot be read means nothing.",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            json!({}),
        ),
        header(
            "tracestate",
            "W3C trace context, at most 512 characters; longer ones mean nothing.",
            "vendor=value",
            json!({}),
        ),
    ]))
}

/// Headers that responses share.
pub fn headers() -> Value {
    let text =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "Location": text("Where the result is asked for."),
        "Retry-After": {
            "description": "Seconds after which it may be asked for, or the request be sent, again.",
            "schema": { "type": "integer", "format": "int32", "minimum": 0 },
        },
        "Preference-Applied": text("Those of `Prefer` that were honoured."),
        "WWW-Authenticate": text("Of 401: `Bearer`."),
        "Allow": text("Of 405: the methods that the path takes."),
    })
}
