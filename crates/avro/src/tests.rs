//! What is valid: as Java's library says, with names as Confluent's registry took them up to 8.1.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn valid(schema: &str) -> Result<(), String> {
    let tree = Tree::parse(schema)?;
    let own = tree.named.keys().cloned().collect::<HashSet<_>>();
    valid::check(&tree, &own)
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

fn field(kind: &str, more: &str) -> String {
    record(&format!(r#"{{"name":"a","type":{kind}{more}}}"#))
}

#[test]
fn a_namespace_may_be_anything_and_a_name_may_not() {
    let named = |name: &str, more: &str| {
        format!(
            r#"{{"type":"record","name":"{name}"{more},"fields":[{{"name":"next","type":["null","{name}"]}}]}}"#
        )
    };
    for good in [
        named("dbserver-1.inventory.customers.Envelope", ""),
        named("Value", r#","namespace":"dbserver-1.inventory.customers""#),
        named("com.acme.Outer$.Inner", ""),
        named("_a1", r#","namespace":"1""#),
        named("n.int", ""),
        record(
            r#"{"name":"a","type":{"type":"enum","name":"a-b.E","symbols":["A"]}},{"name":"b","type":{"type":"fixed","name":"a-b.F","size":1}}"#,
        ),
    ] {
        assert_eq!(valid(&good), Ok(()), "{good}");
    }
    for bad in [
        named("dbserver-1", ""),
        named("a.b-c", ""),
        named("1a", ""),
        named("int", ""),
        named("a", r#","aliases":["b-c"]"#),
        field(r#""int""#, "").replace(r#""a""#, r#""a-b""#),
        field(r#"{"type":"enum","name":"E","symbols":["A-B"]}"#, ""),
        field(r#"{"type":"fixed","name":"F-1","size":1}"#, ""),
    ] {
        assert!(valid(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_javas_parser_refuses_is_refused() {
    for bad in [
        r#"{"type":"enum","name":"E"}"#.into(),
        r#"{"type":"enum","name":"E","symbols":[]}"#.into(),
        r#"{"type":"enum","name":"E","symbols":["A","A"]}"#.into(),
        r#"{"type":"enum","name":"E","symbols":["A",1]}"#.into(),
        r#"{"type":"enum","name":"E","symbols":"A"}"#.into(),
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#.into(),
        r#"{"type":"enum","name":"E","symbols":["A"],"default":1}"#.into(),
        r#"{"type":"fixed","name":"F","size":2147483648}"#.into(),
        r#"{"type":"fixed","name":"F","size":-1}"#.into(),
        r#"{"type":"fixed","name":"F","size":"4"}"#.into(),
        r#"{"type":"fixed","name":"F","size":4.5}"#.into(),
        r#"{"type":"fixed","name":"F"}"#.into(),
        r#"{"type":"record","name":"R","aliases":"S","fields":[]}"#.into(),
        r#"["int",["null"]]"#.into(),
        r#"["int","int"]"#.into(),
        record(r#"{"name":"a","type":"int"},{"name":"a","type":"int"}"#),
        record(
            r#"{"name":"a","type":"Later"},{"name":"b","type":{"type":"fixed","name":"Later","size":1}}"#,
        ),
        field(r#""int""#, r#","order":"foo""#),
        field(r#""int""#, r#","order":1"#),
        field(r#""int""#, r#","aliases":[1]"#),
        field(r#""Unknown""#, ""),
    ] {
        assert!(valid(&bad).is_err(), "{bad}");
    }
    for good in [
        field(r#""int""#, r#","order":"IGNORE""#),
        field(r#""int""#, r#","order":"ascending""#),
        field(r#"["null","R"]"#, ""),
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#.into(),
    ] {
        assert_eq!(valid(&good), Ok(()), "{good}");
    }
}

#[test]
fn a_default_is_a_value_of_its_type() {
    let default = |kind: &str, default: &str| field(kind, &format!(r#","default":{default}"#));
    let good = [
        (r#""int""#, "5"),
        (r#""long""#, "-9223372036854775808"),
        (r#""double""#, "5"),
        (r#""float""#, "\"NaN\""),
        (r#""bytes""#, "\"\\u00ff\""),
        (r#""null""#, "null"),
        (r#"["null","string"]"#, "null"),
        // Java's library takes a default of any branch.
        (r#"["null","string"]"#, "\"x\""),
        (r#"{"type":"array","items":"int"}"#, "[1,2]"),
        (r#"{"type":"map","values":"int"}"#, r#"{"a":1}"#),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, "\"A\""),
        (
            r#"{"type":"record","name":"S","fields":[{"name":"x","type":"int","default":1}]}"#,
            "{}",
        ),
    ];
    for (kind, json) in good {
        assert_eq!(valid(&default(kind, json)), Ok(()), "{kind} {json}");
    }
    let bad = [
        (r#""int""#, "\"5\""),
        (r#""int""#, "2147483648"),
        (r#""int""#, "1.5"),
        (r#""int""#, "null"),
        (r#""string""#, "5"),
        (r#""boolean""#, "0"),
        (r#""double""#, "\"1.5\""),
        (r#"["null","string"]"#, "5"),
        (r#"{"type":"array","items":"int"}"#, r#"["a"]"#),
        (r#"{"type":"map","values":"int"}"#, "[]"),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, "\"B\""),
        (
            r#"{"type":"record","name":"S","fields":[{"name":"x","type":"int"}]}"#,
            "{}",
        ),
        // A value without end.
        (r#""R""#, "{}"),
    ];
    for (kind, json) in bad {
        let schema = default(kind, json);
        let reason = valid(&schema).unwrap_err();
        assert!(reason.contains("default"), "{kind} {json}: {reason}");
    }
}

/// What the codec cannot read, it says why.
#[test]
fn what_could_not_be_read_does_not_get_in() {
    let decimal = field(
        r#"{"type":"fixed","name":"D","size":2000,"logicalType":"decimal","precision":4}"#,
        "",
    );
    let reason = valid(&decimal).unwrap_err();
    assert!(reason.contains("could not be read"), "{reason}");
}

fn kind() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("\"int\"".to_owned()),
        Just("\"string\"".to_owned()),
        Just(r#"{"type":"long","logicalType":"timestamp-millis"}"#.to_owned()),
        Just(r#"{"type":"bytes","logicalType":"decimal","precision":3,"scale":5}"#.to_owned()),
        Just(r#"{"type":"string","logicalType":"uuid"}"#.to_owned()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|it| format!(r#"{{"type":"array","items":{it}}}"#)),
            inner
                .clone()
                .prop_map(|it| format!(r#"{{"type":"map","values":{it}}}"#)),
            inner.prop_map(|it| match it.starts_with('[') {
                true => it,
                false => format!(r#"["null",{it}]"#),
            }),
        ]
    })
}

proptest! {
    /// The reduced form is read exactly as the whole one.
    #[test]
    fn what_is_valid_can_be_read(kinds in proptest::collection::vec(kind(), 0..4)) {
        let fields = kinds.iter().enumerate().map(|(n, it)| format!(r#"{{"name":"f{n}","type":{it}}}"#));
        let schema = record(&fields.collect::<Vec<_>>().join(","));
        prop_assert_eq!(valid(&schema), Ok(()));
        prop_assert!(crate::limits::Limited::parse(&schema).is_ok());
    }
}
