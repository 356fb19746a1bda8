//! Deletion, levels, modes and imports.

use super::*;
use crate::level::Mode;

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
