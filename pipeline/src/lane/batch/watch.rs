//! When a shard is sent a work order. Work orders may be lost, doubled or late: too many cost an
//! invocation each, too few cost time.

use std::time::Duration;

/// A lease that has moved a shard so lately still runs: it reads on for half a second.
const STILL_RUNS: Duration = Duration::from_millis(400);
/// After so long without a movement an order is sent again; twice as long after each.
const AGAIN: Duration = Duration::from_secs(2);
/// But not later.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// What a dispatcher has seen of a shard. Times are counted from any moment that stays the same.
#[derive(Debug, Default)]
pub struct Watched {
    position: Vec<i64>,
    moved: Option<Duration>,
    ordered: Option<Duration>,
    pause: Duration,
}

impl Watched {
    /// Whether a work order is to be sent now: its topics end at `ends`, and are decided up to
    /// `position`.
    pub fn look(&mut self, now: Duration, ends: &[i64], position: &[i64]) -> bool {
        if self.position != position {
            // The first look knows nothing of movements.
            self.moved = (!self.position.is_empty()).then_some(now);
            self.position = position.to_vec();
            self.ordered = None;
        }
        let waits = ends.iter().zip(position).any(|(end, next)| end > next);
        if !waits {
            self.ordered = None;
            return false;
        }
        let (since, pause) = match (self.ordered, self.moved) {
            (Some(ordered), _) => (ordered, self.pause),
            (None, Some(moved)) => (moved, STILL_RUNS),
            (None, None) => (Duration::ZERO, Duration::ZERO),
        };
        if now < since + pause {
            return false;
        }
        self.pause = match self.ordered {
            None => AGAIN,
            Some(_) => (self.pause * 2).min(AGAIN_AT_MOST),
        };
        self.ordered = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_shard_gets_its_order_at_once_and_a_busy_one_none() {
        let mut shard = Watched::default();
        let mut look = |ms, end, next| shard.look(Duration::from_millis(ms), &[end], &[next]);
        assert!(!look(1000, 5, 5), "nothing waits");
        assert!(look(1005, 6, 5), "at once");
        assert!(!look(1010, 9, 5), "one is enough");
        assert!(!look(1050, 9, 9));
        assert!(!look(1100, 10, 9), "its lease still runs");
        assert!(!look(1150, 10, 10));
        assert!(!look(1200, 11, 10));
        assert!(
            look(1600, 11, 10),
            "nothing has moved for longer than a lease waits"
        );
        assert!(!look(3000, 11, 10));
        assert!(look(3600, 11, 10), "again: the order may be lost");
        assert!(!look(7000, 11, 10));
        assert!(look(7600, 11, 10), "and later each time");
        let orders = (7600..3_600_000).filter(|ms| look(*ms, 11, 10)).count();
        assert!((110..=125).contains(&orders), "{orders}");
    }

    #[test]
    fn who_takes_a_shard_over_sends_an_order_if_something_waits() {
        assert!(Watched::default().look(Duration::ZERO, &[3, 4], &[3, 0]));
        assert!(!Watched::default().look(Duration::ZERO, &[3, 4], &[3, 4]));
    }
}
