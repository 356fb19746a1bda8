//! When a shard is sent a work order. Work orders may be lost, doubled or late: too many cost an
//! invocation each, too few cost time.

use std::time::Duration;

use super::lane::LEASE;

/// A lease that has moved a shard so lately still runs: it reads on for half a second after that.
const STILL_RUNS: Duration = Duration::from_millis(400);
/// One with slow batches does for longer, but no longer than this.
const STILL_RUNS_AT_MOST: Duration = Duration::from_secs(5);
/// After so long without a movement an order is sent again; twice as long after each.
const AGAIN: Duration = Duration::from_secs(2);
/// But not later than this: whatever kept a lease from going on may be over.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// An order is sent so often at least, whatever waits: what is committed in the group need not be what
/// the shard has decided, and only a lease sees that.
const WHATEVER_WAITS: Duration = Duration::from_secs(300);

/// What a dispatcher has seen of a shard. Times are counted from any moment that stays the same.
#[derive(Debug, Default)]
pub struct Watched {
    position: Vec<i64>,
    moved: Option<Duration>,
    /// The last order, for whatever reason.
    sent: Option<Duration>,
    /// The last order for what waits; none since the last movement.
    ordered: Option<Duration>,
    /// The first one of those.
    asked: Option<Duration>,
    pause: Duration,
    /// Where the topics ended then.
    ends: Vec<i64>,
    /// Whether they ended there before it, too.
    stands: bool,
    /// The order of the lease that runs; none before the first movement since all was decided.
    begun: Option<Duration>,
    /// The longest time between two movements of that lease.
    gap: Duration,
}

impl Watched {
    /// Whether a work order is to be sent now: its topics end at `ends`, and are decided up to
    /// `position`.
    pub fn look(&mut self, now: Duration, ends: &[i64], position: &[i64]) -> bool {
        if self.position != position {
            self.moves(now);
            self.position = position.to_vec();
        }
        let waits = ends.iter().zip(position).any(|(end, next)| end > next);
        if !waits {
            (self.ordered, self.asked) = (None, None);
            (self.begun, self.gap) = (None, Duration::ZERO);
        }
        let orders = waits && self.orders(now, ends);
        let is_due = self.sent.is_none_or(|sent| now >= sent + WHATEVER_WAITS);
        if !orders && !is_due {
            return false;
        }
        self.sent = Some(now);
        true
    }

    fn moves(&mut self, now: Duration) {
        let asked = self.asked.take();
        self.ordered = None;
        if self.position.is_empty() {
            // The first look knows nothing of movements.
            return;
        }
        let before = match (self.begun, self.moved) {
            // A lease that had to end by then has ended, and the order has begun another one.
            (Some(begun), Some(moved)) if asked.is_some() && moved >= begun + LEASE => None,
            (Some(_), moved) => moved,
            (None, _) => None,
        };
        let since = before.or(asked).unwrap_or(now);
        let gap = now.saturating_sub(since);
        if before.is_none() {
            (self.begun, self.gap) = (Some(since), gap);
        }
        self.gap = self.gap.max(gap);
        self.moved = Some(now);
    }

    /// Whether to send an order for what waits.
    fn orders(&mut self, now: Duration, ends: &[i64]) -> bool {
        if self.ordered.is_some() && self.stands && self.ends != ends {
            // Something has come at last.
            (self.stands, self.pause) = (false, AGAIN);
        }
        let (since, pause) = match (self.ordered, self.moved) {
            (Some(ordered), _) => (ordered, self.pause),
            (None, Some(moved)) => (moved, self.still_runs()),
            (None, None) => (Duration::ZERO, Duration::ZERO),
        };
        if now < since + pause {
            return false;
        }
        self.stands = self.ordered.is_some() && self.ends == ends;
        self.pause = match self.ordered {
            None => AGAIN,
            Some(_) => (self.pause * 2).min(AGAIN_AT_MOST),
        };
        self.ordered = Some(now);
        self.asked.get_or_insert(now);
        self.ends = ends.to_vec();
        true
    }

    /// How long after a movement its lease still runs.
    fn still_runs(&self) -> Duration {
        (self.gap * 2).clamp(STILL_RUNS, STILL_RUNS_AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_shard_gets_its_order_at_once_and_a_busy_one_none() {
        let mut shard = Watched::default();
        let mut look = |ms, end, next| shard.look(Duration::from_millis(ms), &[end], &[next]);
        assert!(look(1000, 5, 5), "nothing is known of it yet");
        assert!(!look(1001, 5, 5), "nothing waits");
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
    }

    #[test]
    fn where_orders_move_nothing_fewer_are_sent() {
        let mut shard = Watched::default();
        let mut look = |s, end| shard.look(Duration::from_secs(s), &[end], &[5]);
        let sent: Vec<_> = (0..1800).filter(|s| look(*s, 10)).collect();
        assert_eq!(sent[..6], [0, 2, 6, 14, 30, 60]);
        assert!(
            sent[5..].windows(2).all(|it| it[1] - it[0] == 30),
            "{sent:?}"
        );
        assert!(look(1800, 11), "something has come");
        assert!(!look(1801, 12), "one is enough");
        let sent = (1801..5401).filter(|s| look(*s, *s as i64)).count();
        assert!((115..=125).contains(&sent), "more comes: {sent}");
    }

    #[test]
    fn who_takes_a_shard_over_sends_an_order_and_one_now_and_then() {
        assert!(Watched::default().look(Duration::ZERO, &[3, 4], &[3, 0]));
        let mut shard = Watched::default();
        let mut look = |s| shard.look(Duration::from_secs(s), &[3, 4], &[3, 4]);
        let sent: Vec<_> = (0..1000).filter(|s| look(*s)).collect();
        assert_eq!(sent, [0, 300, 600, 900]);
    }

    #[test]
    fn a_lease_with_slow_batches_gets_no_more_orders() {
        for batch in [100, 600, 2000] {
            let mut shard = Watched::default();
            let (mut next, mut lease) = (0, None);
            let (mut orders, mut leases) = (0, 0);
            for ms in (0..600_000_u64).step_by(5) {
                if lease.is_none() && orders > leases {
                    leases += 1;
                    lease = Some(ms);
                }
                if let Some(begun) = lease
                    && ms > begun
                    && (ms - begun) % batch == 0
                {
                    next += 1;
                    lease = Some(begun).filter(|_| ms - begun <= 60_000);
                }
                let now = Duration::from_millis(ms);
                orders += i32::from(shard.look(now, &[i64::MAX], &[next]));
            }
            assert!((9..=10).contains(&leases), "{leases}");
            assert!(orders <= leases + 1, "{orders} for {leases}");
        }
    }
}
