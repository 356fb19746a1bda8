//! The time of a run.

use std::time::{Duration, Instant};

use crate::core::process::now_micros;

/// Microseconds since a run began, which may lie ahead.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    begun: Instant,
    begun_micros: i64,
}

impl Clock {
    /// A run that begins after this time.
    pub fn starting_in(delay: Duration) -> Self {
        Self {
            begun: Instant::now() + delay,
            begun_micros: now_micros().saturating_add(delay.as_micros() as i64),
        }
    }

    /// Now; 0 before the run begins.
    pub fn now(&self) -> u64 {
        Instant::now()
            .saturating_duration_since(self.begun)
            .as_micros() as u64
    }

    /// Now, in seconds.
    pub fn seconds(&self) -> f64 {
        self.now() as f64 / 1e6
    }

    /// How long it is until then.
    pub fn until(&self, micros: u64) -> Duration {
        let at = self.begun + Duration::from_micros(micros);
        at.saturating_duration_since(Instant::now())
    }

    /// That time in microseconds since 1970-01-01 UTC.
    pub fn unix(&self, micros: u64) -> i64 {
        self.begun_micros.saturating_add_unsigned(micros)
    }
}
