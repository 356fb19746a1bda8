//! How long partitions were held up, and how long dead letters took.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Watches every partition of an input topic and of its result topic, which have the same keys.
///
/// A partition is held up while it has events that wait for their answers, and neither one of them nor a
/// dead letter comes.
#[derive(Debug, Default)]
pub struct Pace {
    partitions: HashMap<i32, Partition>,
    slowest_answer: Duration,
    slowest_letter: Duration,
}

#[derive(Debug)]
struct Partition {
    waiting: i64,
    /// When the last answer or dead letter came, or the first event that waits.
    since: Instant,
    longest: Duration,
    last_event: Instant,
    last_answer: Instant,
}

impl Partition {
    fn goes_on(&mut self, now: Instant) {
        // Below 0 where the answer was read before its event.
        if self.waiting > 0 {
            self.longest = self.longest.max(now - self.since);
        }
        self.since = now;
    }
}

impl Pace {
    fn partition(&mut self, partition: i32, now: Instant) -> &mut Partition {
        self.partitions.entry(partition).or_insert(Partition {
            waiting: 0,
            since: now,
            longest: Duration::ZERO,
            last_event: now,
            last_answer: now,
        })
    }

    /// A good event has come.
    pub fn event(&mut self, partition: i32, now: Instant) {
        let known = self.partition(partition, now);
        if known.waiting <= 0 {
            known.since = now;
        }
        known.waiting += 1;
        known.last_event = now;
    }

    /// An event was answered for the first time, so long after it was recorded.
    pub fn answer(&mut self, partition: i32, after: Duration, now: Instant) {
        self.slowest_answer = self.slowest_answer.max(after);
        let known = self.partition(partition, now);
        known.goes_on(now);
        known.waiting -= 1;
        known.last_answer = now;
    }

    /// A dead letter of this partition was kept so long after its original was recorded.
    pub fn letter(&mut self, partition: i32, after: Duration, now: Instant) {
        self.slowest_letter = self.slowest_letter.max(after);
        self.partition(partition, now).goes_on(now);
    }

    /// The longest time for which one of these partitions was held up.
    pub fn longest(&self, now: Instant, of: impl Fn(i32) -> bool) -> Duration {
        let partitions = self.partitions.iter().filter(|(number, _)| of(**number));
        let longest = partitions.map(|(_, known)| match known.waiting {
            1.. => known.longest.max(now - known.since),
            _ => known.longest,
        });
        longest.max().unwrap_or_default()
    }

    /// Whether every partition has had an event and an answer after this moment.
    pub fn goes_on_since(&self, moment: Instant) -> bool {
        let goes_on = |known: &Partition| known.last_event > moment && known.last_answer > moment;
        !self.partitions.is_empty() && self.partitions.values().all(goes_on)
    }

    /// The longest time until an event was answered.
    pub fn slowest_answer(&self) -> Duration {
        self.slowest_answer
    }

    /// The longest time until a dead letter was kept.
    pub fn slowest_letter(&self) -> Duration {
        self.slowest_letter
    }

    /// Forgets what was measured; what waits goes on waiting.
    pub fn begin(&mut self, now: Instant) {
        for known in self.partitions.values_mut() {
            (known.longest, known.since) = (Duration::ZERO, now);
        }
        (self.slowest_answer, self.slowest_letter) = (Duration::ZERO, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_held_up_while_events_wait_and_no_answer_comes() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pace.event(0, at(0));
        pace.event(0, at(1));
        pace.answer(0, Duration::ZERO, at(3));
        pace.answer(0, Duration::ZERO, at(4));
        // Nothing waits: a pause of the load is nobody's fault.
        pace.event(0, at(20));
        pace.answer(0, Duration::ZERO, at(21));
        assert_eq!(pace.longest(at(30), |_| true), Duration::from_secs(3));
        // Another partition's answers do not count.
        pace.event(1, at(30));
        pace.answer(0, Duration::ZERO, at(31));
        pace.event(0, at(33));
        assert_eq!(pace.longest(at(35), |_| true), Duration::from_secs(5));
        assert_eq!(pace.longest(at(35), |it| it == 0), Duration::from_secs(3));
        // A dead letter is progress as well.
        pace.letter(1, Duration::ZERO, at(35));
        assert_eq!(pace.longest(at(39), |_| true), Duration::from_secs(5));
        pace.begin(at(39));
        assert_eq!(pace.longest(at(40), |_| true), Duration::from_secs(1));
    }

    #[test]
    fn a_partition_goes_on_when_events_and_answers_come() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!pace.goes_on_since(start));
        for partition in [0, 1] {
            pace.event(partition, at(0));
            pace.answer(partition, Duration::ZERO, at(1));
        }
        pace.event(0, at(3));
        pace.answer(0, Duration::ZERO, at(4));
        assert!(!pace.goes_on_since(at(2)));
        // An answer to what came before is not enough.
        pace.answer(1, Duration::ZERO, at(5));
        assert!(!pace.goes_on_since(at(2)));
        pace.event(1, at(9));
        assert!(pace.goes_on_since(at(2)));
    }
}
