//! Metadata and rules of a schema: part of what it is, kept, and inherited by who does not know them.

use serde_json::{Value, json};

use super::*;

fn with(schema: &str, more: Value) -> Registration {
    let mut body = json!({ "schema": schema });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    serde_json::from_value(body).unwrap()
}

fn encrypted() -> Value {
    json!({ "ruleSet": { "domainRules": [
        { "name": "encrypt", "type": "ENCRYPT", "tags": ["PII"], "params": { "encrypt.kek.name": "k" } },
    ] } })
}

fn rule_names(state: &State, subject: &str, version: i32) -> Vec<String> {
    let value = state.version(subject, version).unwrap();
    let rules = value
        .rule_set
        .as_ref()
        .and_then(|it| it["domainRules"].as_array());
    let names = rules.into_iter().flatten();
    names
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn they_are_stored_and_make_another_schema() {
    let mut state = State::default();
    assert_eq!(register_text(&mut state, "a", &one()), Ok(1));
    let request = with(&one(), encrypted());
    assert_eq!(take!(state, register("a", &request)), Ok(2));
    assert_eq!(rule_names(&state, "a", 2), ["encrypt"]);
    assert_eq!(
        take!(state, register("a", &request)),
        Ok(2),
        "again: nothing changes"
    );
    assert_eq!(lookup(&state, "a", &request, false).unwrap().version, 2);
    let owned = with(
        &one(),
        json!({ "metadata": { "properties": { "owner": "me" } } }),
    );
    assert_eq!(take!(state, register("a", &owned)), Ok(3));
    let value = state.version("a", 3).unwrap();
    assert_eq!(
        value.metadata,
        Some(json!({ "properties": { "owner": "me" } }))
    );
    assert_eq!(
        rule_names(&state, "a", 3),
        ["encrypt"],
        "what is not spoken of stays"
    );
}

#[test]
fn who_does_not_know_them_does_not_take_them_away() {
    let mut state = State::default();
    take!(state, register("a", &with(&one(), encrypted()))).unwrap();
    // The same text without rules is what is there; a new text keeps them.
    assert_eq!(register_text(&mut state, "a", &one()), Ok(1));
    assert_eq!(lookup(&state, "a", &request(&one()), false).unwrap().id, 1);
    assert_eq!(register_text(&mut state, "a", &two()), Ok(2));
    assert_eq!(rule_names(&state, "a", 2), ["encrypt"]);
    // Who says that there are none takes them away.
    let none = with(&two(), json!({ "ruleSet": {} }));
    assert_eq!(take!(state, register("a", &none)), Ok(3));
    assert_eq!(state.version("a", 3).unwrap().rule_set, None);
    // Another subject is asked by itself.
    assert_eq!(register_text(&mut state, "b", &one()), Ok(4));
}

#[test]
fn the_version_in_the_metadata_counts() {
    let mut state = State::default();
    let counted = |schema: &str| {
        with(
            schema,
            json!({ "metadata": { "properties": { "confluent:version": "7" } } }),
        )
    };
    take!(state, register("a", &counted(&one()))).unwrap();
    register_text(&mut state, "a", &two()).unwrap();
    let count = |version| {
        let value = state.version("a", version).unwrap();
        value.metadata.as_ref().unwrap()["properties"]["confluent:version"].clone()
    };
    assert_eq!((count(1), count(2)), (json!("1"), json!("2")));
}

#[test]
fn rules_that_mean_nothing_and_changes_of_tags_are_refused() {
    let mut state = State::default();
    let bad = with(
        &one(),
        json!({ "ruleSet": { "domainRules": [{ "name": "a" }] } }),
    );
    assert_eq!(code(take!(state, register("a", &bad))), 42210);
    for tags in [
        json!({ "schemaTagsToAdd": [{ "schemaEntity": {}, "tags": ["PII"] }] }),
        json!({ "schemaTagsToRemove": [{}] }),
        json!({ "propagateSchemaTags": true }),
    ] {
        assert_eq!(
            code(take!(state, register("a", &with(&one(), tags)))),
            42205
        );
    }
    let nothing =
        json!({ "schemaTagsToAdd": [], "schemaTagsToRemove": null, "propagateSchemaTags": false });
    assert_eq!(take!(state, register("a", &with(&one(), nothing))), Ok(1));
}

#[test]
fn rules_that_a_configuration_would_add_are_not_left_out_silently() {
    let mut state = State::default();
    let key = r#"{"keytype":"CONFIG","subject":"a","magic":0}"#;
    let value =
        r#"{"subject":"a","compatibilityLevel":"NONE","overrideRuleSet":{"domainRules":[]}}"#;
    let record = Record::read(key.as_bytes(), Some(value.as_bytes()));
    state.apply(record.unwrap()).unwrap();
    let refusal = register_text(&mut state, "a", &one()).unwrap_err();
    assert_eq!(refusal.code(), 42205);
    assert!(refusal.to_string().contains("overrideRuleSet"), "{refusal}");
    assert_eq!(register_text(&mut state, "b", &one()), Ok(1));
}
