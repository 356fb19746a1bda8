//! The documentation names every code and every metric, and no other.

use std::collections::BTreeSet;

const CODES: &str = include_str!("../src/code.rs");
const METRICS: &str = include_str!("../src/metrics.rs");
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
    let metrics = constants(METRICS);
    assert!(metrics.contains("millstream_events_total"), "{metrics:?}");
    assert_eq!(rows(METRICS_PAGE, "name"), metrics);
}
