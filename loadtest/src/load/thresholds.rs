//! What must hold for a run to succeed.

use serde::{Deserialize, Serialize};

/// The limits of a workload; those that are left out are not checked, apart from those of missing
/// and doubled results, which are 0 then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Thresholds {
    /// Most milliseconds of the median latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// Most milliseconds of the 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Most milliseconds of the 99.9th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p999_ms: Option<f64>,
    /// Largest share of commands that fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<f64>,
    /// Most commands without a result, and facts without an acknowledgement.
    pub missing: u64,
    /// Most results that a reader would take a second time.
    pub duplicates: u64,
    /// Smallest share of the events that are answered by the time when the last is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub achieved: Option<f64>,
    /// Whether the backlog of each step must stay bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

/// What must hold of the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lag {
    /// It does not keep growing.
    Bounded,
}

/// What is compared with the limits.
#[derive(Debug, Clone, Default)]
pub struct Actual {
    /// Milliseconds of the three percentiles; `None`: nothing was answered, or too little for this one.
    pub latency_ms: [Option<f64>; 3],
    /// Share of the commands answered that failed.
    pub failed: f64,
    /// Commands and facts of which nothing came.
    pub missing: u64,
    /// Results that a reader would take a second time.
    pub duplicates: u64,
    /// Share that was answered by the end.
    pub achieved: f64,
    /// Names of the steps whose backlog kept growing.
    pub growing: Vec<String>,
}

/// A limit and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What is limited.
    pub name: &'static str,
    /// What is allowed.
    pub limit: String,
    /// What was measured.
    pub actual: String,
    /// Whether it holds.
    pub ok: bool,
}

impl Thresholds {
    /// Limits that make no sense.
    pub fn problems(&self) -> Vec<String> {
        let shares = [("failed", self.failed), ("achieved", self.achieved)];
        let shares = shares
            .into_iter()
            .filter(|(_, share)| share.is_some_and(|share| !(0.0..=1.0).contains(&share)))
            .map(|(name, _)| format!("thresholds: `{name}` is a share between 0 and 1"));
        let times = [
            ("p50-ms", self.p50_ms),
            ("p99-ms", self.p99_ms),
            ("p999-ms", self.p999_ms),
        ];
        let times = times
            .into_iter()
            .filter(|(_, time)| time.is_some_and(|time| time.is_nan() || time <= 0.0))
            .map(|(name, _)| format!("thresholds: `{name}` is a number of milliseconds above 0"));
        shares.chain(times).collect()
    }

    /// The limits of latencies, by the percentile.
    pub fn times(&self) -> [(&'static str, Option<f64>); 3] {
        [
            ("p50", self.p50_ms),
            ("p99", self.p99_ms),
            ("p99.9", self.p999_ms),
        ]
    }

    /// Compares.
    pub fn check(&self, actual: &Actual) -> Vec<Check> {
        let mut checks = Vec::new();
        let times = [
            ("latency p50", self.p50_ms),
            ("latency p99", self.p99_ms),
            ("latency p99.9", self.p999_ms),
        ];
        for (at, (name, limit)) in times.into_iter().enumerate() {
            let Some(limit) = limit else { continue };
            let measured = actual.latency_ms[at];
            checks.push(Check {
                name,
                limit: format!("at most {limit} ms"),
                actual: measured.map_or("too few answers".into(), |ms| format!("{ms:.1} ms")),
                ok: measured.is_some_and(|ms| ms <= limit),
            });
        }
        if let Some(limit) = self.failed {
            checks.push(Check {
                name: "failed",
                limit: format!("at most {} %", limit * 100.0),
                actual: format!("{:.2} %", actual.failed * 100.0),
                ok: actual.failed <= limit,
            });
        }
        let counts = [
            ("missing", self.missing, actual.missing),
            ("duplicates", self.duplicates, actual.duplicates),
        ];
        for (name, limit, count) in counts {
            checks.push(Check {
                name,
                limit: format!("at most {limit}"),
                actual: count.to_string(),
                ok: count <= limit,
            });
        }
        if let Some(limit) = self.achieved {
            checks.push(Check {
                name: "achieved rate",
                limit: format!("at least {} %", limit * 100.0),
                actual: format!("{:.2} %", actual.achieved * 100.0),
                ok: actual.achieved >= limit,
            });
        }
        if let Some(Lag::Bounded) = self.lag {
            checks.push(Check {
                name: "lag",
                limit: "bounded".into(),
                actual: match actual.growing.is_empty() {
                    true => "bounded".into(),
                    false => format!("grows in {}", actual.growing.join(", ")),
                },
                ok: actual.growing.is_empty(),
            });
        }
        checks
    }
}

/// Whether a backlog that was looked at once a second does not keep growing while events come at
/// `rate`.
///
/// A line is laid through it. It may rise by a hundredth of the events that came, or by `slack`
/// seconds' worth of them, whichever is more: committed offsets move once a second, and a few
/// slow events are no growth. `None`: too short to tell.
pub fn is_bounded(backlog: &[(f64, f64)], rate: f64, slack: f64) -> Option<bool> {
    let (first, last) = (backlog.first()?, backlog.last()?);
    let seconds = last.0 - first.0;
    if backlog.len() < 5 || seconds < 5.0 {
        return None;
    }
    let count = backlog.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| backlog.iter().map(of).sum::<f64>() / count;
    let (time, height) = (mean(|point| point.0), mean(|point| point.1));
    let (mut product, mut square) = (0.0, 0.0);
    for point in backlog {
        product += (point.0 - time) * (point.1 - height);
        square += (point.0 - time) * (point.0 - time);
    }
    let growth = product / square * seconds;
    Some(growth <= rate * (seconds * 0.01).max(slack))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Actual {
        Actual {
            latency_ms: [5.0, 50.0, 90.0].map(Some),
            achieved: 0.999,
            ..Actual::default()
        }
    }

    fn failing(thresholds: &Thresholds, actual: &Actual) -> Vec<&'static str> {
        let checks = thresholds.check(actual);
        checks
            .iter()
            .filter(|it| !it.ok)
            .map(|it| it.name)
            .collect()
    }

    #[test]
    fn each_limit_fails_alone() {
        let limits = Thresholds {
            p50_ms: Some(5.0),
            p99_ms: Some(50.0),
            p999_ms: Some(90.0),
            failed: Some(0.01),
            missing: 0,
            duplicates: 0,
            achieved: Some(0.99),
            lag: Some(Lag::Bounded),
        };
        assert_eq!(limits.check(&good()).len(), 8);
        assert_eq!(failing(&limits, &good()), [""; 0]);
        type Case = (fn(&mut Actual), &'static str);
        let cases: [Case; 8] = [
            (|it| it.latency_ms[0] = Some(5.1), "latency p50"),
            (|it| it.latency_ms[1] = Some(50.1), "latency p99"),
            (|it| it.latency_ms[2] = Some(90.1), "latency p99.9"),
            (|it| it.failed = 0.02, "failed"),
            (|it| it.missing = 1, "missing"),
            (|it| it.duplicates = 1, "duplicates"),
            (|it| it.achieved = 0.98, "achieved rate"),
            (|it| it.growing = vec!["step 1".into()], "lag"),
        ];
        for (spoil, name) in cases {
            let mut actual = good();
            spoil(&mut actual);
            assert_eq!(failing(&limits, &actual), [name]);
        }
    }

    #[test]
    fn a_loss_fails_a_run_that_has_no_thresholds_and_so_does_silence_with_one() {
        let lost = Actual {
            missing: 1,
            ..good()
        };
        assert_eq!(failing(&Thresholds::default(), &lost), ["missing"]);
        let limits = Thresholds {
            p99_ms: Some(1e9),
            ..Thresholds::default()
        };
        let silent = Actual {
            latency_ms: [None; 3],
            ..good()
        };
        assert_eq!(failing(&limits, &silent), ["latency p99"]);
        let senseless = Thresholds {
            failed: Some(2.0),
            p50_ms: Some(-1.0),
            ..Thresholds::default()
        };
        assert_eq!(senseless.problems().len(), 2);
    }

    #[test]
    fn growth_is_told_from_noise() {
        let backlog = |of: fn(f64) -> f64| -> Vec<(f64, f64)> {
            (0..60).map(|t| (f64::from(t), of(f64::from(t)))).collect()
        };
        // At 1,000 events per second and a slack of half a second.
        let bounded = |of| is_bounded(&backlog(of), 1000.0, 0.5);
        assert_eq!(bounded(|_| 300.0), Some(true));
        assert_eq!(bounded(|t| (t * 7.0) % 300.0), Some(true));
        // A hundred events per second are left lying.
        assert_eq!(bounded(|t| t * 100.0), Some(false));
        // It catches up.
        assert_eq!(bounded(|t| 6000.0 - t * 100.0), Some(true));
        assert_eq!(is_bounded(&[(0.0, 0.0), (1.0, 9e9)], 1.0, 0.5), None);
    }
}
