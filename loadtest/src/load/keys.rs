//! Which keys events have.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// How often each key is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All alike.
    #[default]
    Uniform,
    /// The k-th key in proportion to 1 / k^exponent: a few keys have most of the events.
    Zipf,
    /// Each event has a key of its own, as workflows need it.
    Unique,
}

/// The keys of a workload, or of a part of its mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Keys {
    /// How many there are.
    pub count: usize,
    /// How often each is picked.
    pub distribution: Distribution,
    /// Of `zipf`.
    pub exponent: f64,
    /// What they begin with; `None`: the run's own name, so that all keys are new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            count: 10_000,
            distribution: Distribution::Uniform,
            exponent: 1.0,
            prefix: None,
        }
    }
}

/// Picks keys.
#[derive(Debug)]
pub struct Picker {
    prefix: String,
    pick: Pick,
}

#[derive(Debug)]
enum Pick {
    Uniform(u64),
    /// What share of the events has one of the first keys, for each number of first keys.
    Zipf(Vec<f64>),
    Unique,
}

impl Picker {
    /// Picks the keys of a run.
    pub fn new(keys: &Keys, run: &str) -> Self {
        let pick = match keys.distribution {
            Distribution::Uniform => Pick::Uniform(keys.count as u64),
            Distribution::Zipf => Pick::Zipf(shares(keys.count, keys.exponent)),
            Distribution::Unique => Pick::Unique,
        };
        Self {
            prefix: keys.prefix.clone().unwrap_or_else(|| run.to_owned()),
            pick,
        }
    }

    /// The key of the event with this number.
    pub fn pick(&self, random: &mut Random, number: usize) -> String {
        let key = match &self.pick {
            Pick::Uniform(count) => random.below(*count) as usize,
            Pick::Zipf(shares) => {
                let at = random.unit();
                shares
                    .partition_point(|share| *share <= at)
                    .min(shares.len() - 1)
            }
            Pick::Unique => return format!("{}-u{number}", self.prefix),
        };
        format!("{}-{key}", self.prefix)
    }
}

fn shares(count: usize, exponent: f64) -> Vec<f64> {
    let weight = |key: usize| ((key + 1) as f64).powf(-exponent);
    let whole: f64 = (0..count).map(weight).sum();
    (0..count)
        .scan(0.0, |sum, key| {
            *sum += weight(key) / whole;
            Some(*sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn counts(keys: &Keys, picks: usize) -> HashMap<String, usize> {
        let (picker, mut random) = (Picker::new(keys, "run"), Random::new(3));
        let mut counts = HashMap::new();
        for number in 0..picks {
            *counts.entry(picker.pick(&mut random, number)).or_default() += 1;
        }
        counts
    }

    #[test]
    fn all_keys_are_picked_alike() {
        let keys = Keys {
            count: 10,
            ..Keys::default()
        };
        let counts = counts(&keys, 100_000);
        assert_eq!(counts.len(), 10);
        // A tenth each, with a standard deviation of 95.
        assert!(counts.values().all(|count| (9_500..10_500).contains(count)));
    }

    #[test]
    fn keys_are_picked_by_zipfs_law() {
        let keys = Keys {
            count: 1000,
            distribution: Distribution::Zipf,
            exponent: 1.0,
            ..Keys::default()
        };
        let counts = counts(&keys, 200_000);
        let of = |key: usize| counts[&format!("run-{key}")] as f64;
        // The sum of 1/k over 1,000 keys.
        let harmonic: f64 = (1..=1000).map(|k| 1.0 / f64::from(k)).sum();
        assert!((of(0) / (200_000.0 / harmonic) - 1.0).abs() < 0.03);
        assert!((of(0) / of(1) / 2.0 - 1.0).abs() < 0.05);
        assert!((of(0) / of(9) / 10.0 - 1.0).abs() < 0.1);
    }

    #[test]
    fn unique_keys_are_unique_and_a_prefix_makes_keys_that_stay() {
        let keys = Keys {
            distribution: Distribution::Unique,
            prefix: Some("trip".into()),
            ..Keys::default()
        };
        let counts = counts(&keys, 1000);
        assert_eq!(counts.len(), 1000);
        assert!(counts.contains_key("trip-u999"));
    }
}
