//! The figures, as a table and as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Arguments;
use super::latency::Latency;
use super::side::Measured;

/// One round.
#[derive(Debug, Serialize)]
pub struct Round {
    /// From 0.
    pub number: usize,
    /// Whether it does not count.
    pub warm_up: bool,
    /// The object that does nothing.
    pub noop: Measured,
    /// `product-reservations`.
    pub pipeline: Measured,
    /// Rate of `pipeline` by rate of `noop`.
    pub ratio: f64,
}

impl Round {
    /// For progress.
    pub fn line(&self) -> String {
        let Self {
            number,
            noop,
            pipeline,
            ratio,
            ..
        } = self;
        format!(
            "round {number}: no-op {:.0}/s, product-reservations {:.0}/s, ratio {ratio:.2}",
            noop.rate, pipeline.rate
        )
    }
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    events_per_round: usize,
    keys: usize,
    rounds: Vec<Round>,
    /// Medians and extremes over the rounds that count.
    noop_rate: f64,
    pipeline_rate: f64,
    ratio: f64,
    ratio_lowest: f64,
    ratio_highest: f64,
    /// CPU seconds of the no-op by those of `pipeline`, for the same events: what the ratio would
    /// be if nothing else ran on this machine.
    cpu_ratio: f64,
    handlers_peak_rss_mib: f64,
    latency: Option<Latency>,
}

impl Report {
    /// Sums a run up.
    pub fn new(
        arguments: &Arguments,
        rounds: Vec<Round>,
        latency: Option<Latency>,
        handlers_peak_rss_mib: f64,
    ) -> Self {
        let sorted = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = rounds
                .iter()
                .filter(|round| !round.warm_up)
                .map(of)
                .collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let ratios = sorted(|round| round.ratio);
        Self {
            events_per_round: arguments.events,
            keys: arguments.keys,
            noop_rate: median(&sorted(|round| round.noop.rate)),
            pipeline_rate: median(&sorted(|round| round.pipeline.rate)),
            ratio: median(&ratios),
            ratio_lowest: ratios.first().copied().unwrap_or_default(),
            ratio_highest: ratios.last().copied().unwrap_or_default(),
            cpu_ratio: median(&sorted(|round| round.noop.cpu() / round.pipeline.cpu())),
            handlers_peak_rss_mib,
            latency,
            rounds,
        }
    }
}

/// Median of sorted values.
pub fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_header([
                "round",
                "side",
                "events/s",
                "seconds",
                "CPU s Restate",
                "CPU s Kafka",
                "CPU s handler",
                "log records/event",
                "ratio",
            ]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for round in &self.rounds {
            let name = match round.warm_up {
                true => format!("{} (warm-up)", round.number),
                false => round.number.to_string(),
            };
            table.add_row(row(name, "no-op", &round.noop, String::new()));
            let ratio = format!("{:.2}", round.ratio);
            table.add_row(row(
                String::new(),
                "product-reservations",
                &round.pipeline,
                ratio,
            ));
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "{} events per round and side, {} keys. Medians: no-op {:.0}/s, product-reservations {:.0}/s.",
            self.events_per_round, self.keys, self.noop_rate, self.pipeline_rate
        )?;
        writeln!(
            f,
            "Ratio: {:.2} ({:.2} to {:.2}); of CPU seconds: {:.2}. Peak memory of the handlers: {:.0} MiB.",
            self.ratio,
            self.ratio_lowest,
            self.ratio_highest,
            self.cpu_ratio,
            self.handlers_peak_rss_mib
        )?;
        if let Some(latency) = &self.latency {
            writeln!(
                f,
                "Command to result, {} requests one after the other: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, \
                 slowest {:.1} ms.",
                latency.requests, latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms
            )?;
        }
        Ok(())
    }
}

fn row(round: String, side: &str, measured: &Measured, ratio: String) -> [String; 9] {
    [
        round,
        side.into(),
        format!("{:.0}", measured.rate),
        format!("{:.1}", measured.seconds),
        format!("{:.1}", measured.restate_cpu),
        format!("{:.1}", measured.kafka_cpu),
        format!("{:.1}", measured.handler_cpu),
        measured
            .log_records
            .map_or("-".into(), |records| format!("{records:.1}")),
        ratio,
    ]
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
    }
}
