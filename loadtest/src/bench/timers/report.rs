//! The figures, as tables and as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::due::Due;
use super::pending::{Others, Pending};

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub due: Option<Due>,
    pub pending: Option<Pending>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(due) = &self.due {
            let row = [
                due.timers.to_string(),
                format!("{} s", due.within_seconds),
                format!("{:.1} s", due.set_seconds),
                format!("{} ms", due.p50_ms),
                format!("{} ms", due.p99_ms),
                format!("{} ms", due.max_ms),
                due.late.to_string(),
                due.missing.to_string(),
                due.twice.to_string(),
                due.early.to_string(),
            ];
            let header = [
                "timers",
                "due within",
                "set in",
                "late p50",
                "late p99",
                "late max",
                "over 5 s",
                "missing",
                "twice",
                "early",
            ];
            writeln!(f, "{}", table(&header, 0, [row]))?;
        }
        if let Some(pending) = &self.pending {
            let header = [
                "pending timers",
                "events/s",
                "CPU s/1,000 events",
                "p50",
                "p99",
                "memory of the handlers",
            ];
            let rows = [
                row("none".into(), &pending.without),
                row(pending.timers.to_string(), &pending.with),
            ];
            writeln!(f, "{}", table(&header, 1, rows))?;
            writeln!(
                f,
                "The timers were set in {:.0} s. With them by without them: rate {:.2}, by CPU seconds {:.2}, median latency {:.2}.",
                pending.set_seconds, pending.rate_ratio, pending.cpu_ratio, pending.latency_ratio
            )?;
        }
        Ok(())
    }
}

fn row(name: String, others: &Others) -> [String; 6] {
    [
        name,
        format!("{:.0}", others.events_per_second),
        format!("{:.2}", others.cpu_seconds),
        format!("{:.1} ms", others.p50_ms),
        format!("{:.1} ms", others.p99_ms),
        format!("{:.0} MiB", others.handlers_rss_mib),
    ]
}

fn table<const N: usize>(
    header: &[&str; N],
    texts: usize,
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(header)
        .add_rows(rows);
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
