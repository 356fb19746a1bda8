//! A catalogue outside the workspace with every type and every field is made into the Rust in
//! `good/expected.rs`, which a test of millstream-events compiles and uses.

use std::{env, fs};

use millstream_codegen::Catalog;

#[test]
fn good_files_become_the_expected_rust() {
    let catalog = Catalog::new()
        .schemas("tests/good/schemas")
        .topics("tests/good/topics")
        .events_crate("::millstream_events");
    let rust = catalog
        .render()
        .unwrap_or_else(|problems| panic!("{problems}"));
    if env::var_os("UPDATE").is_some() {
        fs::write("tests/good/expected.rs", &rust).unwrap();
    }
    let expected = fs::read_to_string("tests/good/expected.rs").unwrap();
    let differs = rust
        .lines()
        .zip(expected.lines())
        .find(|(new, old)| new != old);
    assert!(
        rust == expected,
        "run with UPDATE=1 if this is meant; first difference: {differs:#?}"
    );
}
