use proptest::prelude::*;

use super::*;
use crate::registry::level::{Level, Mode};
use crate::registry::record::Reference;
use crate::registry::state::State;

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

macro_rules! take {
    ($state:ident, $decide:ident($($argument:expr),*)) => {{
        let decision = $decide(&$state, $($argument),*);
        take(&mut $state, decision)
    }};
}

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
fn deletion_is_soft_then_permanent() {
    let mut state = State::default();
    register_text(&mut state, "a", &one()).unwrap();
    register_text(&mut state, "a", &two()).unwrap();
    let number = VersionName::Number;
    assert_eq!(
        code(take!(state, delete_version("x", number(1), false))),
        40401
    );
    assert_eq!(
        code(take!(state, delete_version("a", number(3), false))),
        40402
    );
    assert_eq!(
        code(take!(state, delete_version("a", number(1), true))),
        40407
    );
    assert_eq!(take!(state, delete_version("a", number(1), false)), Ok(1));
    assert_eq!(
        code(take!(state, delete_version("a", number(1), false))),
        40406
    );
    assert_eq!(
        (versions(&state, "a", false), versions(&state, "a", DELETED)),
        (vec![2], vec![1, 2])
    );
    assert!(
        state.schema(1).is_some(),
        "a consumer still finds the schema of what it reads"
    );
    assert_eq!(take!(state, delete_version("a", number(1), true)), Ok(1));
    assert!(state.schema(1).is_none());

    assert_eq!(code(take!(state, delete_subject("x", false))), 40401);
    assert_eq!(code(take!(state, delete_subject("a", true))), 40405);
    assert_eq!(take!(state, delete_subject("a", false)), Ok(vec![2]));
    assert_eq!(code(take!(state, delete_subject("a", false))), 40404);
    assert_eq!(state.subjects(false).count(), 0);
    assert_eq!(take!(state, delete_subject("a", true)), Ok(vec![2]));
    assert_eq!(code(take!(state, delete_subject("a", true))), 40401);
    assert_eq!(
        register_text(&mut state, "a", "\"int\""),
        Ok(3),
        "ids are not given out twice"
    );
}

#[test]
fn a_deleted_schema_comes_back_with_its_id_and_a_new_version() {
    let mut state = State::default();
    register_text(&mut state, "a", &one()).unwrap();
    register_text(&mut state, "a", &two()).unwrap();
    take!(state, delete_version("a", VersionName::Number(1), false)).unwrap();
    assert_eq!(register_text(&mut state, "a", &one()), Ok(1));
    assert_eq!(versions(&state, "a", DELETED), [2, 3]);
    take!(state, delete_subject("a", false)).unwrap();
    assert_eq!(register_text(&mut state, "a", &two()), Ok(2));
    assert_eq!(
        (versions(&state, "a", false), versions(&state, "a", DELETED)),
        (vec![4], vec![3, 4])
    );
    assert!(lookup(&state, "a", &request(&one()), DELETED).is_ok());
    assert_eq!(code(lookup(&state, "a", &request(&one()), false)), 40403);
}

#[test]
fn settings_are_the_subjects_or_the_global_ones_and_go_with_the_subject() {
    let mut state = State::default();
    assert_eq!(state.level("a"), Level::Backward);
    take!(state, set_config(None, Some(Level::Full), None)).unwrap();
    take!(state, set_config(Some("a"), Some(Level::None), Some(true))).unwrap();
    assert_eq!(
        (state.level("a"), state.level("b")),
        (Level::None, Level::Full)
    );
    register_text(&mut state, "a", &one()).unwrap();
    take!(state, set_mode(Some("a"), Mode::Readonly, false)).unwrap();
    assert_eq!(code(register_text(&mut state, "a", &two())), 42205);
    assert_eq!(
        register_text(&mut state, "a", &one()),
        Ok(1),
        "what is there needs no write"
    );
    assert_eq!(code(take!(state, delete_subject("a", false))), 42205);
    assert_eq!(
        code(take!(state, set_config(Some("a"), Some(Level::Full), None))),
        42205
    );
    take!(state, set_mode(Some("a"), Mode::Readwrite, false)).unwrap();
    take!(state, delete_subject("a", false)).unwrap();
    assert_eq!(
        (state.mode(Some("a")), state.level("a")),
        (None, Level::Full)
    );
    assert_eq!(code(take!(state, delete_config(Some("a")))), 40401);
    take!(state, delete_config(None)).unwrap();
    assert_eq!(state.level("a"), Level::Backward);
    take!(state, set_mode(Some("a"), Mode::Readwrite, false)).unwrap();
    take!(state, set_mode(None, Mode::ReadonlyOverride, false)).unwrap();
    assert_eq!(code(register_text(&mut state, "a", &two())), 42205);
}

#[test]
fn ids_and_versions_are_named_in_import_mode_alone() {
    let mut state = State::default();
    let named = |id, version, schema: &str| Registration {
        id,
        version,
        ..request(schema)
    };
    assert_eq!(
        code(take!(
            state,
            register("a", &named(Some(7), Some(3), &one()))
        )),
        42205
    );
    take!(state, set_mode(None, Mode::Import, false)).unwrap();
    assert_eq!(
        take!(state, register("a", &named(Some(7), Some(3), &one()))),
        Ok(7)
    );
    assert_eq!(
        take!(state, register("a", &named(Some(7), Some(3), &one()))),
        Ok(7),
        "twice is harmless"
    );
    assert_eq!(
        code(take!(
            state,
            register("a", &named(Some(7), Some(4), &two()))
        )),
        42205
    );
    assert_eq!(
        code(take!(
            state,
            register("a", &named(Some(8), Some(3), &two()))
        )),
        42205
    );
    // What does not fit is imported all the same.
    assert_eq!(
        take!(state, register("a", &named(Some(9), Some(4), "\"int\""))),
        Ok(9)
    );
    assert_eq!(code(register_text(&mut state, "a", "\"long\"")), 42205);
    take!(state, set_mode(None, Mode::Readwrite, false)).unwrap();
    assert_eq!(register_text(&mut state, "b", "\"long\""), Ok(10));
    assert_eq!(
        code(take!(state, set_mode(None, Mode::Import, false))),
        42205
    );
    assert_eq!(take!(state, set_mode(None, Mode::Import, true)), Ok(()));
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

#[derive(Debug, Clone)]
enum Step {
    Register(u8, u8),
    DeleteVersion(u8, i32, bool),
    DeleteSubject(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3u8, 0..6u8).prop_map(|(subject, schema)| Step::Register(subject, schema)),
        1 => (0..3u8, 1..6i32, any::<bool>()).prop_map(|(s, v, p)| Step::DeleteVersion(s, v, p)),
        1 => (0..3u8, any::<bool>()).prop_map(|(s, p)| Step::DeleteSubject(s, p)),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever is done, an id never changes its meaning, and the compacted log gives the same state.
    #[test]
    fn ids_keep_their_meaning_and_the_compacted_log_is_enough(steps in steps()) {
        let mut state = State::default();
        take!(state, set_config(None, Some(Level::None), None)).unwrap();
        let mut meanings = std::collections::HashMap::new();
        let mut log: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for step in steps {
            let subject = |n: u8| format!("s{n}");
            let decision = match step {
                Step::Register(s, n) => {
                    register(&state, &subject(s), &request(&record(&format!(r#"{{"name":"f{n}","type":"int"}}"#))))
                        .map(|d| Decision { records: d.records, answer: () })
                }
                Step::DeleteVersion(s, v, p) => delete_version(&state, &subject(s), VersionName::Number(v), p)
                    .map(|d| Decision { records: d.records, answer: () }),
                Step::DeleteSubject(s, p) => delete_subject(&state, &subject(s), p)
                    .map(|d| Decision { records: d.records, answer: () }),
            };
            let Ok(decision) = decision else { continue };
            for record in decision.records {
                let (key, value) = record.write().unwrap();
                state.apply(Record::read(&key, value.as_deref()).unwrap()).unwrap();
                log.retain(|(known, _)| *known != key);
                log.push((key, value));
            }
            for value in state.all(DELETED) {
                let meaning = meanings.entry(value.id).or_insert_with(|| value.schema.clone());
                prop_assert_eq!(&*meaning, &value.schema);
            }
        }
        let mut again = State::default();
        for (key, value) in &log {
            again.apply(Record::read(key, value.as_deref()).unwrap()).unwrap();
        }
        let content = |state: &State| state.all(DELETED).cloned().collect::<Vec<_>>();
        prop_assert_eq!(content(&again), content(&state));
    }
}
