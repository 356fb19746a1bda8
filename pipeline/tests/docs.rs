//! The documentation names every code and every metric, and no other.

use std::collections::BTreeSet;

use millstream_pipeline::observe::metrics::NAMES;

const CODES: &str = include_str!("../src/failure.rs");
const EVENTS_PAGE: &str = include_str!("../../docs/events.md");
const METRICS_PAGE: &str = include_str!("../../docs/metrics.md");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const ALERTS: &str = include_str!("../../monitoring/rules/alerts.yml");
const RECORDING: &str = include_str!("../../monitoring/rules/recording.yml");
const REQUEST_TO_RESULT: &str =
    include_str!("../../monitoring/grafana/dashboards/request-to-result.json");
const LOAD_TEST: &str = include_str!("../../monitoring/grafana/dashboards/load-test.json");

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

/// Every alert has its paragraph in the runbook, and the runbook no other; every metric that a rule
/// or a panel uses is described.
#[test]
fn alerts_and_dashboards_fit_the_documentation() {
    let alerts: Vec<&str> = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.contains(&"DeadLetters"), "{alerts:?}");
    let paragraphs: Vec<&str> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert_eq!(alerts, paragraphs);
    for alert in &alerts {
        let url = format!("runbook_url: docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(ALERTS.contains(&url), "{alert} lacks {url}");
    }
    let sources = [ALERTS, RECORDING, REQUEST_TO_RESULT, LOAD_TEST];
    let used: BTreeSet<&str> = sources.into_iter().flat_map(metrics_in).collect();
    assert!(used.contains("millstream_reachable"), "{used:?}");
    let described: BTreeSet<&str> = metrics_in(METRICS_PAGE).collect();
    for metric in used {
        let whole = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| metric.strip_suffix(end))
            .unwrap_or(metric);
        assert!(described.contains(whole), "docs/metrics.md lacks {whole}");
    }
}

/// Words that look like metrics of ours, of Restate's or of Kafka's. What a recording rule makes has
/// colons in its name and is none.
fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == ':'))
        .filter(|word| !word.contains(':'))
        .filter(|word| {
            ["millstream_", "restate_", "kafka_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
}
