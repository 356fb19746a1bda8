//! What was sent and what came of it.
//!
//! Times are microseconds since the run began, so that everything here is a plain function of what
//! it is told. Some 20 bytes are kept of each event, and histograms of a fixed size.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::metrics::Live;
use super::schedule::Due;

/// Longer latencies count as so many microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// The outcome of a fact that was acknowledged, and of a command that the gateway answered.
const DONE: u64 = 1;
/// Failures with further codes are counted together.
const MOST_CODES: usize = 50;

/// Microseconds, with three digits that count.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3)
        .unwrap_or_else(|error| unreachable!("the bounds are in order: {error}"))
}

/// What became of some events.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Events handed over.
    pub sent: u64,
    /// Those that Kafka, or the gateway, has taken.
    pub acknowledged: u64,
    /// Those that were not taken; they may have been all the same.
    pub unacknowledged: u64,
    /// Commands with any result, and facts acknowledged.
    pub finished: u64,
    /// Commands with a result other than a failure.
    pub answered: u64,
    /// Commands that failed, by code.
    pub failed: BTreeMap<String, u64>,
    /// Commands without a result, and facts without an acknowledgement, after the deadline.
    pub missing: u64,
    /// Results that came after the deadline, but came.
    pub late: u64,
    /// Results published again: the same event, which readers drop.
    pub copies: u64,
    /// Further results with ids of their own: readers would take them.
    pub duplicates: u64,
    /// Results with a known id and other bytes.
    pub conflicts: u64,
    /// From the time when a command should have been sent to its result.
    pub latency: Histogram<u64>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            sent: 0,
            acknowledged: 0,
            unacknowledged: 0,
            finished: 0,
            answered: 0,
            failed: BTreeMap::new(),
            missing: 0,
            late: 0,
            copies: 0,
            duplicates: 0,
            conflicts: 0,
            latency: histogram(),
        }
    }
}

impl Figures {
    /// How many failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn fail(&mut self, code: &str) {
        let known = self.failed.len() < MOST_CODES || self.failed.contains_key(code);
        let code = if known { code } else { "others" };
        *self.failed.entry(code.to_owned()).or_default() += 1;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.unacknowledged += other.unacknowledged;
        self.finished += other.finished;
        self.answered += other.answered;
        self.missing += other.missing;
        self.late += other.late;
        self.copies += other.copies;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        for (code, count) in &other.failed {
            *self.failed.entry(code.clone()).or_default() += count;
        }
        // Only fails for values beyond the bounds, which are the same.
        let _ = self.latency.add(&other.latency);
    }
}

/// A result that came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Number of the command.
    pub number: usize,
    /// When it was seen.
    pub at: u64,
    /// Digest of its id.
    pub id: u32,
    /// Digest of its value.
    pub value: u32,
    /// Why the command failed.
    pub failed: Option<String>,
}

/// What happened since the last look.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Events sent.
    pub sent: u64,
    /// Results, first ones.
    pub answered: u64,
    /// Failures among them.
    pub failed: u64,
    /// Latencies of those results.
    pub latency: Histogram<u64>,
    /// How late events were sent.
    pub delay: Histogram<u64>,
}

impl Default for Interval {
    fn default() -> Self {
        Self {
            sent: 0,
            answered: 0,
            failed: 0,
            latency: histogram(),
            delay: histogram(),
        }
    }
}

/// A part of the mix, as far as results matter.
pub struct Kind {
    /// Whether its events have results.
    pub is_command: bool,
    /// Where they are counted for Prometheus.
    pub live: Live,
}

/// Keeps the account.
pub struct Tracker {
    kinds: Vec<Kind>,
    deadline: u64,
    /// Of each event: when it should have been sent, its part, and what came of it, 0: nothing yet.
    due: Vec<u64>,
    part: Vec<u8>,
    outcome: Vec<u64>,
    /// Number of the first event of each segment.
    segments: Vec<usize>,
    by_part: Vec<Figures>,
    by_segment: Vec<Figures>,
    interval: Interval,
    /// How late events were handed over, from the intended time.
    pub delay: Histogram<u64>,
    /// From the intended time to the acknowledgement.
    pub publish: Histogram<u64>,
    /// Segments below are the warm-up.
    warm_up: usize,
    /// Events of which something is awaited.
    pub unfinished: u64,
    /// Commands among them.
    pub unanswered: u64,
    /// All events before this one are past the deadline.
    past: usize,
}

impl Tracker {
    /// Of these parts; the first segments are a warm-up, which counts nowhere but in the figures of
    /// the segment itself.
    pub fn new(kinds: Vec<Kind>, segments: usize, warm_up: usize, deadline: u64) -> Self {
        Self {
            by_part: vec![Figures::default(); kinds.len()],
            by_segment: vec![Figures::default(); segments],
            kinds,
            deadline,
            due: Vec::new(),
            part: Vec::new(),
            outcome: Vec::new(),
            segments: Vec::new(),
            interval: Interval::default(),
            delay: histogram(),
            publish: histogram(),
            warm_up,
            unfinished: 0,
            unanswered: 0,
            past: 0,
        }
    }

    /// Figures of each part of the mix.
    pub fn by_part(&self) -> &[Figures] {
        &self.by_part
    }

    /// Figures of each segment.
    pub fn by_segment(&self) -> &[Figures] {
        &self.by_segment
    }

    /// An event is about to be handed over; its number.
    pub fn send(&mut self, part: usize, due: Due) -> usize {
        let number = self.due.len();
        self.due.push(due.micros);
        self.part.push(part as u8);
        self.outcome.push(0);
        while self.segments.len() <= due.segment {
            self.segments.push(number);
        }
        self.unfinished += 1;
        self.unanswered += u64::from(self.kinds[part].is_command);
        self.interval.sent += 1;
        self.kinds[part].live.sent.inc();
        self.count(number, |figures| figures.sent += 1);
        number
    }

    /// An event was handed over at this time.
    pub fn handed_over(&mut self, number: usize, at: u64) {
        let delay = at.saturating_sub(self.due[number]);
        self.interval.delay.saturating_record(delay);
        if self.segment(number) >= self.warm_up {
            self.delay.saturating_record(delay);
        }
    }

    /// An event was taken.
    pub fn acknowledged(&mut self, number: usize, at: u64) {
        self.count(number, |figures| figures.acknowledged += 1);
        if self.segment(number) >= self.warm_up {
            let micros = at.saturating_sub(self.due[number]);
            self.publish.saturating_record(micros);
        }
        if !self.kinds[usize::from(self.part[number])].is_command {
            self.finish(number, DONE, at);
        }
    }

    /// An event was perhaps not taken.
    pub fn unacknowledged(&mut self, number: usize) {
        self.count(number, |figures| figures.unacknowledged += 1);
    }

    /// The gateway's response is the only one to a command.
    pub fn responded(&mut self, number: usize, at: u64, failed: Option<String>) {
        self.answered(Answer {
            number,
            at,
            id: 0,
            value: DONE as u32,
            failed,
        });
    }

    /// A result came. Numbers that were never sent are another run's.
    pub fn answered(&mut self, answer: Answer) {
        let number = answer.number;
        let Some(known) = self.outcome.get(number).copied() else {
            return;
        };
        let outcome = (u64::from(answer.id) << 32 | u64::from(answer.value)).max(DONE);
        if known != 0 {
            let same_id = known >> 32 == outcome >> 32;
            if known != outcome {
                let live = &self.kinds[usize::from(self.part[number])].live;
                live.duplicates.inc();
            }
            self.count(number, |figures| match (known == outcome, same_id) {
                (true, _) => figures.copies += 1,
                (false, true) => figures.conflicts += 1,
                (false, false) => figures.duplicates += 1,
            });
            return;
        }
        let latency = answer.at.saturating_sub(self.due[number]);
        let live = &self.kinds[usize::from(self.part[number])].live;
        live.latency.observe(latency as f64 / 1e6);
        match &answer.failed {
            None => live.answered.inc(),
            Some(_) => live.failed.inc(),
        }
        self.interval.answered += 1;
        self.interval.failed += u64::from(answer.failed.is_some());
        self.interval.latency.saturating_record(latency);
        self.count(number, |figures| {
            figures.latency.saturating_record(latency);
            match &answer.failed {
                None => figures.answered += 1,
                Some(code) => figures.fail(code),
            }
        });
        self.finish(number, outcome, answer.at);
    }

    fn finish(&mut self, number: usize, outcome: u64, at: u64) {
        if self.outcome[number] != 0 {
            return;
        }
        self.outcome[number] = outcome;
        self.unfinished -= 1;
        let is_command = self.kinds[usize::from(self.part[number])].is_command;
        self.unanswered -= u64::from(is_command);
        let was_missing = number < self.past;
        let late = is_command && at > self.due[number].saturating_add(self.deadline);
        if was_missing {
            self.kinds[usize::from(self.part[number])]
                .live
                .missing
                .dec();
        }
        self.count(number, |figures| {
            figures.finished += 1;
            figures.missing -= u64::from(was_missing);
            figures.late += u64::from(late);
        });
    }

    /// Counts as missing what has nothing at its deadline.
    pub fn expire(&mut self, now: u64) {
        while let Some(due) = self.due.get(self.past)
            && due.saturating_add(self.deadline) < now
        {
            let number = self.past;
            self.past += 1;
            if self.outcome[number] == 0 {
                self.kinds[usize::from(self.part[number])]
                    .live
                    .missing
                    .inc();
                self.count(number, |figures| figures.missing += 1);
            }
        }
    }

    /// The run is over: what has nothing by now is missing.
    pub fn close(&mut self) {
        self.expire(u64::MAX);
    }

    /// What happened since the last call.
    pub fn take_interval(&mut self) -> Interval {
        std::mem::take(&mut self.interval)
    }

    fn segment(&self, number: usize) -> usize {
        self.segments.partition_point(|first| *first <= number) - 1
    }

    fn count(&mut self, number: usize, change: impl Fn(&mut Figures)) {
        let segment = self.segment(number);
        change(&mut self.by_segment[segment]);
        if segment >= self.warm_up {
            change(&mut self.by_part[usize::from(self.part[number])]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: u64 = 1_000_000;

    /// A warm-up, then a step; the first part is a command, the second a fact.
    fn tracker() -> Tracker {
        let kind = |is_command| Kind {
            is_command,
            live: Live::of_topic("test"),
        };
        Tracker::new(vec![kind(true), kind(false)], 2, 1, DEADLINE)
    }

    fn send(tracker: &mut Tracker, part: usize, micros: u64, segment: usize) -> usize {
        tracker.send(part, Due { micros, segment })
    }

    fn answer(number: usize, at: u64, id: u32, value: u32) -> Answer {
        Answer {
            number,
            at,
            id,
            value,
            failed: None,
        }
    }

    #[test]
    fn a_missing_result_is_counted() {
        let mut tracker = tracker();
        let first = send(&mut tracker, 0, 0, 1);
        let second = send(&mut tracker, 0, 10, 1);
        tracker.answered(answer(first, 500, 1, 1));
        tracker.expire(DEADLINE);
        assert_eq!(tracker.by_part()[0].missing, 0);
        tracker.expire(DEADLINE + 11);
        assert_eq!(tracker.by_part()[0].missing, 1);
        // It comes after all: late, and no longer missing.
        tracker.answered(answer(second, DEADLINE + 20, 2, 2));
        let figures = &tracker.by_part()[0];
        assert_eq!((figures.missing, figures.late, figures.answered), (0, 1, 2));
        assert_eq!(tracker.unanswered, 0);
        send(&mut tracker, 0, 20, 1);
        tracker.close();
        assert_eq!(tracker.by_segment()[1].missing, 1);
    }

    #[test]
    fn copies_duplicates_and_conflicts_are_told_apart() {
        let mut tracker = tracker();
        let number = send(&mut tracker, 0, 0, 1);
        for (id, value) in [(1, 1), (1, 1), (1, 2), (2, 1), (1, 1)] {
            tracker.answered(answer(number, 100, id, value));
        }
        let figures = &tracker.by_part()[0];
        assert_eq!(figures.answered, 1);
        assert_eq!(figures.copies, 2);
        assert_eq!(figures.conflicts, 1);
        assert_eq!(figures.duplicates, 1);
        assert_eq!(figures.latency.len(), 1);
        // Another run's numbers mean nothing here.
        tracker.answered(answer(99, 100, 1, 1));
    }

    #[test]
    fn failures_are_counted_by_code() {
        let mut tracker = tracker();
        for code in ["expired", "expired", "forbidden"] {
            let number = send(&mut tracker, 0, 0, 1);
            let failed = Some(code.to_owned());
            tracker.answered(Answer {
                failed,
                ..answer(number, 9, 1, 1)
            });
        }
        let figures = &tracker.by_part()[0];
        assert_eq!(figures.failed["expired"], 2);
        assert_eq!((figures.failures(), figures.answered), (3, 0));
    }

    #[test]
    fn latency_counts_from_the_time_when_the_event_should_have_been_sent() {
        let mut tracker = tracker();
        let warm_up = send(&mut tracker, 0, 0, 0);
        let counted = send(&mut tracker, 0, 1_000, 1);
        // Both were handed over at 50 ms: the generator was late.
        for number in [warm_up, counted] {
            tracker.handed_over(number, 50_000);
            tracker.acknowledged(number, 50_500);
            tracker.answered(answer(number, 51_000, number as u32, 1));
        }
        assert_eq!(tracker.by_part()[0].latency.len(), 1);
        assert_eq!(tracker.by_part()[0].latency.max() / 100, 500);
        assert_eq!(tracker.delay.max() / 100, 490);
        assert_eq!(tracker.by_segment()[0].latency.len(), 1);
        assert_eq!(tracker.by_part()[0].answered, 1);
        let interval = tracker.take_interval();
        assert_eq!((interval.sent, interval.answered), (2, 2));
        assert_eq!(tracker.take_interval().sent, 0);
    }

    #[test]
    fn a_fact_is_done_when_it_is_acknowledged() {
        let mut tracker = tracker();
        let taken = send(&mut tracker, 1, 0, 1);
        let lost = send(&mut tracker, 1, 0, 1);
        tracker.acknowledged(taken, 10);
        tracker.unacknowledged(lost);
        assert_eq!((tracker.unfinished, tracker.unanswered), (1, 0));
        tracker.close();
        let figures = &tracker.by_part()[1];
        assert_eq!((figures.missing, figures.unacknowledged), (1, 1));
        assert_eq!(figures.latency.len(), 0);
    }

    /// Seventeen bytes of each event, and what does not grow. A vector that grows holds up to twice what is
    /// in it.
    #[test]
    fn a_million_events_take_little_memory() {
        let mut tracker = tracker();
        for number in 0..1_000_000 {
            send(&mut tracker, 0, number, 1);
            tracker.answered(answer(number as usize, number + 100, 1, 1));
        }
        assert_eq!(tracker.by_part()[0].answered, 1_000_000);
        let words = tracker.due.capacity() + tracker.outcome.capacity();
        let bytes = 8 * words + tracker.part.capacity();
        assert!((17_000_000..=34_000_000).contains(&bytes), "{bytes}");
    }
}
