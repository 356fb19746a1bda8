//! The report as one page that needs nothing else: styles and plots stand in it, and no scripts.

use std::fmt::Write;

use super::report::{Report, Row};
use super::series::{Percentiles, Sample};
use super::workload::Target;
use crate::plot::time::{Line, Plot};
use crate::plot::{escape, short};

const STYLE: &str = include_str!("page.css");
/// Of a part of a second that is shorter no rate is told.
const SHORT: f64 = 0.2;
/// A plot has so many points at most.
const POINTS: usize = 300;

/// The page.
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> std::fmt::Result {
    let title = escape(report.description.as_deref().unwrap_or("Load test"));
    let verdict = match (report.ok, report.interrupted) {
        (true, false) if !report.kept_up => {
            "<span class=\"verdict unsure\">limits hold, but the generator could not keep up</span>"
        }
        (true, false) => "<span class=\"verdict good\">all limits hold</span>",
        (true, true) => "<span class=\"verdict bad\">interrupted</span>",
        _ if !report.kept_up => {
            "<span class=\"verdict bad\">limits broken, and the generator could not keep up</span>"
        }
        _ => "<span class=\"verdict bad\">limits broken</span>",
    };
    let target = match report.target {
        Target::Kafka => "Kafka",
        Target::Gateway => "the gateway",
    };
    writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><div><h1>{title}</h1>\
         <div class=\"quiet\">{} · {} of events to {target} · run {}</div><div class=\"quiet\">{}</div>\
         </div>{verdict}</header>",
        escape(&report.begun.replace('T', " ").replace('Z', " UTC")),
        duration(report.seconds),
        escape(&report.run),
        escape(&report.host.to_string()),
    )?;
    tiles(page, report)?;
    if !report.warnings.is_empty() {
        writeln!(page, "<div class=\"card note\"><ul>")?;
        for warning in &report.warnings {
            writeln!(page, "<li>{}</li>", escape(warning))?;
        }
        writeln!(page, "</ul></div>")?;
    }
    checks(page, report)?;
    plots(page, report)?;
    rows(
        page,
        "Steps",
        "Figures of the total leave out the warm-up.",
        &report.steps,
        report,
    )?;
    rows(page, "Mix", "Without the warm-up.", &report.mix, report)?;
    others(page, report)?;
    writeln!(
        page,
        "<details class=\"card\"><summary>The workload</summary><pre>{}</pre></details>\n\
         <p class=\"quiet\">Events are sent by a schedule that no answer can hold up; a latency counts \
         from the time when its event should have been sent to the time when its result was read.</p>\n\
         </body>\n</html>",
        escape(&serde_json::to_string_pretty(&report.workload).unwrap_or_default())
    )
}

fn tiles(page: &mut String, report: &Report) -> std::fmt::Result {
    let ms = |of: fn(&Percentiles) -> Option<f64>| {
        let latency = report.total.latency.as_ref().and_then(of);
        latency.map_or("–".to_owned(), |ms| format!("{} ms", millis(ms)))
    };
    let Row {
        sent,
        answered,
        failed,
        missing,
        duplicates,
        target_rate,
        ..
    } = &report.total;
    let target_rate = format!("{}/s", short(*target_rate));
    // Not rounded up: 100 % is all of them.
    let achieved = format!("{} %", (report.achieved * 1e4).floor() / 100.0);
    let unwanted = |count: u64| if count > 0 { "bad" } else { "" };
    let tiles = [
        ("target rate, on average", target_rate, ""),
        ("finished in time", achieved, ""),
        ("median latency", ms(|it| Some(it.p50_ms)), ""),
        ("99th percentile", ms(|it| Some(it.p99_ms)), ""),
        ("99.9th percentile", ms(|it| it.p999_ms), ""),
        ("events sent", grouped(*sent), ""),
        ("answered", grouped(*answered), ""),
        ("failed", grouped(*failed), ""),
        ("missing", grouped(*missing), unwanted(*missing)),
        (
            "visible duplicates",
            grouped(*duplicates),
            unwanted(*duplicates),
        ),
    ];
    writeln!(page, "<div class=\"tiles\">")?;
    for (what, figure, class) in tiles {
        writeln!(
            page,
            "<div class=\"tile\"><b class=\"{class}\">{figure}</b><span>{what}</span></div>"
        )?;
    }
    writeln!(page, "</div>")
}

fn checks(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        page,
        "<div class=\"card scroll\"><h2>Limits</h2><table>\
         <tr><th></th><th>measured</th><th>allowed</th><th></th></tr>"
    )?;
    for check in &report.checks {
        let (class, verdict) = match check.ok {
            true => ("good", "holds"),
            false => ("bad", "broken"),
        };
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{verdict}</td></tr>",
            escape(check.name),
            escape(&check.actual),
            escape(&check.limit),
        )?;
    }
    writeln!(page, "</table></div>")
}

/// Consecutive samples as one where there are too many.
struct Points<'r>(Vec<&'r [Sample]>);

impl Points<'_> {
    fn line(
        &self,
        name: &'static str,
        class: &'static str,
        of: impl Fn(&Sample) -> Option<f64>,
        join: fn(&[f64]) -> f64,
    ) -> Line {
        let values = self.0.iter().map(|samples| {
            let values: Vec<f64> = samples.iter().filter_map(&of).collect();
            (!values.is_empty()).then(|| join(&values))
        });
        Line {
            name,
            class,
            values: values.collect(),
        }
    }
}

/// The samples, with the rates of that in which the last event was sent as of the part of it before
/// that; after it nothing is sent, and what is answered late is shown.
fn while_sending(report: &Report) -> Vec<Sample> {
    let late = |rate: f64, share: f64| match share.is_nan() {
        true if rate > 0.0 => rate,
        true => f64::NAN,
        false => rate * share,
    };
    let mut begun = 0.0;
    let samples = report.series.iter().map(|sample| {
        let (seconds, sent_for) = (
            sample.seconds - begun,
            report.seconds.min(sample.seconds) - begun,
        );
        begun = sample.seconds;
        let share = if sent_for < SHORT {
            f64::NAN
        } else {
            seconds / sent_for
        };
        Sample {
            target_rate: sample.target_rate * share,
            sent_rate: sample.sent_rate * share,
            answered_rate: late(sample.answered_rate, share),
            failed_rate: late(sample.failed_rate, share),
            ..sample.clone()
        }
    });
    samples.collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn plots(page: &mut String, report: &Report) -> std::fmt::Result {
    let series = while_sending(report);
    let chunk = series.len().div_ceil(POINTS).max(1);
    let points = Points(series.chunks(chunk).collect());
    let latency =
        |of: fn(&Percentiles) -> Option<f64>| move |it: &Sample| it.latency.as_ref().and_then(of);
    let sending = |rate: f64| rate.is_finite().then_some(rate);
    let rates = vec![
        points.line("target", "gray", |it| sending(it.target_rate), mean),
        points.line("sent", "blue", |it| sending(it.sent_rate), mean),
        points.line("answered", "green", |it| sending(it.answered_rate), mean),
        points.line("failed", "red", |it| sending(it.failed_rate), mean),
    ];
    let latencies = vec![
        points.line("p50", "blue", latency(|it| Some(it.p50_ms)), highest),
        points.line("p99", "amber", latency(|it| Some(it.p99_ms)), highest),
        points.line("p99.9", "violet", latency(|it| it.p999_ms), highest),
    ];
    let backlogs = vec![
        points.line(
            "lag of the subscriptions",
            "violet",
            |it| Some(it.lag? as f64),
            highest,
        ),
        points.line(
            "commands without a result",
            "green",
            |it| Some(it.unanswered as f64),
            highest,
        ),
    ];
    let limits = report.workload.thresholds.times();
    let limits: Vec<_> = limits
        .into_iter()
        .filter_map(|(name, limit)| Some((name, limit?)))
        .collect();
    for (title, caption, unit, logarithmic, lines) in [
        ("Rate", "Events per second.", "/s", false, rates),
        (
            "Latency",
            "Milliseconds from the intended time of sending to the result, of the results of each \
             second; logarithmic.",
            "ms",
            true,
            latencies,
        ),
        (
            "Lag",
            "Records that the subscriptions have not taken yet, and commands that wait for their result.",
            "",
            false,
            backlogs,
        ),
    ] {
        let plot = Plot {
            unit,
            logarithmic,
            seconds: points
                .0
                .iter()
                .filter_map(|samples| Some(samples.last()?.seconds))
                .collect(),
            lines,
            marks: report.step_begins.clone(),
            counted_from: report.counted_from,
            limits: match unit {
                "ms" => limits.clone(),
                _ => Vec::new(),
            },
        };
        write!(
            page,
            "<figure><h2>{title}</h2><figcaption>{caption}</figcaption><div class=\"legend\">"
        )?;
        for line in plot
            .lines
            .iter()
            .filter(|it| it.values.iter().any(Option::is_some))
        {
            write!(
                page,
                "<span><svg viewBox=\"0 0 24 10\"><path class=\"line {}\" d=\"M1 5L23 5\"/></svg>{}</span>",
                line.class, line.name
            )?;
        }
        writeln!(page, "</div>{}</figure>", plot.svg(title))?;
    }
    Ok(())
}

fn rows(
    page: &mut String,
    title: &str,
    caption: &str,
    rows: &[Row],
    report: &Report,
) -> std::fmt::Result {
    writeln!(
        page,
        "<div class=\"card scroll\"><h2>{title}</h2><p class=\"quiet\">{caption}</p><table><tr><th></th>\
         <th>target</th><th>sent</th><th>answered</th><th>failed</th><th>missing</th><th>dup.</th>\
         <th>copies</th><th>p50 ms</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>lag</th></tr>"
    )?;
    let total = Row {
        name: "total".into(),
        ..report.total.clone()
    };
    for row in rows.iter().chain([&total]) {
        let ms = |of: fn(&Percentiles) -> Option<f64>| {
            row.latency
                .as_ref()
                .and_then(of)
                .map_or("–".to_owned(), millis)
        };
        let class = match (row.warm_up, row.name.as_str()) {
            (true, _) => "faint",
            (false, "total") => "total",
            _ => "",
        };
        writeln!(
            page,
            "<tr class=\"{class}\"><td>{}</td><td>{}/s</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&row.name),
            short(row.target_rate),
            grouped(row.sent),
            grouped(row.answered),
            grouped(row.failed),
            grouped(row.missing),
            grouped(row.duplicates),
            grouped(row.copies),
            ms(|it| Some(it.p50_ms)),
            ms(|it| Some(it.p90_ms)),
            ms(|it| Some(it.p99_ms)),
            ms(|it| it.p999_ms),
            ms(|it| Some(it.max_ms)),
            match row.lag_bounded {
                Some(true) => "bounded",
                Some(false) => "grows",
                None => "–",
            },
        )?;
    }
    writeln!(page, "</table></div>")
}

/// What has no place in the tables above.
fn others(page: &mut String, report: &Report) -> std::fmt::Result {
    let mut facts = Vec::new();
    let times = |it: &Percentiles| {
        let [p50, p99, max] = [it.p50_ms, it.p99_ms, it.max_ms].map(short);
        format!("p50 {p50} ms, p99 {p99} ms, longest {max} ms")
    };
    if let Some(delay) = &report.own_delay {
        facts.push(("The generator's own delay".to_owned(), times(delay)));
    }
    if let Some(publish) = &report.publish {
        facts.push(("Until an event was acknowledged".to_owned(), times(publish)));
    }
    if report.total.late > 0 {
        facts.push((
            "Results after the deadline".to_owned(),
            grouped(report.total.late),
        ));
    }
    for (code, count) in &report.failures {
        facts.push((format!("Failed with {code}"), grouped(*count)));
    }
    for (group, lag) in &report.lag {
        facts.push((format!("Lag of {group} at the end"), lag.to_string()));
    }
    for (topic, count) in &report.dead_letters {
        facts.push((format!("New records on {topic}"), grouped(*count)));
    }
    writeln!(
        page,
        "<div class=\"card scroll\"><h2>Further figures</h2><table>"
    )?;
    for (what, figure) in facts {
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td></tr>",
            escape(&what),
            escape(&figure)
        )?;
    }
    writeln!(page, "</table></div>")
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 180.0 => format!("{:.0} minutes", seconds / 60.0),
        seconds => format!("{seconds:.0} seconds"),
    }
}

/// Milliseconds for people.
fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 1e4 => grouped(ms.round() as u64),
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms => format!("{ms:.1}"),
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::tests::{Spoiled, report};

    /// What has to be seen is there, and nothing is fetched or run.
    #[test]
    fn the_page_stands_alone() {
        let page = page(&report(Spoiled::Lost));
        for expected in [
            "limits broken",
            "<svg",
            "Fast &lt;and&gt; good",
            "limit of p50: 80 ms",
            "warm-up",
            "missing",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        for foreign in [
            "http:", "https:", "<script", "<link", "@import", "NaN", "inf",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for tag in ["div", "table", "figure", "svg", "details", "span"] {
            let opened = page.matches(&format!("<{tag}")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    /// A generator that was late measured itself, whatever else holds.
    #[test]
    fn a_late_generator_is_told_of_with_the_verdict() {
        let of = |spoiled| page(&report(spoiled));
        assert!(of(Spoiled::Nothing).contains(">all limits hold<"));
        assert!(of(Spoiled::Late).contains("hold, but the generator could not keep up<"));
    }

    /// A second in which the last event is sent has the rate of the part before it.
    #[test]
    fn the_last_second_is_no_drop() {
        let mut report = report(Spoiled::Nothing);
        let one = report.series[0].clone();
        report.seconds = 2.5;
        let sample = |seconds: f64, sent_rate: f64| Sample {
            seconds,
            sent_rate,
            target_rate: sent_rate,
            ..one.clone()
        };
        report.series = vec![
            sample(1.0, 100.0),
            sample(2.0, 100.0),
            sample(3.0, 50.0),
            sample(4.0, 0.0),
        ];
        let rates: Vec<f64> = while_sending(&report)
            .iter()
            .map(|it| it.sent_rate)
            .collect();
        assert_eq!(rates[..3], [100.0; 3]);
        assert!(rates[3].is_nan());
    }

    /// A day's run makes no larger page than an hour's.
    #[test]
    fn long_runs_are_thinned_out() {
        let mut report = report(Spoiled::Nothing);
        let one = report.series[0].clone();
        report.series = (0_u32..86_400)
            .map(|second| Sample {
                seconds: f64::from(second + 1),
                ..one.clone()
            })
            .collect();
        assert!(page(&report).len() < 600_000);
    }

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
