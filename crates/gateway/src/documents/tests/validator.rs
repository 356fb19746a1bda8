//! As much of JSON Schema as the documents use. A keyword that it does not know is a mistake.

use serde_json::Value;

/// The pattern of keys; any other one is not understood.
const NO_CONTROLS: &str = "^[^\\x00-\\x1f\\x7f-\\x9f]+$";

/// Whether a value fits a schema of this document.
pub fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    let members = schema.as_object().unwrap();
    members
        .iter()
        .all(|(keyword, limit)| match keyword.as_str() {
            "description" | "format" => true,
            "$ref" => fits(document, resolved(document, schema), value),
            "type" => match limit {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                kind => is(kind, value),
            },
            "enum" => limit.as_array().unwrap().contains(value),
            "minimum" => value
                .as_number()
                .is_none_or(|_| compare(value, limit).is_ge()),
            "maximum" => value
                .as_number()
                .is_none_or(|_| compare(value, limit).is_le()),
            "minLength" => length(value).is_none_or(|it| it >= limit.as_u64().unwrap()),
            "maxLength" => length(value).is_none_or(|it| it <= limit.as_u64().unwrap()),
            "pattern" => {
                assert_eq!(limit, NO_CONTROLS);
                let text = value.as_str();
                text.is_none_or(|it| !it.is_empty() && !it.chars().any(char::is_control))
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items.into_iter().all(|item| fits(document, limit, item))
            }
            "required" => value.as_object().is_none_or(|members| {
                let mut names = limit.as_array().unwrap().iter();
                names.all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_none_or(|members| {
                let mut known = limit.as_object().unwrap().iter();
                known.all(|(name, schema)| {
                    let member = members.get(name);
                    member.is_none_or(|member| fits(document, schema, member))
                })
            }),
            "additionalProperties" => value.as_object().is_none_or(|members| {
                let known = |name: &String| schema["properties"].get(name).is_some();
                let mut others = members.iter().filter(|(name, _)| !known(name));
                others.all(|(_, member)| match limit {
                    Value::Bool(may) => *may,
                    schema => fits(document, schema, member),
                })
            }),
            "oneOf" => fitting(document, limit, value) == 1,
            "anyOf" => fitting(document, limit, value) > 0,
            "allOf" => fitting(document, limit, value) == limit.as_array().unwrap().len(),
            "discriminator" => true,
            other => panic!("unknown keyword {other}"),
        })
}

/// What a reference leads to; another schema is itself.
pub fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap(),
        None => schema,
    }
}

fn fitting(document: &Value, alternatives: &Value, value: &Value) -> usize {
    let alternatives = alternatives.as_array().unwrap().iter();
    alternatives
        .filter(|schema| fits(document, schema, value))
        .count()
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => match value.as_f64() {
            Some(number) => value.is_i64() || value.is_u64() || number.fract() == 0.0,
            None => false,
        },
        other => panic!("unknown type {other}"),
    }
}

fn compare(value: &Value, limit: &Value) -> std::cmp::Ordering {
    let whole = |value: &Value| {
        value
            .as_i64()
            .map(i128::from)
            .or_else(|| value.as_u64().map(i128::from))
    };
    match (whole(value), whole(limit)) {
        (Some(value), Some(limit)) => value.cmp(&limit),
        // Beyond 2^63 a limit of 2^63 - 1 is 2^63 as a float, which must not be equal.
        (None, Some(limit)) => {
            let value = value.as_f64().unwrap();
            let (from, to) = (-(2.0_f64.powi(63)), 2.0_f64.powi(63));
            match value >= from && value < to {
                #[expect(clippy::cast_possible_truncation, reason = "it is within")]
                true => i128::from(value as i64).cmp(&limit),
                false => value.total_cmp(&0.0),
            }
        }
        _ => value.as_f64().unwrap().total_cmp(&limit.as_f64().unwrap()),
    }
}

fn length(value: &Value) -> Option<u64> {
    Some(value.as_str()?.chars().count() as u64)
}
