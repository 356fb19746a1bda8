use hdrhistogram::Histogram;
use millstream_topics::TOPICS;

use super::*;
use crate::load::series::Sample;
use crate::load::track::{Answer, Interval, Kind, Tracker, histogram};
use crate::load::workload::Workload;

/// What goes wrong in a made-up run.
#[derive(Clone, Copy, PartialEq)]
pub enum Spoiled {
    Nothing,
    /// A result is missing.
    Lost,
    /// A result is published again, once as it was and once with another id.
    Doubled,
    /// A result comes only after the schedule was over.
    Slow,
    /// The generator sends everything late.
    Late,
}

const WORKLOAD: &str = "
    description = 'Fast <and> good'
    warm-up = 2
    deadline = 1
    mix = [{ topic = 'product-reservations', weight = 3 }, { topic = 'tasks' }]
    steps = [{ rate = 10, seconds = 10 }]
    thresholds = { achieved = 0.999, lag = 'bounded', p50-ms = 80 }
";

/// The report of a run of 20 events for warming up and 100 that count.
pub fn report(spoiled: Spoiled) -> Report {
    let plan = Plan::new(Workload::parse(WORKLOAD).unwrap(), TOPICS).unwrap();
    Report::new(&plan, outcome(&plan, spoiled)).unwrap()
}

fn outcome(plan: &Plan, spoiled: Spoiled) -> Outcome {
    let kind = |topic| Kind {
        is_command: true,
        live: crate::load::metrics::Live::of_topic(topic),
    };
    let kinds = vec![kind("product-reservations"), kind("tasks")];
    let mut tracker = Tracker::new(kinds, 2, 1, 1_000_000);
    let events = plan
        .schedule
        .events_due(plan.workload.arrivals, crate::random::Random::new(1));
    for due in events {
        let number = tracker.send(usize::from(due.micros % 400_000 == 0), due);
        let late = if spoiled == Spoiled::Late {
            50_000
        } else {
            100
        };
        tracker.handed_over(number, due.micros + late);
        tracker.acknowledged(number, due.micros + late + 500);
        let answer = Answer {
            number,
            at: due.micros + late + 2_000,
            id: number as u32 + 1,
            value: 1,
            failed: None,
        };
        if !(spoiled == Spoiled::Lost && number == 50) {
            tracker.answered(answer.clone());
        }
        if spoiled == Spoiled::Doubled && number == 50 {
            tracker.answered(answer.clone());
            tracker.answered(Answer { id: 0, ..answer });
        }
    }
    let finished = tracker.by_segment()[1].finished;
    tracker.close();
    let series = (1..=13).map(|second| {
        let mut latency: Histogram<u64> = histogram();
        latency.saturating_record(2_000 * second);
        let interval = Interval {
            sent: 10,
            answered: 10,
            latency,
            ..Interval::default()
        };
        let end = second as f64;
        Sample::new((end - 1.0, end), 10.0, &interval, Some(3), 0)
    });
    Outcome {
        interrupted: false,
        begun: 1_763_686_800_000_456,
        sending: 12.0,
        series: series.collect(),
        by_part: tracker.by_part().to_vec(),
        by_segment: tracker.by_segment().to_vec(),
        finished_in_time: finished - u64::from(spoiled == Spoiled::Slow),
        delay: Percentiles::of(&tracker.delay),
        publish: Percentiles::of(&tracker.publish),
        lag: [("millstream.tasks.TaskQueue.onEvent".to_owned(), 3)].into(),
        dead_letters: [("tasks-dlq".to_owned(), 0)].into(),
        host: Host::default(),
    }
}

fn broken(report: &Report) -> Vec<&str> {
    let checks = report.checks.iter().filter(|check| !check.ok);
    checks.map(|check| check.name).collect()
}

#[test]
fn a_good_run_is_summed_up_without_its_warm_up() {
    let report = report(Spoiled::Nothing);
    assert!(report.ok, "{:?}", report.checks);
    let total = &report.total;
    assert_eq!((total.sent, total.answered), (100, 100));
    assert_eq!(total.target_rate, 10.0);
    assert_eq!(report.achieved, 1.0);
    let steps: Vec<(&str, u64)> = report
        .steps
        .iter()
        .map(|row| (&*row.name, row.sent))
        .collect();
    assert_eq!(steps, [("warm-up", 20), ("step 1: 10/s", 100)]);
    assert_eq!(report.steps[1].lag_bounded, Some(true));
    let mix: u64 = report.mix.iter().map(|row| row.sent).sum();
    assert_eq!((report.mix.len(), mix), (2, 100));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    let text = report.to_string();
    assert!(text.contains("ok   missing: 0 (at most 0)"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        json["total"]["latency"]["p50_ms"].as_f64().unwrap().round(),
        2.0
    );
    assert_eq!(json["series"].as_array().unwrap().len(), 13);
    assert_eq!(json["begun"], "2025-11-21T01:00:00Z");
}

#[test]
fn what_goes_wrong_is_told() {
    let lost = report(Spoiled::Lost);
    assert_eq!(broken(&lost), ["missing", "achieved rate"]);
    assert_eq!((lost.total.missing, lost.total.answered), (1, 99));
    let doubled = report(Spoiled::Doubled);
    assert_eq!(broken(&doubled), ["duplicates"]);
    assert_eq!((doubled.total.duplicates, doubled.total.copies), (1, 1));
    assert_eq!(broken(&report(Spoiled::Slow)), ["achieved rate"]);
}

#[test]
fn a_generator_that_cannot_keep_up_says_so() {
    let late = report(Spoiled::Late);
    let warning = &late.warnings[0];
    assert!(warning.contains("could not keep up"), "{warning}");
    // Its delay is in the latencies.
    assert!(late.total.latency.is_some_and(|it| it.p50_ms > 50.0));
}
