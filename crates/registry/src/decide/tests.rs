use super::*;
use crate::level::Level;
use crate::record::Reference;
use crate::state::State;

/// Decides, writes and reads back, through the bytes of the log.
fn take<T>(state: &mut State, decision: Result<Decision<T>, Refusal>) -> Result<T, Refusal> {
    let decision = decision?;
    for record in decision.records {
        let (key, value) = record.write().unwrap();
        state
            .apply(Record::read(&key, value.as_deref()).unwrap())
            .unwrap();
    }
    Ok(decision.answer)
}

fn request(schema: &str) -> Registration {
    Registration {
        schema: Some(schema.to_owned()),
        ..Default::default()
    }
}

fn register_text(state: &mut State, subject: &str, schema: &str) -> Result<i32, Refusal> {
    let decision = register(state, subject, &request(schema));
    take(state, decision)
}

fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> u32 {
    result.unwrap_err().code()
}

fn versions(state: &State, subject: &str, deleted: bool) -> Vec<i32> {
    state
        .versions(subject, deleted)
        .map(|value| value.version)
        .collect()
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

fn one() -> String {
    record(r#"{"name":"a","type":"int"}"#)
}

fn two() -> String {
    record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#)
}

const DELETED: bool = true;

/// Decides on a state and applies what was decided.
macro_rules! take {
    ($state:ident, $decide:ident($($argument:expr),*)) => {{
        let decision = $decide(&$state, $($argument),*);
        take(&mut $state, decision)
    }};
}

mod contract;
mod log;
mod migrated;
mod settings;

#[test]
fn a_schema_has_one_id_under_all_subjects_and_ids_are_contiguous() {
    let mut state = State::default();
    assert_eq!(register_text(&mut state, "a", &one()), Ok(1));
    assert_eq!(register_text(&mut state, "b", &one()), Ok(1));
    assert_eq!(register_text(&mut state, "a", &two()), Ok(2));
    assert_eq!(
        register_text(&mut state, "a", &one()),
        Ok(1),
        "again: nothing changes"
    );
    assert_eq!(versions(&state, "a", false), [1, 2]);
    assert_eq!(register_text(&mut state, "c", "\"string\""), Ok(3));
    assert_eq!(state.uses(1).count(), 2);
}

#[test]
fn white_space_and_order_make_no_other_schema() {
    let mut state = State::default();
    register_text(&mut state, "a", &one()).unwrap();
    let same =
        r#"{ "name": "R", "fields": [ {"type": {"type":"int"}, "name": "a"} ], "type": "record" }"#;
    assert_eq!(register_text(&mut state, "a", same), Ok(1));
    assert_eq!(
        lookup(&state, "a", &request(same), false).unwrap().version,
        1
    );
    assert_eq!(code(lookup(&state, "a", &request(&two()), false)), 40403);
    assert_eq!(code(lookup(&state, "b", &request(same), false)), 40401);
}

#[test]
fn what_is_no_avro_is_refused() {
    let mut state = State::default();
    for bad in [
        "",
        "{",
        "{}",
        "\"nothing\"",
        r#"{"type":"record","name":"R"}"#,
    ] {
        assert_eq!(code(register_text(&mut state, "a", bad)), 42201, "{bad}");
    }
    let protobuf = Registration {
        schema_type: Some("PROTOBUF".into()),
        ..request("x")
    };
    let refusal = register(&state, "a", &protobuf).unwrap_err();
    assert!(
        refusal.code() == 42201 && refusal.to_string().contains("AVRO only"),
        "{refusal}"
    );
    assert_eq!(code(register_text(&mut state, "a\nb", "\"int\"")), 42208);
}

#[test]
fn an_incompatible_schema_is_refused_with_version_and_reason() {
    let mut state = State::default();
    register_text(&mut state, "a", &one()).unwrap();
    let bad = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#);
    let refusal = register_text(&mut state, "a", &bad).unwrap_err();
    assert_eq!((refusal.code(), refusal.status()), (409, 409));
    let text = refusal.to_string();
    for part in [
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "oldSchemaVersion: 1",
        "/fields/1",
        "field b",
        "BACKWARD",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!check_all(&state, "a", &request(&bad)).unwrap().is_empty());
    assert_eq!(check_all(&state, "unknown", &request(&bad)), Ok(vec![]));
    assert_eq!(
        check_version(&state, "unknown", VersionName::Latest, &request(&bad)),
        Ok(vec![])
    );
    assert_eq!(
        code(check_version(
            &state,
            "unknown",
            VersionName::Number(1),
            &request(&bad)
        )),
        40401
    );
    assert_eq!(
        code(check_version(
            &state,
            "a",
            VersionName::Number(9),
            &request(&bad)
        )),
        40402
    );
}

/// (level, what the new version does to version 1, to version 2): accepted?
#[test]
fn each_level_checks_its_direction_and_reach() {
    // Version 2 has dropped b; version 1 had it as a string with a default.
    let first = record(r#"{"name":"a","type":"int"},{"name":"b","type":"string","default":""}"#);
    let second = one();
    // Fits the last version both ways, but not the first: b is another type.
    let last_only = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#);
    // Reads all older ones, none of which reads it.
    let reads = record(r#"{"name":"a","type":"long"}"#);
    // Is read by the last one, and reads none: c has no default.
    let is_read = record(r#"{"name":"a","type":"int"},{"name":"c","type":"int"}"#);
    let table = [
        (Level::None, [true, true, true]),
        (Level::Backward, [true, true, false]),
        (Level::BackwardTransitive, [false, true, false]),
        (Level::Forward, [true, false, true]),
        (Level::ForwardTransitive, [false, false, true]),
        (Level::Full, [true, false, false]),
        (Level::FullTransitive, [false, false, false]),
    ];
    for (level, expected) in table {
        let mut state = State::default();
        register_text(&mut state, "a", &first).unwrap();
        register_text(&mut state, "a", &second).unwrap();
        take!(state, set_config(Some("a"), Some(level), None)).unwrap();
        let found = [&last_only, &reads, &is_read]
            .map(|s| check_all(&state, "a", &request(s)).unwrap().is_empty());
        assert_eq!(found, expected, "{level:?}");
    }
}

#[test]
fn references_are_resolved_compared_and_protected() {
    let mut state = State::default();
    let item = |kind: &str| {
        format!(r#"{{"type":"record","name":"n.Item","fields":[{{"name":"v","type":"{kind}"}}]}}"#)
    };
    let order = r#"{"type":"record","name":"n.Order","fields":[{"name":"item","type":"Item"}]}"#;
    let referring = |version| Registration {
        references: Some(vec![Reference {
            name: "n.Item".into(),
            subject: "item".into(),
            version,
        }]),
        ..request(order)
    };
    assert_eq!(code(take!(state, register("order", &referring(1)))), 42201);
    register_text(&mut state, "item", &item("int")).unwrap();
    assert_eq!(code(register_text(&mut state, "order", order)), 42201);
    assert_eq!(take!(state, register("order", &referring(-1))), Ok(2));
    assert_eq!(
        lookup(&state, "order", &referring(1), false)
            .unwrap()
            .version,
        1
    );
    assert_eq!(
        code(take!(
            state,
            delete_version("item", VersionName::Number(1), false)
        )),
        42206
    );
    assert_eq!(code(take!(state, delete_subject("item", false))), 42206);
    // The same text on another version of the item is another schema, compared by what it contains.
    register_text(&mut state, "item", &item("long")).unwrap();
    assert_eq!(take!(state, register("order", &referring(2))), Ok(4));
    take!(
        state,
        delete_version("order", VersionName::Number(1), false)
    )
    .unwrap();
    let found = check_all(&state, "order", &referring(1)).unwrap();
    assert!(!found.is_empty(), "long was written");
}

#[test]
fn normalizing_ignores_the_order_of_properties() {
    let mut state = State::default();
    let one = r#"{"type":"record","name":"R","fields":[],"x":1,"y":2}"#;
    let two = r#"{"type":"record","name":"R","fields":[],"y":2,"x":1}"#;
    let normal = |schema| Registration {
        normalize: true,
        ..request(schema)
    };
    assert_eq!(take!(state, register("a", &normal(two))), Ok(1));
    assert_eq!(take!(state, register("a", &normal(one))), Ok(1));
    assert_eq!(register_text(&mut state, "a", two), Ok(2));
    take!(state, set_config(Some("b"), None, Some(true))).unwrap();
    assert_eq!(register_text(&mut state, "b", two), Ok(1));
}

#[test]
fn versions_are_named_by_number_or_latest() {
    for (text, expected) in [
        ("latest", VersionName::Latest),
        ("-1", VersionName::Latest),
        ("3", VersionName::Number(3)),
    ] {
        assert_eq!(VersionName::parse(text), Ok(expected));
    }
    for bad in ["0", "-2", "x", "", "2147483648"] {
        assert_eq!(code(VersionName::parse(bad)), 42202, "{bad}");
    }
}

/// What would end the registry, or keep it busy for ever.
#[test]
fn a_hostile_schema_is_refused() {
    let mut state = State::default();
    let fixed = |size: &str| {
        record(&format!(
            r#"{{"name":"f","type":{{"type":"fixed","name":"F","size":{size}}}}}"#
        ))
    };
    let nested = |levels: usize| {
        let open = r#"{"type":"array","items":"#.repeat(levels);
        format!("{open}\"int\"{}", "}".repeat(levels))
    };
    for hostile in [
        fixed("9223372036854775807"),
        fixed("-1"),
        nested(100),
        nested(100_000),
        format!("\"{}\"", "n".repeat(2_000_000)),
    ] {
        assert_eq!(code(register_text(&mut state, "s", &hostile)), 42201);
    }
    assert!(register_text(&mut state, "s", &fixed("16")).is_ok());
}

#[test]
fn references_that_lead_on_and_on_end() {
    let mut state = State::default();
    let refused = (0..500).find(|number| {
        let before = (*number > 0).then(|| Reference {
            name: format!("r{}", number - 1),
            subject: format!("s{}", number - 1),
            version: 1,
        });
        let request = Registration {
            schema: Some(format!(
                r#"{{"type":"record","name":"R{number}","fields":[]}}"#
            )),
            references: Some(before.into_iter().collect()),
            ..Default::default()
        };
        let decision = register(&state, &format!("s{number}"), &request);
        take(&mut state, decision).is_err()
    });
    assert!(
        refused.is_some_and(|number| (50..200).contains(&number)),
        "{refused:?}"
    );
}
