//! Values of schemas that nobody has declared: those that `produce` meets.

use serde_json::json;

use super::*;

/// What `produce` meets on topics that nobody has declared.
#[test]
fn any_schema_is_fitted() {
    let parsed = |fields: &str| {
        let text = format!(r#"{{"type":"record","name":"n.R","fields":[{fields}]}}"#);
        Schema::parse_str(&text).unwrap()
    };
    let fits = |fields: &str, data: Value| {
        let schema = parsed(fields);
        value(&schema, &data, "data").map(|it| Value::try_from(it).unwrap())
    };
    let one = |kind: &str| format!(r#"{{"name":"a","type":{kind}}}"#);
    let record = |name: &str, field: &str| {
        format!(
            r#"{{"type":"record","name":"{name}","fields":[{{"name":"{field}","type":"int"}}]}}"#
        )
    };
    let union = format!(
        r#"["null","long","string",{},{}]"#,
        record("A", "x"),
        record("B", "y")
    );
    let bytes = r#"{"type":"fixed","name":"F","size":2}"#;
    for (kind, value) in [
        (union.as_str(), json!(null)),
        (&union, json!(7)),
        (&union, json!("text")),
        (&union, json!({ "x": 1 })),
        (&union, json!({ "y": 1 })),
        (bytes, json!([1, 255])),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
            json!([1, 200]),
        ),
        (
            r#"{"type":"string","logicalType":"uuid"}"#,
            json!("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ),
        (r#"["null","n.R"]"#, json!({ "a": null })),
    ] {
        assert_eq!(
            fits(&one(kind), json!({ "a": value })),
            Ok(json!({ "a": value })),
            "{kind}"
        );
    }
    for (kind, value, detail) in [
        (
            union.as_str(),
            json!({ "z": 1 }),
            "fits no branch of its union",
        ),
        (&union, json!(1.5), "fits no branch of its union"),
        (bytes, json!([1]), "must be 2 bytes"),
        (
            r#"{"type":"string","logicalType":"uuid"}"#,
            json!("x"),
            "must be a UUID",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4}"#,
            json!(1),
            "must be a string or an array of bytes",
        ),
    ] {
        let wrong = fits(&one(kind), json!({ "a": value })).unwrap_err();
        assert_eq!(wrong, [FieldError::new("data.a", detail)], "{kind}");
    }
    // An alias names the field for readers; it is no second name for writers.
    let renamed = r#"{"name":"a","type":"int","default":0,"aliases":["b"]}"#;
    let wrong = fits(renamed, json!({ "b": 1 })).unwrap_err();
    assert_eq!(wrong, [FieldError::new("data.b", "is not a field")]);
}

/// Two branches at each level, neither of which fits: as many ways as there are leaves.
#[test]
fn unions_that_take_too_long_are_given_up() {
    let branches = r#"["int","L","M"]"#;
    let inner =
        format!(r#"{{"type":"record","name":"M","fields":[{{"name":"a","type":{branches}}}]}}"#);
    let outer = format!(
        r#"{{"type":"record","name":"L","fields":[{{"name":"a","type":["int","L",{inner}]}}]}}"#
    );
    let schema = Schema::parse_str(&outer).unwrap();
    let nested = |levels| (0..levels).fold(json!(true), |inner, _| json!({ "a": inner }));
    assert!(value(&schema, &nested(100), "data").is_err());
    let mut fitting = nested(3);
    *fitting.pointer_mut("/a/a/a").unwrap() = json!(1);
    assert!(value(&schema, &fitting, "data").is_ok());
}
