use apache_avro::Schema;
use millstream_schemas::EVENTS;
use serde_json::{Value, json};

use super::super::{Kinds, Limited, SchemaText};
use super::*;

fn essence(texts: &[Value]) -> Result<Value, String> {
    let types = Types::read(texts)?;
    Writer::new(&types).write(&types.root())
}

fn one(schema: Value) -> Value {
    essence(&[schema]).unwrap()
}

fn field(kind: &Value) -> Value {
    json!({"type": "record", "name": "t.R", "fields": [{"name": "f", "type": kind}]})
}

#[test]
fn our_own_schemas_stay_what_they_are() {
    for event in EVENTS {
        let event = event();
        let kinds = Kinds::parse(&event.json.into()).unwrap();
        let [kind] = &kinds.kinds[..] else {
            panic!("one record")
        };
        assert_eq!(kind.record.as_deref(), Some(event.full_name));
        assert!(
            kind.limited.as_ref().unwrap().schema == event.full,
            "{}",
            event.full_name
        );
    }
}

#[test]
fn what_decides_nothing_is_left_out() {
    let schema = json!({"type": "error", "name": "R", "namespace": "t", "doc": {"any": "thing"},
        "aliases": ["a b"], "fields": [
            {"name": "f", "type": {"type": "int", "default": []}, "default": "no int", "order": 7},
            {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}}]});
    let expected = json!({"type": "record", "name": "t.R", "fields": [
        {"name": "f", "type": "int"},
        {"name": "e", "type": {"type": "enum", "name": "t.E", "symbols": ["A"]}}]});
    assert_eq!(one(schema), expected);
}

#[test]
fn logical_types_that_do_not_fit_are_ignored() {
    let fixed = |size: u64| json!({"type": "fixed", "name": "t.F", "size": size});
    for (base, logical, is_left) in [
        (json!("string"), json!("uuid"), false),
        (json!("bytes"), json!("uuid"), false),
        (fixed(16), json!("uuid"), true),
        (fixed(15), json!("uuid"), false),
        (fixed(12), json!("duration"), false),
        (json!("string"), json!("decimal"), false),
        (json!("bytes"), json!("decimal"), true),
        (fixed(4), json!("decimal"), true),
        (json!("bytes"), json!("big-decimal"), false),
        (json!("int"), json!("date"), true),
        (json!("long"), json!("date"), false),
        (json!("int"), json!("timestamp-millis"), false),
        (json!("long"), json!("timestamp-millis"), true),
        (json!("long"), json!("nobody-knows"), false),
        (json!("long"), json!(["timestamp-millis"]), false),
        (json!("long"), json!(7), false),
    ] {
        let mut expected = match &base {
            Value::String(_) if is_left => json!({ "type": base }),
            base => base.clone(),
        };
        if is_left {
            expected["logicalType"] = logical.clone();
        }
        // Beside the type, or around it.
        let mut beside = match &base {
            Value::String(_) => json!({ "type": base }),
            base => base.clone(),
        };
        beside["logicalType"] = logical.clone();
        for schema in [beside, json!({"type": base, "logicalType": logical})] {
            assert_eq!(one(schema.clone()), expected, "{schema}");
            Limited::parse(&field(&schema).to_string()).unwrap();
        }
    }
    let digits = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    assert_eq!(one(digits.clone()), digits);
    let no_digits =
        json!({"type": "bytes", "logicalType": "decimal", "precision": "4", "scale": -2});
    assert_eq!(
        one(no_digits),
        json!({"type": "bytes", "logicalType": "decimal"})
    );
}

#[test]
fn names_are_looked_up_as_java_does() {
    let inner = json!({"type": "enum", "name": "E", "symbols": ["A"]});
    let bare = json!({"type": "fixed", "name": "F", "namespace": "", "size": 1});
    let schema = json!({"type": "record", "name": "a.b.R", "namespace": "ignored", "fields": [
        {"name": "one", "type": inner},
        {"name": "other", "type": {"type": "record", "name": "c.S", "fields": [
            {"name": "full", "type": "a.b.E"},
            {"name": "bare", "type": bare}]}},
        {"name": "short", "type": "E"},
        {"name": "again", "type": "F"}]});
    let expected = json!({"type": "record", "name": "a.b.R", "fields": [
        {"name": "one", "type": {"type": "enum", "name": "a.b.E", "symbols": ["A"]}},
        {"name": "other", "type": {"type": "record", "name": "c.S", "fields": [
            {"name": "full", "type": "a.b.E"},
            {"name": "bare", "type": {"type": "fixed", "name": "__x_.F", "size": 1}}]}},
        {"name": "short", "type": "a.b.E"},
        {"name": "again", "type": "__x_.F"}]});
    assert_eq!(one(schema.clone()), expected);
    Limited::parse(&schema.to_string()).unwrap();

    for bad in [
        json!({"type": "record", "name": "a.R", "fields": [{"name": "f", "type": "b.E"}]}),
        json!({"type": "record", "fields": []}),
        json!([{"type": "fixed", "name": "a.F", "size": 1}, {"type": "fixed", "name": "a.F", "size": 1}]),
    ] {
        assert!(essence(std::slice::from_ref(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn types_of_other_schemas_stand_where_they_are_used_first() {
    let money = json!({"type": "record", "name": "acme.Money", "fields": [
        {"name": "cents", "type": "long"}, {"name": "in", "type": "acme.Currency"}]});
    let currency = json!({"type": "enum", "name": "acme.Currency", "symbols": ["EUR"]});
    let order = json!({"type": "record", "name": "acme.orders.Order", "fields": [
        {"name": "price", "type": "acme.Money"},
        {"name": "tip", "type": ["null", "acme.Money"]},
        {"name": "in", "type": "acme.Currency"}]});
    let expected = json!({"type": "record", "name": "acme.orders.Order", "fields": [
        {"name": "price", "type": {"type": "record", "name": "acme.Money", "fields": [
            {"name": "cents", "type": "long"},
            {"name": "in", "type": currency}]}},
        {"name": "tip", "type": ["null", "acme.Money"]},
        {"name": "in", "type": "acme.Currency"}]});
    // In whatever order they come.
    for references in [[&money, &currency], [&currency, &money]] {
        let texts: Vec<_> = [&order].into_iter().chain(references).cloned().collect();
        assert_eq!(essence(&texts).unwrap(), expected);
    }
    // A schema may be nothing but the name of one.
    assert_eq!(
        essence(&[json!("acme.Currency"), currency.clone()]).unwrap(),
        currency
    );
    let error = essence(&[order, money]).unwrap_err();
    assert!(error.contains("acme.Currency is not defined"), "{error}");
}

#[test]
fn names_that_the_library_does_not_take_come_back_in_values() {
    let schema = json!({"type": "record", "name": "dbserver-1.inventory.customers-é.Value", "fields": [
        {"name": "first-name", "type": "string"},
        {"name": "größe", "type": {"type": "enum", "name": "Größe", "symbols": ["x-large", "S"]}},
        {"name": "__x_", "type": ["null", {"type": "array", "items": "Größe"}]}]});
    let kinds = Kinds::parse(&(&schema.to_string()).into()).unwrap();
    let [kind] = &kinds.kinds[..] else {
        panic!("one record")
    };
    assert_eq!(
        kind.record.as_deref(),
        Some("dbserver-1.inventory.customers-é.Value")
    );
    let Schema::Record(record) = &kind.limited.as_ref().unwrap().schema else {
        panic!("a record");
    };
    let names: Vec<_> = record.fields.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["first-name", "größe", "__x_"]);
    assert_eq!(record.lookup["größe"], 1);
    let Schema::Enum(size) = &record.fields[1].schema else {
        panic!("an enum")
    };
    assert_eq!(size.symbols, ["x-large", "S"]);
    // Two names never become one.
    let alike = json!({"type": "record", "name": "R", "fields": [
        {"name": "a-b", "type": "int"}, {"name": "a.b", "type": "int"}, {"name": "", "type": "int"},
        {"name": "__x_612d62", "type": "int"}, {"name": "__x___x_612d62", "type": "int"}]});
    Limited::parse(&alike.to_string()).unwrap();
}

#[test]
fn branches_at_the_root_are_schemas_of_their_own() {
    let shared = json!({"type": "record", "name": "t.Shared", "fields": []});
    let of = |name: &str, kind: &Value| json!({"type": "record", "name": name, "fields": [{"name": "s", "type": kind}]});
    let branches = [
        of("t.A", &shared),
        json!("null"),
        of("t.B", &json!("Shared")),
        json!("t.Shared"),
    ];
    for root in [json!(branches), json!({"type": branches})] {
        let kinds = Kinds::parse(&(&root.to_string()).into()).unwrap();
        assert!(kinds.is_union);
        let names: Vec<_> = kinds
            .kinds
            .iter()
            .map(|kind| kind.record.as_deref())
            .collect();
        assert_eq!(names, [Some("t.A"), None, Some("t.B"), Some("t.Shared")]);
        let alone = of("t.B", &shared).to_string();
        let alone = Limited::parse(&alone).unwrap();
        assert!(kinds.kinds[2].limited.as_ref().unwrap().schema == alone.schema);
    }
    // One that is unusable leaves the others as they are.
    let huge = of(
        "t.C",
        &json!({"type": "fixed", "name": "t.F", "size": 1_u64 << 60}),
    );
    let kinds = Kinds::parse(&(&json!([shared, huge]).to_string()).into()).unwrap();
    let usable: Vec<_> = kinds
        .kinds
        .iter()
        .map(|kind| kind.limited.is_ok())
        .collect();
    assert_eq!(usable, [true, false]);
}

#[test]
fn what_refers_to_others_is_bounded_as_one_schema() {
    // Each holds the one before, many times in all branches of a union.
    let fields: Vec<_> = (0..2_000)
        .map(|it| json!({"name": format!("f{it}"), "type": "int"}))
        .collect();
    let large = json!({"type": "record", "name": "t.Large", "fields": fields});
    let branches: Vec<_> = (0..1_000)
        .map(|it| json!({"type": "record", "name": format!("t.R{it}"), "fields": [{"name": "f", "type": "t.Large"}]}))
        .collect();
    let text = SchemaText {
        text: json!(branches).to_string(),
        references: vec![large.to_string()],
    };
    let kinds = Kinds::parse(&text).unwrap().kinds;
    assert!(kinds.first().unwrap().limited.is_ok());
    let error = kinds.last().unwrap().limited.as_ref().unwrap_err();
    assert!(error.contains("too often"), "{error}");

    // A chain of references is as deep as what it comes to.
    let link = |it: usize| {
        let next = json!(["null", format!("t.L{}", it + 1)]);
        let next = if it < 99 { next } else { json!("null") };
        json!({"type": "record", "name": format!("t.L{it}"), "fields": [{"name": "n", "type": next}]})
    };
    let text = SchemaText {
        text: link(0).to_string(),
        references: (1..100).map(|it| link(it).to_string()).collect(),
    };
    let error = Limited::parse(text).unwrap_err();
    assert!(error.contains("deeper"), "{error}");

    let text = SchemaText {
        text: json!("string").to_string(),
        references: vec![format!("\"{}\"", "n".repeat(600_000)); 2],
    };
    let error = Limited::parse(text).unwrap_err();
    assert!(error.contains("bytes"), "{error}");
}
