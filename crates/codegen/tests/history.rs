//! The history notices what was changed after a release.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use millstream_codegen::Catalog;

const FILE: &str = "acme.orders.OrderPlaced.avsc";

/// A released copy of the good schemas, to be changed.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        copy_folder(Path::new("tests/good/schemas"), copy.0.path());
        assert_eq!(
            copy.catalog().release().unwrap().len(),
            6,
            "one version of each event"
        );
        assert_eq!(copy.problems(), "");
        copy
    }

    fn catalog(&self) -> Catalog {
        Catalog::new().schemas(self.0.path())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(FILE)).unwrap();
        assert!(text.contains(from));
        fs::write(self.path(FILE), text.replace(from, to)).unwrap();
    }

    fn problems(&self) -> String {
        self.catalog()
            .check_history()
            .err()
            .map_or(String::new(), |problems| problems.to_string())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_compatible_change_is_a_new_version() {
    let copy = Copy::new();
    copy.edit(
        "\"fields\": [",
        "\"fields\": [ { \"name\": \"note\", \"type\": \"string\", \"default\": \"\" },",
    );
    fs::write(
        copy.path("examples/acme.orders.OrderPlaced.json"),
        r#"{ "note": "" }"#,
    )
    .unwrap();
    assert_eq!(
        copy.problems(),
        format!(
            "{FILE}: is not released in this form: run `cargo run -p millstream-codegen --example release`, which writes history/acme.orders.OrderPlaced/2.avsc, and commit that.\n"
        )
    );
    assert_eq!(
        copy.catalog().release().unwrap(),
        ["history/acme.orders.OrderPlaced/2.avsc"]
    );
    assert_eq!(copy.problems(), "");
    assert!(
        copy.catalog().release().unwrap().is_empty(),
        "nothing is new"
    );

    fs::remove_file(copy.path("history/acme.orders.OrderPlaced/1.avsc")).unwrap();
    assert!(
        copy.problems().contains("1.avsc is missing"),
        "{}",
        copy.problems()
    );
}

#[test]
fn an_incompatible_change_is_refused() {
    for (from, to) in [
        (
            "\"fields\": [",
            "\"fields\": [ { \"name\": \"note\", \"type\": \"string\" },",
        ),
        ("[\"null\", \"acme.Money\"]", "[\"null\", \"string\"]"),
        (
            "[\"null\", \"acme.Money\"], \"default\": null",
            "\"acme.Money\"",
        ),
    ] {
        let copy = Copy::new();
        copy.edit(from, to);
        let example = r#"{ "note": "", "total": null }"#;
        fs::write(copy.path("examples/acme.orders.OrderPlaced.json"), example).unwrap();
        let problems = copy.problems();
        assert!(
            problems.contains("its version 1 cannot read each other"),
            "{to}: {problems}"
        );
    }
}

#[test]
fn a_shared_record_is_part_of_every_event_with_it() {
    let copy = Copy::new();
    let file = copy.path("acme.Currency.avsc");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"USD\"", "\"USD\", \"CHF\"")).unwrap();
    let problems = copy.problems();
    for event in ["PlaceOrder", "OrderPlaced", "OrderRefused"] {
        assert!(
            problems.contains(&format!("history/acme.orders.{event}/2.avsc")),
            "{problems}"
        );
    }
    assert!(!problems.contains("OrderShipped"), "{problems}");
    // The enum has a default, which older programs take for the new symbol.
    assert!(!problems.contains("cannot read each other"), "{problems}");
}

#[test]
fn a_field_with_a_default_may_go() {
    let copy = Copy::new();
    copy.edit(
        "{ \"name\": \"total\", \"type\": [\"null\", \"acme.Money\"], \"default\": null },",
        "",
    );
    fs::write(copy.path("examples/acme.orders.OrderPlaced.json"), "{}").unwrap();
    assert_eq!(
        copy.catalog().release().unwrap(),
        ["history/acme.orders.OrderPlaced/2.avsc"]
    );
    assert_eq!(copy.problems(), "");
}

#[test]
fn words_for_people_may_change() {
    let copy = Copy::new();
    copy.edit("A result.", "A better text.");
    assert_eq!(copy.problems(), "");
}

#[test]
fn a_deleted_event_keeps_its_history() {
    let copy = Copy::new();
    fs::remove_file(copy.path(FILE)).unwrap();
    fs::remove_file(copy.path("examples/acme.orders.OrderPlaced.json")).unwrap();
    assert!(
        copy.problems()
            .starts_with(&format!("{FILE}: has a history, but is gone")),
        "{}",
        copy.problems()
    );
}
