//! The figures, as tables and as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::accepted::Accepted;
use super::overhead::{Overhead, Quantiles};
use super::steps::Step;
use super::waiting::Waiting;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub overhead: Option<Overhead>,
    pub accepted: Option<Accepted>,
    pub p99_limit_ms: u64,
    pub steps: Vec<Step>,
    pub waiting: Option<Waiting>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(overhead) = &self.overhead {
            let row = |name: &str, quantiles| {
                let [p50, p90, p99] = texts(quantiles);
                [name.to_owned(), p50, p90, p99]
            };
            let rows = [
                row("by Kafka", &overhead.kafka),
                row("over HTTP", &overhead.http),
            ];
            writeln!(f, "{}", table(&["one request", "p50", "p90", "p99"], rows))?;
            writeln!(
                f,
                "The gateway adds {:.1} ms to the median ({} requests of either kind, in turn).\n",
                overhead.median_ms, overhead.requests
            )?;
        }
        if let Some(accepted) = &self.accepted {
            let header = [
                "without handlers",
                "accepted/s",
                "p50",
                "p90",
                "p99",
                "CPU s/s gateway",
                "Kafka",
                "client",
            ];
            let [p50, p90, p99] = texts(&accepted.answered);
            let row = [
                format!("{} connections", accepted.connections),
                format!("{:.0}", accepted.per_second),
                p50,
                p90,
                p99,
                format!("{:.2}", accepted.gateway_cpu),
                format!("{:.2}", accepted.kafka_cpu),
                format!("{:.2}", accepted.client_cpu),
            ];
            writeln!(f, "{}\n", table(&header, [row]))?;
        }
        if !self.steps.is_empty() {
            let header = [
                "requests/s",
                "p50",
                "p90",
                "p99",
                "handled/s",
                "left at the end",
                "in time",
            ];
            let rows = self.steps.iter().map(|step| {
                let [p50, p90, p99] = texts(&step.accepted);
                [
                    step.rate.to_string(),
                    p50,
                    p90,
                    p99,
                    format!("{:.0}", step.handled),
                    step.left.to_string(),
                    if step.in_time { "yes" } else { "no" }.to_owned(),
                ]
            });
            writeln!(f, "{}", table(&header, rows))?;
            let good = self.steps.iter().filter(|step| step.in_time);
            let best = good.map(|step| step.rate).max().unwrap_or(0);
            writeln!(
                f,
                "With handlers: p99 of the 202 stays under {} ms up to {best} requests/s.\n",
                self.p99_limit_ms
            )?;
        }
        if let Some(waiting) = &self.waiting {
            let header = [
                "waiting requests",
                "gateway before",
                "with them",
                "each",
                "after",
            ];
            let row = [
                waiting.requests.to_string(),
                format!("{:.0} MiB", waiting.before_mib),
                format!("{:.0} MiB", waiting.with_mib),
                format!("{:.1} KiB", waiting.kib_each),
                format!("{:.1} s", waiting.seconds),
            ];
            writeln!(f, "{}", table(&header, [row]))?;
        }
        Ok(())
    }
}

fn texts(quantiles: &Quantiles) -> [String; 3] {
    let Quantiles {
        p50_ms,
        p90_ms,
        p99_ms,
    } = quantiles;
    [p50_ms, p90_ms, p99_ms].map(|ms| format!("{ms:.1} ms"))
}

fn table<const N: usize>(header: &[&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(header)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
