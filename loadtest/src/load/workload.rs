//! Workload files: what is sent, how fast, and what must hold.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::schedule::{Arrivals, Segment};
use super::thresholds::Thresholds;
use super::values::Fields;

/// Mixes that the catalogue's patterns stand for.
const PATTERNS: &str = include_str!("patterns.toml");

/// A workload file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Everything random comes from it.
    #[serde(default = "one")]
    pub seed: u64,
    /// Where events are sent.
    #[serde(default)]
    pub target: Target,
    /// How they are spread over time.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// Seconds at the first rate that are not counted.
    #[serde(default)]
    pub warm_up: f64,
    /// Seconds that an answer may take; a command without one by then is missing.
    #[serde(default = "thirty")]
    pub deadline: f64,
    /// Keys of events whose part of the mix has none of its own.
    #[serde(default)]
    pub keys: Keys,
    /// What is sent.
    pub mix: Vec<Mix>,
    /// How fast, one after the other.
    pub steps: Vec<Step>,
    /// What must hold.
    #[serde(default)]
    pub thresholds: Thresholds,
}

/// Where events are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Produced to their topics; results are read from theirs.
    #[default]
    Kafka,
    /// Sent as HTTP requests, whose responses are the results.
    Gateway,
}

/// A part of what is sent: a topic's event or a pattern.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mix {
    /// The events of a pattern of the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A declared topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Name of the event, full or its last part, where the topic has several kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Its share of the events, in relation to the other parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Keys of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// Bytes to fill a text or bytes field with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<usize>,
    /// That field; `None`: the first that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_field: Option<String>,
    /// Whether each command has an idempotency key.
    #[serde(default)]
    pub idempotency_keys: bool,
    /// Values of fields.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

/// Some time with one rate, or from one rate to another.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Events per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Events per second at the beginning of a ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// Events per second at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// How long.
    pub seconds: f64,
}

fn one() -> u64 {
    1
}

fn thirty() -> f64 {
    30.0
}

impl Workload {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a workload", path.display()))
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// The rates, with the warm-up first if there is one; problems are told.
    pub fn segments(&self, problems: &mut Vec<String>) -> Vec<Segment> {
        let mut segments = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            match step.segment() {
                Ok(segment) => segments.push(segment),
                Err(problem) => problems.push(format!("step {}: {problem}", number + 1)),
            }
        }
        if self.warm_up > 0.0
            && let Some(first) = segments.first().copied()
        {
            let warm_up = Segment {
                from: first.from.max(1.0),
                to: first.from.max(1.0),
                seconds: self.warm_up,
            };
            segments.insert(0, warm_up);
        }
        if self.steps.is_empty() {
            problems.push("there are no `steps`: say a rate and for how long".into());
        }
        for (name, seconds) in [("warm-up", self.warm_up), ("deadline", self.deadline)] {
            if !(0.0..=86_400.0).contains(&seconds) {
                problems.push(format!("`{name}` is between 0 and 86400 seconds"));
            }
        }
        segments
    }

    /// The mix with patterns replaced by what they stand for; problems are told.
    pub fn parts(&self, problems: &mut Vec<String>) -> Vec<Mix> {
        let patterns: BTreeMap<String, Vec<Mix>> = match toml::from_str(PATTERNS) {
            Ok(patterns) => patterns,
            Err(error) => unreachable!("a test reads the patterns: {error}"),
        };
        let mut parts = Vec::new();
        for (number, mix) in self.mix.iter().enumerate() {
            match (&mix.pattern, &mix.topic) {
                (Some(name), None) => match patterns.get(name) {
                    Some(pattern) => parts.extend(mix.of_pattern(pattern)),
                    None => {
                        let names: Vec<&str> = patterns.keys().map(String::as_str).collect();
                        let names = names.join(", ");
                        problems.push(format!("there is no pattern {name}; there are {names}"));
                    }
                },
                (None, Some(_)) => parts.push(mix.clone()),
                _ => problems.push(format!(
                    "part {} of the mix says either a `pattern` or a `topic`",
                    number + 1
                )),
            }
        }
        if self.mix.is_empty() {
            problems.push("there is no `mix`: say a pattern or a topic".into());
        }
        parts
    }
}

impl Mix {
    /// The parts of a pattern, which share the weight; what is said here wins.
    fn of_pattern(&self, pattern: &[Self]) -> Vec<Self> {
        let whole: f64 = pattern.iter().map(|part| part.weight.unwrap_or(1.0)).sum();
        let join = |part: &Self| {
            let mut fields = part.fields.clone();
            fields.extend(self.fields.clone());
            Self {
                pattern: self.pattern.clone(),
                weight: Some(part.weight.unwrap_or(1.0) / whole * self.weight.unwrap_or(1.0)),
                keys: self.keys.clone().or_else(|| part.keys.clone()),
                payload: self.payload.or(part.payload),
                idempotency_keys: self.idempotency_keys || part.idempotency_keys,
                fields,
                ..part.clone()
            }
        };
        pattern.iter().map(join).collect()
    }
}

impl Step {
    fn segment(&self) -> Result<Segment, &'static str> {
        let (from, to) = match (self.rate, self.from, self.to) {
            (Some(rate), None, None) => (rate, rate),
            (None, Some(from), Some(to)) => (from, to),
            _ => return Err("say either `rate`, or `from` and `to`"),
        };
        if !(0.0..=1e6).contains(&from) || !(0.0..=1e6).contains(&to) {
            return Err("a rate is between 0 and 1000000 events per second");
        }
        if !(self.seconds > 0.0 && self.seconds <= 7.0 * 86_400.0) {
            return Err("`seconds` is more than 0, and a week at most");
        }
        Ok(Segment {
            from,
            to,
            seconds: self.seconds,
        })
    }
}
