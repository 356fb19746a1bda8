//! `loadtest find-max`: the highest rate that an installation keeps up with.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table, presets};
use millstream_topics::TOPICS;
use serde::Serialize;

use super::drive::{Place, drive};
use super::html;
use super::place;
use super::plan::Plan;
use super::progress::Progress;
use super::report::Report;
use super::thresholds::Lag;
use super::workload::{Step, Workload};

/// Pause between two tries, in which compactions and the like end.
const PAUSE: Duration = Duration::from_secs(3);
/// How much the rate grows until a try fails.
const GROWTH: f64 = 2.0;
/// How long a backlog is waited for, in relation to a try's length.
const DRAIN: f64 = 3.0;
/// Milliseconds by which a hundredth of the events may be sent late.
const GENERATOR_MS: f64 = 100.0;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workload, in TOML, whose steps do not matter here
    workload: PathBuf,
    /// Events per second of the first try
    #[arg(long, default_value_t = 100.0)]
    from: f64,
    /// Events per second beyond which nothing is tried
    #[arg(long, default_value_t = 100_000.0)]
    to: f64,
    /// How long each try lasts, after the workload's warm-up
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// How close the answer must be: 0.05 are five in a hundred
    #[arg(long, default_value_t = 0.05)]
    precision: f64,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Writes a page with plots of the best try
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    place: place::PlaceArguments,
}

/// What came of the search.
#[derive(Debug, Serialize)]
struct Found {
    /// The highest rate that held; `None`: not even the first.
    rate: Option<f64>,
    /// All tries, in order.
    tries: Vec<Try>,
}

#[derive(Debug, Serialize)]
struct Try {
    rate: f64,
    ok: bool,
    answered_share: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Which limits did not hold.
    failed: Vec<String>,
}

/// Searches.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.from > 0.0 && arguments.to >= arguments.from,
        "--from is above 0, and --to not below it"
    );
    ensure!(
        arguments.precision >= 0.01 && arguments.precision < 1.0,
        "--precision is between 0.01 and 1"
    );
    ensure!(
        arguments.seconds >= 10.0,
        "--seconds must be 10 or more, or nobody can tell whether lag grows"
    );
    let workload = Workload::read(&arguments.workload)?;
    let place = arguments.place.resolve()?;
    let _metrics = arguments.place.serve_metrics().await?;
    let mut search = Search::new(arguments.from, arguments.to, arguments.precision);
    let (mut tries, mut best) = (Vec::new(), None);
    while let Some(rate) = search.next() {
        if !tries.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        let report = attempt(&workload, rate, arguments.seconds, &place).await?;
        if report.interrupted {
            anyhow::bail!("interrupted");
        }
        let attempt = Try::new(rate, &report);
        eprintln!("{}", attempt.line());
        search.tell(attempt.ok);
        if attempt.ok && best.as_ref().is_none_or(|(highest, _)| rate > *highest) {
            best = Some((rate, report));
        }
        tries.push(attempt);
    }
    if let (Some(file), Some((_, report))) = (&arguments.html, &best) {
        std::fs::write(file, html::page(report))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let found = Found {
        rate: best.map(|(rate, _)| rate),
        tries,
    };
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&found)?),
        false => print!("{}", found.table()),
    }
    Ok(match found.rate {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

async fn attempt(
    workload: &Workload,
    rate: f64,
    seconds: f64,
    place: &Place,
) -> anyhow::Result<Report> {
    let mut workload = workload.clone();
    workload.steps = vec![Step {
        rate: Some(rate),
        seconds,
        ..Step::default()
    }];
    workload.thresholds.lag = Some(Lag::Bounded);
    // The backlog of a try that fails must be gone before the next.
    workload.deadline = workload.deadline.max(DRAIN * seconds);
    let plan = Arc::new(Plan::new(workload, TOPICS)?);
    let mut progress = Progress::new(plan.schedule.seconds());
    let outcome = drive(&plan, place, |sample| progress.show(sample)).await?;
    drop(progress);
    Report::new(&plan, outcome)
}

/// Doubles until a try fails, then halves the distance between the best and the worst.
#[derive(Debug)]
struct Search {
    good: Option<f64>,
    bad: Option<f64>,
    from: f64,
    to: f64,
    precision: f64,
    current: f64,
}

impl Search {
    fn new(from: f64, to: f64, precision: f64) -> Self {
        Self {
            good: None,
            bad: None,
            from,
            to,
            precision,
            current: 0.0,
        }
    }

    /// The next rate to try; `None`: it is found.
    fn next(&mut self) -> Option<f64> {
        self.current = match (self.good, self.bad) {
            (None, None) => self.from,
            // Not even the first holds: whatever does is of no use.
            (None, Some(_)) => return None,
            (Some(good), None) if good >= self.to => return None,
            (Some(good), None) => (good * GROWTH).min(self.to),
            (Some(good), Some(bad)) if bad <= good * (1.0 + self.precision) => return None,
            (Some(good), Some(bad)) => f64::midpoint(good, bad).round(),
        };
        // Rounded rates cannot lie closer.
        let is_new = Some(self.current) != self.good && Some(self.current) != self.bad;
        is_new.then_some(self.current)
    }

    /// What came of it.
    fn tell(&mut self, ok: bool) {
        match ok {
            true => self.good = Some(self.current),
            false => self.bad = Some(self.current),
        }
    }
}

impl Try {
    fn new(rate: f64, report: &Report) -> Self {
        let failed = report.checks.iter().filter(|check| !check.ok);
        let failed = failed.map(|check| format!("{}: {}", check.name, check.actual));
        let mut failed: Vec<String> = failed.collect();
        // A generator that cannot keep up has measured itself.
        if report.own_delay.is_some_and(|it| it.p99_ms > GENERATOR_MS) {
            failed.push("the generator: it could not send so much".into());
        }
        Self {
            rate,
            ok: failed.is_empty(),
            answered_share: report.achieved,
            p50_ms: report.total.latency.map(|it| it.p50_ms),
            p99_ms: report.total.latency.map(|it| it.p99_ms),
            failed,
        }
    }

    fn line(&self) -> String {
        let ms = |time: Option<f64>| time.map_or("-".into(), |ms| format!("{ms:.1} ms"));
        let verdict = match self.ok {
            true => "holds".to_owned(),
            false => format!("does not hold ({})", self.failed.join("; ")),
        };
        format!(
            "{:.0}/s: p50 {}, p99 {}, {:.1} % answered in time: {verdict}",
            self.rate,
            ms(self.p50_ms),
            ms(self.p99_ms),
            self.answered_share * 100.0
        )
    }
}

impl Found {
    fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_header(["rate", "p50 ms", "p99 ms", "in time", "verdict"]);
        let ms = |time: Option<f64>| time.map_or("-".into(), |ms| format!("{ms:.1}"));
        for attempt in &self.tries {
            table.add_row([
                format!("{:.0}/s", attempt.rate),
                ms(attempt.p50_ms),
                ms(attempt.p99_ms),
                format!("{:.1} %", attempt.answered_share * 100.0),
                match attempt.ok {
                    true => "holds".into(),
                    false => attempt.failed.join("; "),
                },
            ]);
        }
        for column in table.column_iter_mut().take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let found = match self.rate {
            Some(rate) => format!("Highest rate that holds: {rate:.0}/s"),
            None => "Not even the first rate holds; try a lower --from".into(),
        };
        format!("{table}\n{found}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches where every rate up to `limit` holds; the answer and the number of tries.
    fn found(limit: f64, from: f64, to: f64) -> (Option<f64>, usize) {
        let (mut search, mut tries) = (Search::new(from, to, 0.05), 0);
        while let Some(rate) = search.next() {
            search.tell(rate <= limit);
            tries += 1;
            assert!(tries < 50, "it does not end");
        }
        (search.good, tries)
    }

    #[test]
    fn the_highest_rate_is_found_within_the_precision() {
        for limit in [100.0, 101.0, 777.0, 2_048.0, 54_321.0] {
            let (rate, tries) = found(limit, 100.0, 100_000.0);
            let rate = rate.unwrap();
            assert!(
                rate <= limit && limit <= rate * 1.05 + 1.0,
                "{limit}: {rate}"
            );
            assert!(tries < 18, "{limit}: {tries} tries");
        }
    }

    #[test]
    fn the_search_stays_within_its_bounds() {
        assert_eq!(found(50.0, 100.0, 1_000.0), (None, 1));
        assert_eq!(found(1e9, 100.0, 1_000.0).0, Some(1_000.0));
        // Small rates cannot be halved for ever.
        assert_eq!(found(1.0, 1.0, 4.0).0, Some(1.0));
    }
}
