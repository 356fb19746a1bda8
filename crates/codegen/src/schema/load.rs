//! Reads a folder of schemas and its examples.

use std::{fs, path::Path};

use serde_json::Value;

use super::{EVENT_META, REQUEST_FAILED, Schemas, WORK_DUE, check, parse::Parser};
use crate::problem::Collector;

/// What the library brings, for catalogues outside its workspace.
const LIBRARY: [(&str, &str); 3] = [
    (
        EVENT_META,
        include_str!("library/millstream.EventMeta.avsc"),
    ),
    (
        REQUEST_FAILED,
        include_str!("library/millstream.RequestFailed.avsc"),
    ),
    (WORK_DUE, include_str!("library/millstream.WorkDue.avsc")),
];

/// Reads `folder`. `with_library` adds what the library brings, as types of the library.
pub fn load(folder: &Path, with_library: bool, problems: &Collector) -> Schemas {
    let mut schemas = Schemas::default();
    if with_library {
        for (name, text) in LIBRARY {
            if let Ok(schema) = serde_json::from_str(text) {
                let file = format!("{name}.avsc");
                let definitions = &mut schemas.definitions;
                Parser {
                    file: &file,
                    problems,
                    definitions,
                    of_library: true,
                }
                .top_level(&schema);
            }
        }
    }
    for (file, text) in files(folder, "avsc", problems) {
        let schema: Value = match serde_json::from_str(&text) {
            Ok(schema) => schema,
            Err(error) => {
                problems.add(&file, format!("is not JSON ({error}): correct it."));
                schemas
                    .unread
                    .insert(file.trim_end_matches(".avsc").to_owned());
                continue;
            }
        };
        if let Some((name, original)) = of_library(&file) {
            // Other tools may need a copy, as do we for catalogues outside; it must be one.
            let is_copy = serde_json::from_str::<Value>(original).ok().as_ref() == Some(&schema);
            match (is_copy, with_library) {
                (true, _) => {}
                (false, true) => problems.add(
                    &file,
                    format!("differs from the `{name}` of the library: delete it."),
                ),
                (false, false) => problems.add(
                    &file,
                    "differs from its copy in crates/codegen/src/schema/library: copy it there."
                        .to_owned(),
                ),
            }
            if with_library {
                continue;
            }
        }
        let definitions = &mut schemas.definitions;
        let parsed = Parser {
            file: &file,
            problems,
            definitions,
            of_library: false,
        }
        .top_level(&schema);
        match parsed {
            Some(name) if file == format!("{name}.avsc") => {}
            Some(name) => problems.add(
                &file,
                format!("contains `{name}`: rename the file to {name}.avsc."),
            ),
            None => {
                schemas
                    .unread
                    .insert(file.trim_end_matches(".avsc").to_owned());
            }
        }
    }
    for (file, text) in files(&folder.join("examples"), "json", problems) {
        let name = file.trim_end_matches(".json").to_owned();
        schemas.examples.insert(name, text);
    }
    check::check(&schemas, with_library, problems);
    schemas
}

fn of_library(file: &str) -> Option<&'static (&'static str, &'static str)> {
    LIBRARY
        .iter()
        .find(|(name, _)| file == format!("{name}.avsc"))
}

/// Name and text of the files in `folder` with this extension, by name; none without the folder.
pub fn files(folder: &Path, extension: &str, problems: &Collector) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.extension().is_none_or(|found| found != extension) {
            continue;
        }
        match fs::read_to_string(&path) {
            Ok(text) => out.push((name, text)),
            Err(error) => problems.add(
                &name,
                format!("cannot be read ({error}): make it readable."),
            ),
        }
    }
    out.sort();
    out
}
