use proptest::prelude::*;

use super::*;

/// The sorts of problem, with their paths.
fn check(reader: &str, writer: &str) -> Vec<(&'static str, String)> {
    problems(&Tree::parse(reader).unwrap(), &Tree::parse(writer).unwrap())
        .into_iter()
        .map(|problem| (problem.kind, problem.path))
        .collect()
}

fn reads(reader: &str, writer: &str) -> bool {
    check(reader, writer).is_empty()
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[test]
fn numbers_are_promoted_and_never_narrowed() {
    let order = ["int", "long", "float", "double"];
    for (low, writer) in order.iter().enumerate() {
        for (high, reader) in order.iter().enumerate() {
            assert_eq!(
                reads(reader, writer),
                low <= high,
                "{reader} reads {writer}"
            );
        }
    }
    assert!(reads("string", "bytes") && reads("bytes", "string"));
    assert!(!reads("string", "int") && !reads("null", "string") && !reads("boolean", "int"));
}

#[test]
fn a_new_field_needs_a_default() {
    let old = record(r#"{"name":"a","type":"int"}"#);
    let with_default = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#);
    let without = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#);
    assert!(reads(&with_default, &old));
    assert_eq!(
        check(&without, &old),
        [("READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1".into())]
    );
    // A removed field is skipped by the reader.
    assert!(reads(&old, &without));
    // null is a default too.
    let null =
        record(r#"{"name":"a","type":"int"},{"name":"m","type":["null","int"],"default":null}"#);
    assert!(reads(&null, &old));
}

#[test]
fn a_renamed_field_or_record_needs_an_alias() {
    let old = record(r#"{"name":"a","type":"int"}"#);
    assert!(!reads(&record(r#"{"name":"b","type":"int"}"#), &old));
    assert!(reads(
        &record(r#"{"name":"b","type":"int","aliases":["a"]}"#),
        &old
    ));
    // Only the reader's aliases count.
    assert!(!reads(
        &old,
        &record(r#"{"name":"b","type":"int","aliases":["a"]}"#)
    ));
    let renamed =
        |aliases: &str| format!(r#"{{"type":"record","name":"n.S","fields":[]{aliases}}}"#);
    assert_eq!(
        check(&renamed(""), &record("")),
        [("NAME_MISMATCH", "/name".into())]
    );
    assert!(reads(
        &renamed(r#","aliases":["n.R"]"#),
        r#"{"type":"record","name":"n.R","fields":[]}"#
    ));
    // Another namespace is the same name.
    assert!(reads(
        &record(""),
        r#"{"type":"record","name":"n.R","fields":[]}"#
    ));
}

#[test]
fn every_branch_of_a_writers_union_must_be_readable() {
    assert!(reads(r#"["null","int","string"]"#, r#"["int","null"]"#));
    assert_eq!(
        check(r#"["null","int"]"#, r#"["null","string"]"#),
        [("MISSING_UNION_BRANCH", "/".into())]
    );
    assert!(reads(r#"["null","long"]"#, "int"));
    assert!(!reads("int", r#"["null","int"]"#));
    assert!(reads("long", r#"["long","int"]"#));
}

#[test]
fn enums_need_all_symbols_or_a_default() {
    let symbols = |list: &str, more: &str| {
        format!(r#"{{"type":"enum","name":"E","symbols":[{list}]{more}}}"#)
    };
    let wide = symbols(r#""A","B""#, "");
    let narrow = symbols(r#""A""#, "");
    assert!(reads(&wide, &narrow));
    assert_eq!(
        check(&narrow, &wide),
        [("MISSING_ENUM_SYMBOLS", "/symbols".into())]
    );
    assert!(reads(&symbols(r#""A""#, r#","default":"A""#), &wide));
    // The writer's default is of no use to the reader.
    assert!(!reads(&narrow, &symbols(r#""A","B""#, r#","default":"A""#)));
}

#[test]
fn fixed_and_decimal_must_match_exactly() {
    let fixed = |size| format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#);
    assert!(reads(&fixed(4), &fixed(4)));
    assert!(!reads(&fixed(4), &fixed(8)));
    let decimal = |scale| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#)
    };
    assert!(reads(&decimal(2), &decimal(2)));
    assert!(!reads(&decimal(2), &decimal(3)));
    assert!(reads("bytes", &decimal(3)));
}

#[test]
fn types_inside_arrays_maps_and_named_types_are_compared() {
    assert!(!reads(
        r#"{"type":"array","items":"int"}"#,
        r#"{"type":"array","items":"string"}"#
    ));
    assert!(reads(
        r#"{"type":"map","values":"long"}"#,
        r#"{"type":"map","values":"int"}"#
    ));
    // A type that is mentioned by name is the one that was defined before.
    let inner = |field: &str| {
        format!(
            r#"{{"name":"x","type":{{"type":"record","name":"I","fields":[{field}]}}}},{{"name":"y","type":["null","I"],"default":null}}"#
        )
    };
    let old = record(&inner(r#"{"name":"v","type":"int"}"#));
    assert!(reads(&old, &old));
    let found = check(&record(&inner(r#"{"name":"v","type":"string"}"#)), &old);
    assert_eq!(
        found.first(),
        Some(&("TYPE_MISMATCH", "/fields/0/type/fields/0/type".into()))
    );
    // Where the definition stands makes no difference.
    let defined_last = record(
        r#"{"name":"y","type":["null",{"type":"record","name":"I","fields":[{"name":"v","type":"int"}]}],"default":null},{"name":"x","type":"I"}"#,
    );
    assert!(reads(&defined_last, &old) && reads(&old, &defined_last));
}

#[test]
fn a_recursive_type_is_compared_once() {
    let list = |kind: &str| {
        record(&format!(
            r#"{{"name":"v","type":"{kind}"}},{{"name":"next","type":["null","R"],"default":null}}"#
        ))
    };
    assert!(reads(&list("long"), &list("int")));
    assert!(!reads(&list("int"), &list("long")));
}

#[test]
fn all_problems_are_reported() {
    let old = record(r#"{"name":"a","type":"int"},{"name":"b","type":"string"}"#);
    let new = record(
        r#"{"name":"a","type":"string"},{"name":"b","type":"int"},{"name":"c","type":"int"}"#,
    );
    assert_eq!(check(&new, &old).len(), 3);
}

fn schema() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(r#""null""#.to_owned()),
        Just(r#""int""#.to_owned()),
        Just(r#""long""#.to_owned()),
        Just(r#""string""#.to_owned()),
        Just(r#"["null","string"]"#.to_owned()),
        Just(r#"{"type":"long","logicalType":"timestamp-micros"}"#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|items| format!(r#"{{"type":"array","items":{items}}}"#)),
            inner
                .clone()
                .prop_map(|values| format!(r#"{{"type":"map","values":{values}}}"#)),
            (proptest::collection::vec(inner, 1..4), 0..1_000_000u32).prop_map(|(kinds, name)| {
                let fields = kinds
                    .iter()
                    .enumerate()
                    .map(|(n, kind)| format!(r#"{{"name":"f{n}","type":{kind}}}"#))
                    .collect::<Vec<_>>();
                format!(
                    r#"{{"type":"record","name":"R{name}","fields":[{}]}}"#,
                    fields.join(",")
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn every_schema_reads_itself(schema in schema()) {
        if let Ok(tree) = Tree::parse(&schema) {
            prop_assert_eq!(problems(&tree, &tree), []);
        }
    }

    #[test]
    fn the_canonical_text_means_the_same(schema in schema()) {
        if let Ok(tree) = Tree::parse(&schema) {
            for text in [crate::canonical(&tree), crate::normalized(&tree)] {
                let again = Tree::parse(&text).unwrap();
                prop_assert_eq!(problems(&again, &tree), []);
                prop_assert_eq!(problems(&tree, &again), []);
            }
            let text = crate::canonical(&tree);
            prop_assert_eq!(crate::canonical(&Tree::parse(&text).unwrap()), text);
        }
    }
}

/// Each pair of types names two pairs of the next one: two to the power of their number.
#[test]
fn a_comparison_ends() {
    let level = |space: &str, number: usize, last: &str| {
        let fields = match number {
            0 => last.to_owned(),
            _ => format!(r#"{{"name":"f","type":["a.R{0}","b.R{0}"]}}"#, number - 1),
        };
        format!(r#"{{"type":"record","name":"{space}.R{number}","fields":[{fields}]}}"#)
    };
    let schema = |levels: usize, last: &str| {
        let types = (0..levels).flat_map(|it| [level("a", it, last), level("b", it, last)]);
        format!("[{}]", types.collect::<Vec<_>>().join(","))
    };
    let (old, new) = ("", r#"{"name":"x","type":"int"}"#);
    assert!(reads(&schema(3, old), &schema(3, new)));
    assert!(!reads(&schema(3, new), &schema(3, old)));
    let begun = std::time::Instant::now();
    let kinds = |levels| check(&schema(levels, new), &schema(levels, old));
    assert_eq!(kinds(40), [("TOO_COMPLEX", "/".into())]);
    assert_eq!(kinds(3_000), [("TOO_COMPLEX", "/".into())]);
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn members_by_the_ten_thousand_are_read_at_once() {
    let members: Vec<_> = (0..100_000).map(|it| format!(r#""m{it}":0"#)).collect();
    let text = format!(r#"{{"type":"string","a":1,{},"a":2}}"#, members.join(","));
    let begun = std::time::Instant::now();
    let tree = Tree::parse(&text).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    let Node::Primitive { props, .. } = tree.root else {
        panic!("no string")
    };
    assert_eq!(props.len(), 100_001);
    assert_eq!(
        props.last(),
        Some(&("a".to_owned(), Json::Number(2.into())))
    );
}
