use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::whole::Whole;

fn record(field: &serde_json::Value) -> String {
    json!({"type": "record", "name": "t.T", "fields": [{"name": "f", "type": field}]}).to_string()
}

fn decode(limited: &Limited, body: &[u8]) {
    let walked = limited.walk(body).unwrap();
    with_stack(walked.depth, || {
        let mut rest = Whole(body);
        let reader = GenericDatumReader::builder(&limited.schema)
            .build()
            .unwrap();
        let value = reader.read_value(&mut rest).unwrap();
        assert!(
            rest.0.is_empty(),
            "the walk and the library end at one place"
        );
        let bytes = GenericDatumWriter::builder(&limited.schema)
            .build()
            .unwrap();
        bytes.write_value_to_vec(value.clone()).unwrap();
        serde_json::Value::try_from(value.clone())
            .unwrap()
            .to_string();
        let _ = format!("{value:?}");
        drop(value.resolve(&Schema::Null));
    });
}

fn number(mut zigzag: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while zigzag > 0x7F {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

/// A list that holds a list, and so on.
fn list() -> String {
    record(&json!(["null", {"type": "record", "name": "L",
        "fields": [{"name": "n", "type": ["null", "L"]}]}]))
}

fn nested(levels: usize) -> Vec<u8> {
    [vec![2; levels], vec![0]].concat()
}

#[test]
fn depth_is_bounded() {
    let limited = Limited::parse(&list()).unwrap();
    for levels in [0, 1, 40] {
        decode(&limited, &nested(levels));
        limited.walk(&nested(levels)).unwrap();
    }
    for levels in [100, 400, 1_000_000] {
        let error = limited.walk(&nested(levels)).unwrap_err();
        assert!(error.contains("deeper"), "{error}");
    }
}

/// The deepest value that is accepted, in the kinds of frames that take the most, on a small stack.
#[test]
fn the_deepest_value_fits_a_stack() {
    let kinds = [
        json!({"type": "record", "name": "L", "fields": [{"name": "n", "type": ["null", "L"]}]}),
        json!({"type": "record", "name": "L", "fields": [{"name": "n",
            "type": ["null", {"type": "array", "items": "L"}]}]}),
        json!({"type": "record", "name": "L", "fields": [{"name": "n",
            "type": {"type": "map", "values": ["null", "L"]}}]}),
    ];
    let work = move || {
        for kind in &kinds {
            let limited = Limited::parse(&record(&json!(["null", kind]))).unwrap();
            let levels = |levels| match kind["fields"][0]["type"].as_array() {
                Some(branches) if branches[1] == "L" => nested(levels),
                Some(_) => [vec![2], [2, 2].repeat(levels), vec![0], vec![0; levels]].concat(),
                None => [vec![2], [2, 0, 2].repeat(levels), vec![0; levels + 1]].concat(),
            };
            let deepest = (0..200)
                .rev()
                .find(|it| limited.walk(&levels(*it)).is_ok())
                .unwrap();
            assert!(deepest >= 30, "{deepest} of {kind}");
            decode(&limited, &levels(deepest));
        }
    };
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn memory_is_bounded_over_the_whole_value() {
    let inner = |count: u64| [number(count * 2), vec![0]].concat();
    let nulls = Limited::parse(&record(
        &json!({"type": "array", "items": {"type": "array", "items": "null"}}),
    ))
    .unwrap();
    let body = [number(60), inner(290_000).repeat(30), vec![0]].concat();
    assert!(body.len() < 200, "{}", body.len());
    let error = nulls.walk(&body).unwrap_err();
    assert!(error.contains("bytes when they are decoded"), "{error}");
    let body = [number(60), inner(1_000).repeat(30), vec![0]].concat();
    let walked = nulls.walk(&body).unwrap();
    assert!(walked.memory >= 30_000 * size_of::<Value>() && walked.memory < 4_000_000);

    // Records that take no byte, with many fields and long names.
    let fields: Vec<_> = (0..1000)
        .map(|it| json!({"name": format!("f{it}_{}", "x".repeat(100)), "type": "null"}))
        .collect();
    let wide = json!({"type": "array", "items": {"type": "record", "name": "W", "fields": fields}});
    let wide = Limited::parse(&record(&wide)).unwrap();
    assert!(wide.walk(&inner(10)).is_ok());
    assert!(wide.walk(&inner(1_000)).is_err());
    // Counts that no memory has, forwards and backwards, and blocks without end.
    for count in [u64::MAX, u64::MAX - 1, 1 << 62] {
        assert!(nulls.walk(&[number(count), vec![0; 20]].concat()).is_err());
    }
    assert!(nulls.walk(&[2, 2].repeat(1_000_000)).is_err());
}

#[test]
fn a_length_that_is_not_there_allocates_nothing() {
    for kind in ["bytes", "string"] {
        let limited = Limited::parse(&record(&json!(kind))).unwrap();
        assert!(limited.walk(&number(u64::MAX - 1)).is_err());
        assert!(limited.walk(&number(30_000_000)).is_err());
        assert!(limited.walk(&[4, b'a', b'b']).is_ok());
    }
    let fixed = |size: u64| json!({"type": "fixed", "name": "F", "size": size});
    let decimal = |mut of: serde_json::Value| {
        of["logicalType"] = "decimal".into();
        of["precision"] = 4.into();
        of
    };
    let logical = |mut of: serde_json::Value, name: &str| {
        of["logicalType"] = name.into();
        of
    };
    for size in [1 << 62, 9_223_372_036_854_775_807, u64::MAX, 1 << 25] {
        for kind in [
            fixed(size),
            decimal(fixed(size)),
            logical(fixed(size), "uuid"),
            logical(fixed(size), "duration"),
            json!({"type": fixed(size), "logicalType": "decimal", "precision": 4}),
            json!(["null", {"type": "array", "items": fixed(size)}]),
        ] {
            let error = Limited::parse(&record(&kind)).unwrap_err();
            assert!(error.contains("bytes"), "{error}");
        }
    }
    assert!(
        Limited::parse(&record(&fixed(1_000_000)))
            .unwrap()
            .walk(&[1])
            .is_err()
    );
    let number_of = |length: u64| [number(length * 2), vec![1; length as usize]].concat();
    let limited = Limited::parse(&record(&decimal(json!({"type": "bytes"})))).unwrap();
    assert!(limited.walk(&number_of(20)).is_ok());
    assert!(limited.walk(&number_of(100_000)).is_err());
}

#[test]
fn a_schema_is_bounded() {
    let deep = |levels: usize| {
        let open = r#"{"type":"array","items":"#.repeat(levels);
        format!("{open}\"int\"{}", "}".repeat(levels))
    };
    assert!(Limited::parse(&deep(50)).is_ok());
    for levels in [65, 100, 200, 100_000] {
        assert!(Limited::parse(&deep(levels)).is_err(), "{levels}");
        assert!(check(&deep(levels)).is_err(), "{levels}");
    }
    assert!(check(&format!("\"{}\"", "n".repeat(2_000_000))).is_err());

    // Each alias is a copy of the whole type.
    let names: Vec<_> = (0..20_000).map(|it| format!("a{it}")).collect();
    let fields: Vec<_> = (0..2_000)
        .map(|it| json!({"name": format!("f{it}"), "type": "int"}))
        .collect();
    let copies = json!({"type": "record", "name": "R", "aliases": names, "fields": fields});
    assert!(check(&copies.to_string()).unwrap_err().contains("aliases"));

    for bad in [
        "",
        "{",
        "7",
        "[7]",
        r#"{"type":"record","name":"R","fields":[7]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"f","type":"Other"}]}"#,
    ] {
        assert!(Limited::parse(bad).is_err(), "{bad}");
    }
}

/// Each record has two defaults of the one before.
#[test]
fn defaults_are_bounded() {
    let begun = Instant::now();
    let mut kind = json!({"type": "record", "name": "R0",
        "fields": [{"name": "f", "type": "int", "default": 0}]});
    let mut plain = kind.clone();
    for level in 1..12 {
        let (name, before) = (format!("R{level}"), format!("R{}", level - 1));
        kind = json!({"type": "record", "name": name, "fields": [
            {"name": "a", "type": kind, "default": {}},
            {"name": "b", "type": before, "default": {}},
            {"name": "c", "type": before, "default": {}},
            {"name": "d", "type": before, "default": {}}]});
        plain = json!({"type": "record", "name": name, "fields": [
            {"name": "a", "type": plain}, {"name": "b", "type": ["null", before], "default": null}]});
        assert!(check(&plain.to_string()).is_ok());
    }
    assert!(check(&kind.to_string()).unwrap_err().contains("defaults"));
    // A writer's defaults are never used.
    assert!(Limited::parse(&kind.to_string()).is_ok());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Schemas of all kinds, and values of theirs.
fn schemas() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop::sample::select(vec![
        json!("null"),
        json!("boolean"),
        json!("int"),
        json!("long"),
        json!("float"),
        json!("double"),
        json!("bytes"),
        json!("string"),
        json!({"type": "int", "logicalType": "date"}),
        json!({"type": "bytes", "logicalType": "decimal", "precision": 3}),
        json!({"type": "bytes", "logicalType": "big-decimal"}),
        json!({"type": "string", "logicalType": "uuid"}),
    ]);
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items})),
            inner
                .clone()
                .prop_map(|values| json!({"type": "map", "values": values})),
            inner.clone().prop_map(|it| match it.is_array() {
                true => it,
                false if it == "null" => json!(["null"]),
                false => json!(["null", it]),
            }),
            (prop::collection::vec(inner, 0..4), any::<u32>()).prop_map(|(fields, id)| {
                let fields: Vec<_> = fields
                    .iter()
                    .enumerate()
                    .map(|(it, kind)| json!({"name": format!("f{it}"), "type": kind}))
                    .collect();
                json!({"type": "record", "name": format!("r{id}"), "fields": fields})
            }),
            (any::<u32>(), 0_usize..4).prop_map(|(id, size)| {
                json!({"type": "fixed", "name": format!("x{id}"), "size": size})
            }),
            (any::<u32>(), 1_usize..4).prop_map(|(id, count)| {
                let symbols: Vec<_> = (0..count).map(|it| format!("S{it}")).collect();
                json!({"type": "enum", "name": format!("e{id}"), "symbols": symbols})
            }),
        ]
    })
}

proptest! {
    /// What the library decodes the walk has accepted up to the same byte; what the walk refuses is
    /// never decoded.
    #[test]
    fn the_walk_ends_where_the_library_does(
        schema in schemas(),
        body in prop::collection::vec(prop_oneof![4 => 0_u8..6, 1 => any::<u8>()], 0..40),
    ) {
        let text = record(&schema);
        let Ok(limited) = Limited::parse(&text) else { return Ok(()) };
        apache_avro::util::max_allocation_bytes(MAX_MEMORY);
        let reader = GenericDatumReader::builder(&limited.schema).build().unwrap();
        for end in 0..=body.len() {
            let walked = limited.walk(&body[..end]);
            let mut rest = Whole(&body[..end]);
            let read = reader.read_value(&mut rest);
            if let Ok(value) = read && rest.0.is_empty() {
                let is_long = walked.as_ref().err().is_some_and(|it| it.contains("bytes"));
                prop_assert!(walked.is_ok() || is_long, "{walked:?} of {value:?} by {text}");
            }
        }
    }
}
