//! The figures, as a table, as Markdown and as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Arguments;
use super::latency::Latency;
use super::peer::Peer;
use super::side::{Measured, Side};
use crate::bench::{median, median_of};

/// A median with the lowest and the highest value.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

/// What was measured of one side.
#[derive(Debug, Serialize)]
pub struct Line {
    peer: Peer,
    /// Events per second.
    rate: Spread,
    /// Rate of the first side by this one's, in the same round. The first one is ours.
    ratio: Spread,
    /// CPU of all three processes per event, this side's by the first one's: what the ratio would be
    /// if nothing else ran on this machine.
    cpu_ratio: Spread,
    /// CPU microseconds per event.
    restate_micros: f64,
    kafka_micros: f64,
    handler_micros: f64,
    log_records: Option<f64>,
    peak_mib: Option<f64>,
    /// Results that came twice, of all rounds.
    copies: u64,
    latency: Option<Latency>,
    rounds: Vec<Measured>,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    events_per_round: usize,
    keys: usize,
    payload: usize,
    signed: bool,
    sides: Vec<Line>,
}

impl Spread {
    /// Of values in any order.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: median(&values),
            lowest: values.first().copied().unwrap_or_default(),
            highest: values.last().copied().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median >= 20.0 { 0 } else { 2 };
        let Self {
            median,
            lowest,
            highest,
        } = self;
        write!(
            f,
            "{median:.digits$} ({lowest:.digits$} to {highest:.digits$})"
        )
    }
}

const HEADER: [&str; 10] = [
    "",
    "events/s",
    "Millstream is faster by",
    "by CPU alone",
    "CPU µs/event: Restate",
    "Kafka",
    "handler",
    "log records/event",
    "peak MiB",
    "p50, p99 at half rate",
];

impl Report {
    /// Sums a run up. Every round has a measurement of each side, in their order.
    pub fn new(
        arguments: &Arguments,
        sides: &[Side],
        rounds: &[Vec<Measured>],
        latencies: Vec<Option<Latency>>,
    ) -> Self {
        let lines = sides.iter().zip(latencies).enumerate();
        let lines = lines.map(|(at, (side, latency))| {
            let own = || rounds.iter().map(|round| &round[at]);
            let per_event = |cpu: fn(&Measured) -> f64| {
                median_of(own().map(|round| cpu(round) * 1e6 / round.events as f64))
            };
            let records: Vec<f64> = own().filter_map(|round| round.log_records).collect();
            Line {
                peer: side.peer,
                rate: Spread::of(own().map(|round| round.rate)),
                ratio: Spread::of(rounds.iter().map(|round| round[0].rate / round[at].rate)),
                cpu_ratio: Spread::of(
                    rounds
                        .iter()
                        .map(|round| round[at].cpu_micros() / round[0].cpu_micros()),
                ),
                restate_micros: per_event(|round| round.restate_cpu),
                kafka_micros: per_event(|round| round.kafka_cpu),
                handler_micros: per_event(|round| round.handler_cpu),
                log_records: (!records.is_empty()).then(|| median_of(records)),
                peak_mib: side.peak_mib(),
                copies: own().map(|round| round.copies).sum(),
                latency,
                rounds: own().cloned().collect(),
            }
        });
        Self {
            events_per_round: arguments.events,
            keys: arguments.keys,
            payload: arguments.payload,
            signed: arguments.signed,
            sides: lines.collect(),
        }
    }

    fn cells(&self) -> impl Iterator<Item = [String; 10]> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        self.sides.iter().map(move |line| {
            let is_first = Some(line.peer) == self.sides.first().map(|first| first.peer);
            let ratio = |ratio: Spread| {
                if is_first {
                    "1".to_owned()
                } else {
                    ratio.to_string()
                }
            };
            let restate = line
                .log_records
                .map(|_| format!("{:.0}", line.restate_micros));
            [
                line.peer.title().to_owned(),
                line.rate.to_string(),
                ratio(line.ratio),
                ratio(line.cpu_ratio),
                or_none(restate),
                format!("{:.0}", line.kafka_micros),
                format!("{:.0}", line.handler_micros),
                or_none(line.log_records.map(|records| format!("{records:.1}"))),
                or_none(line.peak_mib.map(|mib| format!("{mib:.0}"))),
                or_none(
                    line.latency.as_ref().map(|latency| {
                        format!("{:.1} ms, {:.1} ms", latency.p50_ms, latency.p99_ms)
                    }),
                ),
            ]
        })
    }

    fn notes(&self) -> String {
        let copies: Vec<String> = self
            .sides
            .iter()
            .filter(|line| line.copies > 0)
            .map(|line| format!("{} {}", line.peer.title(), line.copies))
            .collect();
        let share = self.sides.first().map_or(0.0, |ours| {
            ours.handler_micros / ours.restate_micros * 100.0
        });
        let mut notes = format!(
            "{} events per round ({} for those that batch), {} keys, {} bytes of payload, {} rounds; \
             signatures {}. Medians (lowest to highest). The first line's handlers use {share:.0} % of the CPU that \
             Restate uses for them.",
            self.events_per_round,
            self.events_per_round * Peer::Plain.scale(),
            self.keys,
            self.payload,
            self.sides.first().map_or(0, |ours| ours.rounds.len()),
            if self.signed {
                "checked"
            } else {
                "not checked"
            },
        );
        notes += &self.batch_lane();
        if !copies.is_empty() {
            notes += &format!(" Results that came twice: {}.", copies.join(", "));
        }
        notes
    }

    /// What the batch lane makes of what its peers make, in the same round.
    fn batch_lane(&self) -> String {
        let line = |peer| self.sides.iter().find(|line| line.peer == peer);
        let Some(lane) = line(Peer::MillstreamBatch) else {
            return String::new();
        };
        let of = |peer: Peer, value: fn(&Measured) -> f64| {
            let rounds = lane.rounds.iter().zip(&line(peer)?.rounds);
            let ratios = rounds.map(|(ours, theirs)| value(ours) / value(theirs));
            Some(Spread::of(ratios))
        };
        let mut text = String::new();
        if let Some(faster) = of(Peer::Millstream, |round| round.rate) {
            text +=
                &format!(" The batch lane makes {faster} times the events/s of the event lane.");
        }
        if let Some(faster) = of(Peer::KafkaStreams, |round| round.rate)
            && let Some(cpu) = of(Peer::KafkaStreams, Measured::cpu_micros)
        {
            text += &format!(
                " Of Kafka Streams it makes {faster} times the events/s and uses {cpu} of the CPU per event."
            );
        }
        text
    }

    /// As a table in Markdown.
    pub fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = row(&HEADER.map(str::to_owned));
        text += &row(&HEADER.map(|_| "---".to_owned()));
        for cells in self.cells() {
            text += &row(&cells);
        }
        text + "\n" + &self.notes() + "\n"
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_header(HEADER);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.add_rows(self.cells());
        writeln!(f, "{table}\n{}", self.notes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_says_median_lowest_and_highest() {
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter());
        assert_eq!(spread.to_string(), "2.00 (1.00 to 3.00)");
        let spread = Spread::of([4100.2, 3900.0].into_iter());
        assert_eq!(spread.to_string(), "4000 (3900 to 4100)");
    }
}
