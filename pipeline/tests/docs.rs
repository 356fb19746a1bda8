//! The documentation names every code and every metric, and no other; docs/api is up to date.

use std::collections::BTreeSet;

use millstream_pipeline::gateway::documents::{asyncapi, openapi};
use millstream_pipeline::metrics::NAMES;
use millstream_topics::TOPICS;
use serde_json::Value;

const CODES: &str = include_str!("../src/code.rs");
const EVENTS_PAGE: &str = include_str!("../../docs/events.md");
const METRICS_PAGE: &str = include_str!("../../docs/metrics.md");

/// The values of all `pub const NAME: &str` of a source file.
fn constants(source: &str) -> BTreeSet<&str> {
    source
        .lines()
        .filter_map(|line| {
            let (_, value) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
            value.strip_suffix("\";")
        })
        .collect()
}

/// The first cells of the table whose first column is called `column`, without backticks.
fn rows<'p>(page: &'p str, column: &str) -> BTreeSet<&'p str> {
    let head = format!("| {column} |");
    let lines = page.lines().skip_while(|line| !line.starts_with(&head));
    lines
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(cell, _)| cell)
        .collect()
}

#[test]
fn every_code_is_documented() {
    let codes = constants(CODES);
    assert!(codes.contains("undecodable"), "{codes:?}");
    assert_eq!(rows(EVENTS_PAGE, "code"), codes);
}

#[test]
fn every_metric_is_documented() {
    let metrics: BTreeSet<&str> = NAMES.iter().copied().collect();
    assert_eq!(rows(METRICS_PAGE, "name"), metrics);
}

#[test]
fn the_descriptions_of_the_interfaces_are_up_to_date() {
    for (name, made) in [("openapi", openapi(TOPICS)), ("asyncapi", asyncapi(TOPICS))] {
        let path = format!("{}/../docs/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == format!("{made:#}\n"),
            "docs/api/{name}.json is not what the declarations say; run \
             `cargo run -p millstream-pipeline --example api` and commit it"
        );
    }
}

/// References within a document lead somewhere, and every operation has a name of its own.
#[test]
fn the_descriptions_of_the_interfaces_hold_together() {
    for document in [openapi(TOPICS), asyncapi(TOPICS)] {
        let (mut references, mut ids) = (BTreeSet::new(), Vec::new());
        collect(&document, &mut references, &mut ids);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>, ids: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("$ref", Value::String(text)) => drop(references.insert(text.clone())),
                    ("operationId", Value::String(text)) => ids.push(text.clone()),
                    _ => collect(value, references, ids),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, references, ids)),
        _ => {}
    }
}
