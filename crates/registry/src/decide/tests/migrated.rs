//! What another registry left in the log: it is found, registered again and used, whatever today's
//! rules say of it.

use super::*;

/// A version as a log has it.
fn migrate(state: &mut State, subject: &str, id: i32, more: &str, schema: &str) {
    let key = format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1,"magic":1}}"#);
    let text = serde_json::to_string(schema).unwrap();
    let value = format!(
        r#"{{"subject":"{subject}","version":1,"id":{id},{more}"schema":{text},"deleted":false}}"#
    );
    let record = Record::read(key.as_bytes(), Some(value.as_bytes())).unwrap();
    state.apply(record).unwrap();
}

/// Schemas that are refused when they are new.
fn odd() -> Vec<String> {
    let default = |kind: &str, default: &str| {
        record(&format!(
            r#"{{"name":"a","type":{kind},"default":{default}}}"#
        ))
    };
    vec![
        default(r#""int""#, r#""0""#),
        default(r#"["null","string"]"#, "5"),
        default(r#"{"type":"enum","name":"E","symbols":["A"]}"#, r#""B""#),
        record(r#"{"name":"a-b","type":"int"}"#),
        r#"{"type":"enum","name":"E","symbols":[]}"#.into(),
        r#"{"type":"enum","name":"E"}"#.into(),
        r#"{"type":"record","name":"int","fields":[]}"#.into(),
        record(r#"{"name":"a","type":"int","order":"foo"}"#),
        record(r#"{"name":"a","type":{"type":"fixed","name":"F","size":2147483648}}"#),
        "{ no schema at all".into(),
    ]
}

#[test]
fn what_is_in_the_log_is_looked_up_and_registered_again() {
    for schema in odd() {
        let mut state = State::default();
        assert_eq!(
            code(register_text(&mut state, "new", &schema)),
            42201,
            "{schema}"
        );
        migrate(&mut state, "old", 7, "", &schema);
        let found = lookup(&state, "old", &request(&schema), false).unwrap();
        assert_eq!((found.id, found.version), (7, 1), "{schema}");
        assert_eq!(register_text(&mut state, "old", &schema), Ok(7), "{schema}");
    }
}

#[test]
fn what_has_an_id_is_registered_under_another_subject_too() {
    for schema in odd() {
        let mut state = State::default();
        migrate(&mut state, "old", 7, "", &schema);
        assert_eq!(
            register_text(&mut state, "another", &schema),
            Ok(7),
            "{schema}"
        );
    }
    // Where there is something to compare it with, it has to be something that can be compared.
    let mut state = State::default();
    migrate(&mut state, "old", 7, "", "{ no schema at all");
    register_text(&mut state, "another", &one()).unwrap();
    assert_eq!(
        code(register_text(&mut state, "another", "{ no schema at all")),
        42201
    );
}

#[test]
fn another_text_is_still_another_schema() {
    let mut state = State::default();
    let [bad, other] = ["\"0\"", "\"1\""].map(|default| {
        record(&format!(
            r#"{{"name":"a","type":"int","default":{default}}}"#
        ))
    });
    migrate(&mut state, "old", 7, "", &bad);
    assert_eq!(code(lookup(&state, "old", &request(&other), false)), 40403);
    assert_eq!(code(register_text(&mut state, "old", &other)), 42201);
    assert_eq!(code(lookup(&state, "old", &request("{"), false)), 42201);
    // Its next version is compared with it.
    let good = record(r#"{"name":"a","type":"long","default":0}"#);
    assert_eq!(register_text(&mut state, "old", &good), Ok(8));
}

#[test]
fn an_import_takes_what_a_log_takes() {
    let mut state = State::default();
    take!(state, set_mode(None, crate::level::Mode::Import, false)).unwrap();
    let odd = odd();
    let garbage = Registration {
        id: Some(9),
        version: Some(1),
        ..request("{ no schema at all")
    };
    assert_eq!(code(take!(state, register("s9", &garbage))), 42201);
    for (schema, id) in odd.iter().take(5).zip(10..) {
        let import = Registration {
            id: Some(id),
            version: Some(1),
            ..request(schema)
        };
        let subject = format!("s{id}");
        assert_eq!(
            take!(state, register(&subject, &import)),
            Ok(id),
            "{schema}"
        );
    }
}

#[test]
fn schemas_of_other_types_are_looked_up_and_registered_again() {
    let mut state = State::default();
    let text = "syntax = \"proto3\"; message M {}";
    migrate(&mut state, "p", 9, r#""schemaType":"PROTOBUF","#, text);
    let sent = |text: &str| Registration {
        schema_type: Some("PROTOBUF".into()),
        ..request(text)
    };
    assert_eq!(lookup(&state, "p", &sent(text), false).unwrap().id, 9);
    assert_eq!(take!(state, register("p", &sent(text))), Ok(9));
    assert_eq!(code(lookup(&state, "p", &sent("other"), false)), 40403);
    assert_eq!(code(take!(state, register("p", &sent("other")))), 42201);
    // The same text as Avro is something else.
    assert_eq!(code(lookup(&state, "p", &request(text), false)), 42201);
}

#[test]
fn a_reference_that_was_deleted_does_not_hide_what_uses_it() {
    let mut state = State::default();
    register_text(
        &mut state,
        "item",
        r#"{"type":"record","name":"n.Item","fields":[]}"#,
    )
    .unwrap();
    let referring = Registration {
        references: Some(vec![Reference {
            name: "n.Item".into(),
            subject: "item".into(),
            version: 1,
        }]),
        ..request(r#"{"type":"record","name":"n.Order","fields":[{"name":"i","type":"Item"}]}"#)
    };
    let id = take!(state, register("order", &referring)).unwrap();
    let key = r#"{"keytype":"DELETE_SUBJECT","subject":"item","magic":0}"#;
    let gone = Record::read(key.as_bytes(), Some(br#"{"subject":"item","version":1}"#));
    state.apply(gone.unwrap()).unwrap();
    assert_eq!(lookup(&state, "order", &referring, false).unwrap().id, id);
    assert_eq!(take!(state, register("order", &referring)), Ok(id));
}
