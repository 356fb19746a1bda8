//! The history of released schemas: `history/<full name>/<n>.avsc` below the folder of schemas.
//!
//! Every version is kept as it was registered, so that it stays known what is on the topics.
//! The current schema and each version can read what the other wrote.

use std::{env, fs, io, path::Path};

use millstream_avro::release;
use serde_json::Value;

use crate::{
    problem::Collector,
    schema::{self, Definition, Schemas},
};

/// Reports what keeps the current schemas from being those that were released.
pub fn check(folder: &Path, schemas: &Schemas, release: Option<&str>, problems: &Collector) {
    for event in schemas.events().filter(|event| !event.of_library) {
        let Definition {
            file, full_name, ..
        } = event;
        let versions = versions(folder, full_name, problems);
        let current = schema::text(event, schemas);
        let next = versions.last().map_or(1, |(number, _)| number + 1);
        if !versions
            .last()
            .is_some_and(|(_, newest)| same(newest, &current))
        {
            problems.add(
                file,
                format!("is not released in this form: run {}, which writes history/{full_name}/{next}.avsc, and commit that.", release.map_or_else(releasing, |command| format!("`{command}`"))),
            );
        }
        for (expected, (number, _)) in (1..).zip(&versions) {
            if expected != *number {
                problems.add(file, format!("history/{full_name}/{expected}.avsc is missing: restore it, versions are never deleted."));
                break;
            }
        }
        incompatible(file, &current, &versions, problems);
    }
    let entries = fs::read_dir(folder.join("history"))
        .into_iter()
        .flatten()
        .flatten();
    for name in entries.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        if !schemas.get(&name).is_some_and(Definition::is_event) {
            problems.add(&format!("{name}.avsc"), "has a history, but is gone: restore it, because its events are still on topics, or delete the history.");
        }
    }
}

/// Adds a version for each event whose current schema is not the newest one; returns their files.
/// A schema that does not go together with an older version is not released.
pub fn release(folder: &Path, schemas: &Schemas, problems: &Collector) -> Vec<String> {
    let mut written = Vec::new();
    for event in schemas.events().filter(|event| !event.of_library) {
        let versions = versions(folder, &event.full_name, problems);
        let current = schema::text(event, schemas);
        if versions
            .last()
            .is_some_and(|(_, newest)| same(newest, &current))
        {
            continue;
        }
        if incompatible(&event.file, &current, &versions, problems) {
            continue;
        }
        let next = versions.last().map_or(1, |(number, _)| number + 1);
        let file = format!("history/{}/{next}.avsc", event.full_name);
        match write(&folder.join(&file), &schema::pretty_text(event, schemas)) {
            Ok(()) => written.push(file),
            Err(error) => problems.add(
                &file,
                format!("cannot be written ({error}): make the folder writable."),
            ),
        }
    }
    written
}

/// What releases the schemas of the package whose test this is.
fn releasing() -> String {
    match env::var("CARGO_PKG_NAME") {
        Ok(package) => format!("`cargo run -p {package} --example release`"),
        Err(_) => "the program that calls `Catalog::release`".to_owned(),
    }
}

/// Reports versions that do not go together with the current schema; whether there are any.
fn incompatible(
    file: &str,
    current: &str,
    versions: &[(u32, String)],
    problems: &Collector,
) -> bool {
    let mut any = false;
    for (number, text) in versions {
        if let Err(reason) = release::check(current, text) {
            problems.add(file, format!("and its version {number} cannot read each other ({reason}): give new fields a default and keep the rest, or make a new event."));
            any = true;
        }
    }
    any
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

/// Number and text of each version, oldest first.
fn versions(folder: &Path, full_name: &str, problems: &Collector) -> Vec<(u32, String)> {
    let mut out = Vec::new();
    for (file, text) in schema::files(&folder.join("history").join(full_name), "avsc", problems) {
        match file.trim_end_matches(".avsc").parse() {
            Ok(number) => out.push((number, text)),
            Err(_) => problems.add(
                &format!("history/{full_name}/{file}"),
                "is not named after a number: rename it, such as 1.avsc.",
            ),
        }
    }
    out.sort();
    out
}

/// Whether two texts are the same schema, whatever their layout and docs.
fn same(one: &str, other: &str) -> bool {
    let parse = |text| serde_json::from_str(text).ok().map(without_docs);
    parse(one).is_some_and(|one| Some(one) == parse(other))
}

fn without_docs(schema: Value) -> Value {
    match schema {
        // A field called doc is an entry of an array, never a key.
        Value::Object(entries) => Value::Object(
            entries
                .into_iter()
                .filter(|(key, _)| key != "doc")
                .map(|(key, value)| {
                    if key == "default" {
                        (key, value)
                    } else {
                        (key, without_docs(value))
                    }
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_docs).collect()),
        other => other,
    }
}
