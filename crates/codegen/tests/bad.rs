//! Every problem of every file is reported at once, in the words of `bad/expected.txt`.

use std::{env, fs};

use millstream_codegen::Catalog;

#[test]
fn bad_files_are_all_reported_at_once() {
    let catalog = Catalog::new()
        .schemas("tests/bad/schemas")
        .topics("tests/bad/topics");
    let problems = catalog.render().unwrap_err().to_string();
    if env::var_os("UPDATE").is_some() {
        fs::write("tests/bad/expected.txt", &problems).unwrap();
    }
    let expected = fs::read_to_string("tests/bad/expected.txt").unwrap();
    let found: Vec<_> = problems.lines().collect();
    let expected: Vec<_> = expected.lines().collect();
    let missing: Vec<_> = expected
        .iter()
        .filter(|line| !found.contains(line))
        .collect();
    let unexpected: Vec<_> = found
        .iter()
        .filter(|line| !expected.contains(line))
        .collect();
    assert!(
        found == expected,
        "missing: {missing:#?}\nunexpected: {unexpected:#?}"
    );
}

#[test]
fn a_file_that_is_not_toml_makes_no_orphans() {
    let catalog = Catalog::new()
        .schemas("tests/good/schemas")
        .topics("tests/bad/not-toml");
    let problems = catalog.render().unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
    assert!(
        problems
            .to_string()
            .starts_with("not-toml.toml: is not TOML"),
        "{problems}"
    );
}

#[test]
fn a_missing_folder_is_reported() {
    let problems = Catalog::new()
        .schemas("tests/nowhere")
        .topics("tests/nothing")
        .render();
    assert_eq!(
        problems.unwrap_err().to_string(),
        "tests/nothing: is not a folder: create it, or name another one in build.rs.\n\
         tests/nowhere: is not a folder: create it, or name another one in build.rs.\n"
    );
}
