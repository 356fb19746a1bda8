//! Token buckets, one per key or principal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are not full, at most; those are the ones that must be remembered.
const MAX_BUCKETS: usize = 50_000;
/// What is asked of a client for which there is no bucket left.
const NO_ROOM: Duration = Duration::from_secs(1);

/// How often somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests a second in the long run; 0: as many as it likes.
    pub rate: u32,
    /// Requests at once, after a pause; at least 1.
    pub burst: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            rate: 1_000,
            burst: 2_000,
        }
    }
}

/// For each name the time at which its bucket is full again.
#[derive(Debug, Default)]
pub struct Buckets(Mutex<HashMap<String, Instant>>);

impl Buckets {
    /// Takes a token; otherwise the time until there is one.
    pub fn take(&self, name: &str, limit: Limit, now: Instant) -> Result<(), Duration> {
        if limit.rate == 0 {
            return Ok(());
        }
        let each = Duration::from_secs(1) / limit.rate;
        let whole = each * limit.burst.max(1);
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MAX_BUCKETS && !full_at.contains_key(name) {
            full_at.retain(|_, full_at| *full_at > now);
            if full_at.len() >= MAX_BUCKETS {
                return Err(NO_ROOM);
            }
        }
        let filled = full_at.get(name).map_or(now, |it| (*it).max(now));
        let after = filled + each;
        match (after - now).checked_sub(whole) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                full_at.insert(name.to_owned(), after);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_stretch_of_time_has_more_than_burst_and_rate(
            rate in 1u32..100, burst in 1u32..20,
            steps in prop::collection::vec(0u64..200, 1..200),
        ) {
            let limit = Limit { rate, burst };
            let (buckets, begun) = (Buckets::default(), Instant::now());
            let mut now = begun;
            let mut taken: Vec<Instant> = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                match buckets.take("a", limit, now) {
                    Ok(()) => taken.push(now),
                    // After the time that was named there is a token.
                    Err(wait) => {
                        now += wait;
                        prop_assert!(buckets.take("a", limit, now).is_ok());
                        taken.push(now);
                    }
                }
            }
            for (at, first) in taken.iter().enumerate() {
                for (count, last) in taken[at..].iter().enumerate() {
                    let most = f64::from(burst) + (*last - *first).as_secs_f64() * f64::from(rate);
                    prop_assert!(count as f64 + 1.0 <= most + 1e-3, "{count} > {most}");
                }
            }
        }
    }

    #[test]
    fn buckets_are_apart_and_may_be_unlimited() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        let one = Limit { rate: 1, burst: 1 };
        assert_eq!(buckets.take("a", one, now), Ok(()));
        assert_eq!(buckets.take("a", one, now), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take("b", one, now), Ok(()));
        let none = Limit { rate: 0, burst: 0 };
        for _ in 0..1000 {
            assert_eq!(buckets.take("c", none, now), Ok(()));
        }
    }
}
