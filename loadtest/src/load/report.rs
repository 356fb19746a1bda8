//! The figures of a run, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::drive::Outcome;
use super::host::Host;
use super::plan::Plan;
use super::schedule::Segment;
use super::series::{Percentiles, Sample};
use super::thresholds::{Actual, Check, is_bounded};
use super::track::Figures;
use super::workload::{Target, Workload};

/// A generator is late when a hundredth of its events is later than so many milliseconds.
const LATE_MS: f64 = 10.0;
/// Slack of the backlog in seconds' worth of events: of commands without a result, and of the lag,
/// which moves once a second with the committed offsets.
const SLACK: (f64, f64) = (0.5, 1.5);

/// All figures of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of the workload.
    pub description: Option<String>,
    /// Name of the run.
    pub run: String,
    /// When it began.
    pub begun: String,
    /// Where events were sent.
    pub target: Target,
    /// Seconds in which events were sent.
    pub seconds: f64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether all limits hold.
    pub ok: bool,
    /// Whether events were sent when they were due. If not, what was measured is the generator as well.
    pub kept_up: bool,
    /// The limits.
    pub checks: Vec<Check>,
    /// What else a reader of the figures should know.
    pub warnings: Vec<String>,
    /// Share of the events that were finished when the schedule was over.
    pub achieved: f64,
    /// All events after the warm-up.
    pub total: Row,
    /// Of each step, the warm-up among them.
    pub steps: Vec<Row>,
    /// Of each part of the mix, without the warm-up.
    pub mix: Vec<Row>,
    /// Failures after the warm-up, by code.
    pub failures: BTreeMap<String, u64>,
    /// How late the generator sent events.
    pub own_delay: Option<Percentiles>,
    /// From the time when an event should have been sent to its acknowledgement.
    pub publish: Option<Percentiles>,
    /// Records that each group had not taken at the end.
    pub lag: BTreeMap<String, i64>,
    /// Records that came to dead letter topics during the run.
    pub dead_letters: BTreeMap<String, u64>,
    /// The machine that sent.
    pub host: Host,
    /// When the steps begin, in seconds.
    pub step_begins: Vec<f64>,
    /// When the warm-up is over, in seconds.
    pub counted_from: f64,
    /// Second by second.
    pub series: Vec<Sample>,
    /// The workload, with all that its file leaves open.
    pub workload: Workload,
}

/// Some of the events.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Which.
    pub name: String,
    /// Whether it is the warm-up.
    pub warm_up: bool,
    /// Events per second that were to be sent.
    pub target_rate: f64,
    /// Events sent.
    pub sent: u64,
    /// Events that were not acknowledged.
    pub unacknowledged: u64,
    /// Commands with a result.
    pub answered: u64,
    /// Commands that failed.
    pub failed: u64,
    /// Commands without a result, facts without an acknowledgement.
    pub missing: u64,
    /// Results after the deadline.
    pub late: u64,
    /// Results that a reader would take a second time, conflicts among them.
    pub duplicates: u64,
    /// Results published again, which readers drop.
    pub copies: u64,
    /// Results with a known id and other bytes.
    pub conflicts: u64,
    /// From the intended time to the result.
    pub latency: Option<Percentiles>,
    /// Whether the backlog did not keep growing; `None`: too short or a ramp.
    pub lag_bounded: Option<bool>,
}

impl Report {
    /// Sums a run up.
    pub fn new(plan: &Plan, outcome: Outcome) -> anyhow::Result<Self> {
        let steps: Vec<Row> = (0..plan.segments.len())
            .map(|at| step(plan, &outcome, at))
            .collect();
        let mut all = Figures::default();
        for figures in &outcome.by_segment[plan.warm_up..] {
            all.add(figures);
        }
        let begins = plan.schedule.begins(plan.warm_up);
        let events = plan.schedule.due_by(outcome.sending) - plan.schedule.due_by(begins);
        let rate = events / (outcome.sending - begins).max(1e-3);
        let total = row("all".into(), rate, &all);
        let mix = plan.parts.iter().zip(&outcome.by_part);
        let mix = mix.map(|(part, figures)| row(name(plan, part), rate * part.share, figures));
        let mix: Vec<Row> = mix.collect();
        let answers = all.answered + all.failures();
        // Random arrivals are not as many as the rate says: what was sent is what counts then.
        let wanted = events.min(all.sent as f64).max(events * 0.9).max(1.0);
        let achieved = (outcome.finished_in_time as f64 / wanted).min(1.0);
        // What went wrong in the warm-up went wrong.
        let everywhere = |of: fn(&Row) -> u64| steps.iter().map(of).sum();
        let actual = Actual {
            latency_ms: total.latency.map_or([None; 3], |it| {
                [Some(it.p50_ms), Some(it.p99_ms), it.p999_ms]
            }),
            failed: all.failures() as f64 / answers.max(1) as f64,
            missing: everywhere(|row| row.missing),
            duplicates: everywhere(|row| row.duplicates),
            achieved,
            growing: steps
                .iter()
                .filter(|row| !row.warm_up && row.lag_bounded == Some(false))
                .map(|row| row.name.clone())
                .collect(),
        };
        let checks = plan.workload.thresholds.check(&actual);
        Ok(Self {
            description: plan.workload.description.clone(),
            run: plan.run.clone(),
            begun: jiff::Timestamp::from_microsecond(outcome.begun)?
                .round(jiff::Unit::Second)?
                .to_string(),
            target: plan.workload.target,
            seconds: outcome.sending,
            interrupted: outcome.interrupted,
            ok: checks.iter().all(|check| check.ok),
            kept_up: !is_late(outcome.delay.as_ref()),
            warnings: warnings(&outcome, &total, &steps),
            checks,
            achieved,
            total,
            steps,
            mix,
            failures: all.failed,
            own_delay: outcome.delay,
            publish: outcome.publish,
            lag: outcome.lag,
            dead_letters: outcome.dead_letters,
            host: outcome.host,
            step_begins: (plan.warm_up..plan.segments.len())
                .map(|at| plan.schedule.begins(at))
                .filter(|seconds| *seconds > 0.0)
                .collect(),
            counted_from: begins,
            series: outcome.series,
            workload: plan.workload.clone(),
        })
    }
}

fn step(plan: &Plan, outcome: &Outcome, at: usize) -> Row {
    let segment = plan.segments[at];
    let warm_up = at < plan.warm_up;
    let name = match warm_up {
        true => "warm-up".to_owned(),
        false => format!("step {}: {}", at + 1 - plan.warm_up, rates(&segment)),
    };
    let rate = segment.events() / segment.seconds;
    Row {
        warm_up,
        lag_bounded: lag_bounded(plan, &outcome.series, at),
        ..row(name, rate, &outcome.by_segment[at])
    }
}

fn rates(segment: &Segment) -> String {
    match segment.is_constant() {
        true => format!("{}/s", segment.from),
        false => format!("{} to {}/s", segment.from, segment.to),
    }
}

/// Whether the backlog stayed bounded during a segment: of commands without a result, which is
/// exact, or where there are facts of the subscriptions.
fn lag_bounded(plan: &Plan, series: &[Sample], at: usize) -> Option<bool> {
    let segment = plan.segments.get(at).filter(|it| it.is_constant())?;
    let begins = plan.schedule.begins(at);
    let ends = begins + segment.seconds;
    // The sample that straddles the beginning is not this segment's.
    let samples = series
        .iter()
        .filter(|it| it.seconds > begins + 0.5 && it.seconds <= ends + 0.1);
    let unanswered: Vec<(f64, f64)> = samples
        .clone()
        .map(|it| (it.seconds, it.unanswered as f64))
        .collect();
    let lag: Vec<(f64, f64)> = samples
        .filter_map(|it| Some((it.seconds, it.lag? as f64)))
        .collect();
    let unanswered = is_bounded(&unanswered, segment.from, SLACK.0)?;
    Some(unanswered && is_bounded(&lag, segment.from, SLACK.1).unwrap_or(true))
}

fn row(name: String, target_rate: f64, figures: &Figures) -> Row {
    Row {
        name,
        warm_up: false,
        target_rate,
        sent: figures.sent,
        unacknowledged: figures.unacknowledged,
        answered: figures.answered,
        failed: figures.failures(),
        missing: figures.missing,
        late: figures.late,
        duplicates: figures.duplicates + figures.conflicts,
        copies: figures.copies,
        conflicts: figures.conflicts,
        latency: Percentiles::of(&figures.latency),
        lag_bounded: None,
    }
}

/// The topic, and the event where the topic alone would not tell.
fn name(plan: &Plan, part: &super::plan::Part) -> String {
    let same = plan
        .parts
        .iter()
        .filter(|it| it.topic.name == part.topic.name);
    match same.count() {
        1 => part.topic.name.to_owned(),
        _ => {
            let event = part.event.full_name.rsplit('.').next().unwrap_or_default();
            format!("{}: {event}", part.topic.name)
        }
    }
}

/// Whether a generator with these delays was late.
fn is_late(delay: Option<&Percentiles>) -> bool {
    delay.is_some_and(|delay| delay.p99_ms > LATE_MS)
}

fn warnings(outcome: &Outcome, total: &Row, steps: &[Row]) -> Vec<String> {
    let mut warnings = Vec::new();
    if outcome.interrupted {
        warnings.push("The run was interrupted; the figures are of what was sent.".to_owned());
    }
    if let Some(delay) = outcome.delay.filter(|delay| is_late(Some(delay))) {
        warnings.push(format!(
            "The generator could not keep up: one event in a hundred was sent {:.0} ms late or more. \
             Latencies count from the intended time and hold that delay. Give it a machine of its \
             own, or a lower rate.",
            delay.p99_ms
        ));
    }
    if total.unacknowledged > 0 {
        warnings.push(format!(
            "{} events were not acknowledged.",
            total.unacknowledged
        ));
    }
    let letters: u64 = outcome.dead_letters.values().sum();
    if letters > 0 {
        warnings.push(format!(
            "{letters} records became dead letters; `millstream dlq list` says why."
        ));
    }
    if total.late > 0 {
        warnings.push(format!("{} results came after the deadline.", total.late));
    }
    if steps.iter().all(|row| row.lag_bounded.is_none()) {
        warnings.push("No step with one rate is long enough to tell whether lag grows.".to_owned());
    }
    warnings
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_header([
                "", "target/s", "sent", "answered", "failed", "missing", "dup.", "p50", "p99",
                "p99.9", "max", "lag",
            ]);
        for row in self.steps.iter().chain(&self.mix).chain([&self.total]) {
            table.add_row(cells(row));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "Milliseconds from the intended time of sending to the result; {} copies of results, \
             which readers drop.",
            self.total.copies
        )?;
        if let (Some(delay), Some(publish)) = (&self.own_delay, &self.publish) {
            writeln!(
                f,
                "The generator's own delay: p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms. Acknowledged \
                 after: p50 {:.1} ms, p99 {:.1} ms.",
                delay.p50_ms, delay.p99_ms, delay.max_ms, publish.p50_ms, publish.p99_ms
            )?;
        }
        for (code, count) in &self.failures {
            writeln!(f, "Failed with {code}: {count}")?;
        }
        writeln!(f, "{}", self.host)?;
        for warning in &self.warnings {
            writeln!(f, "Note: {warning}")?;
        }
        for check in &self.checks {
            let verdict = if check.ok { "ok  " } else { "FAIL" };
            let Check {
                name,
                limit,
                actual,
                ..
            } = check;
            writeln!(f, "{verdict} {name}: {actual} ({limit})")?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; 12] {
    let ms = |of: fn(&Percentiles) -> Option<f64>| {
        let time = row.latency.as_ref().and_then(of);
        time.map_or("-".into(), |ms| format!("{ms:.1}"))
    };
    [
        row.name.clone(),
        format!("{:.0}", row.target_rate),
        row.sent.to_string(),
        row.answered.to_string(),
        row.failed.to_string(),
        row.missing.to_string(),
        row.duplicates.to_string(),
        ms(|it| Some(it.p50_ms)),
        ms(|it| Some(it.p99_ms)),
        ms(|it| it.p999_ms),
        ms(|it| Some(it.max_ms)),
        match row.lag_bounded {
            Some(true) => "bounded".into(),
            Some(false) => "grows".into(),
            None => "-".into(),
        },
    ]
}

#[cfg(test)]
pub mod tests;
