//! Which attempt at an event this is, for the log. The SDK does not tell, so the failed ones of
//! this process are counted; nothing else depends on it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::position::Position;

/// Of more events at once it is not known.
const MOST: usize = 10_000;

static FAILED: LazyLock<Mutex<Failed>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Failed(HashMap<(String, i32, i64), u32>);

impl Failed {
    /// An attempt has failed; its number.
    fn count(&mut self, position: &Position) -> u32 {
        let place = place(position);
        if self.0.len() >= MOST && !self.0.contains_key(&place) {
            // Those that another process has finished would stay for ever.
            self.0.clear();
        }
        let failed = self.0.entry(place).or_default();
        *failed += 1;
        *failed
    }

    /// An attempt has finished the event; its number.
    fn forget(&mut self, position: &Position) -> u32 {
        if self.0.is_empty() {
            return 1;
        }
        self.0.remove(&place(position)).unwrap_or(0) + 1
    }
}

/// An attempt of this process has failed; its number, from 1.
pub fn failed(position: &Position) -> u32 {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.count(position)
}

/// An attempt of this process has finished the event; its number, from 1.
pub fn finished(position: &Position) -> u32 {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.forget(position)
}

fn place(position: &Position) -> (String, i32, i64) {
    (position.topic.clone(), position.partition, position.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_per_event_and_bounded() {
        let at = |offset| Position {
            topic: "topic".into(),
            partition: 0,
            offset,
            timestamp_ms: 0,
        };
        let mut failed = Failed::default();
        assert_eq!((failed.count(&at(1)), failed.count(&at(1))), (1, 2));
        assert_eq!(failed.forget(&at(2)), 1);
        assert_eq!((failed.forget(&at(1)), failed.forget(&at(1))), (3, 1));
        for offset in 0..25_000 {
            failed.count(&at(offset));
        }
        assert!(failed.0.len() <= MOST);
    }
}
