//! The time of a run.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::probe::process::now_micros;

/// Microseconds since a run began. Its copies go alike.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<OnceLock<Begun>>);

#[derive(Debug, Clone, Copy)]
struct Begun {
    instant: Instant,
    micros: i64,
}

impl Clock {
    /// The run begins after this time. Only the first call counts.
    pub fn start_in(&self, delay: Duration) {
        let begun = Begun {
            instant: Instant::now() + delay,
            micros: now_micros().saturating_add(delay.as_micros() as i64),
        };
        self.0.get_or_init(|| begun);
    }

    fn begun(&self) -> Begun {
        let now = || Begun {
            instant: Instant::now(),
            micros: now_micros(),
        };
        self.0.get().copied().unwrap_or_else(now)
    }

    /// Now; 0 before the run begins.
    pub fn now(&self) -> u64 {
        Instant::now()
            .saturating_duration_since(self.begun().instant)
            .as_micros() as u64
    }

    /// Now, in seconds.
    pub fn seconds(&self) -> f64 {
        self.now() as f64 / 1e6
    }

    /// How long it is until then.
    pub fn until(&self, micros: u64) -> Duration {
        let at = self.begun().instant + Duration::from_micros(micros);
        at.saturating_duration_since(Instant::now())
    }

    /// That time in microseconds since 1970-01-01 UTC.
    pub fn unix(&self, micros: u64) -> i64 {
        self.begun().micros.saturating_add_unsigned(micros)
    }
}
