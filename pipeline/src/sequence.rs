//! The reader rule: what a consumer of results does to see each event once.
//!
//! The raw topics are at-least-once. A reader keeps one [`Reader`] per (topic, key, source,
//! epoch) and accepts, drops or reports by the number `seq` that the emitter counted.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// How many missing numbers a reader remembers.
pub const MAX_GAPS: usize = 64;
/// How many recent digests a reader remembers to tell a copy from a conflict.
pub const MAX_DIGESTS: usize = 64;

/// What a reader does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// New: take it.
    Accept,
    /// New, but the numbers between the mark and this one are missing: take it and raise an alarm.
    AcceptAfterGap {
        /// How many are missing.
        missing: u64,
    },
    /// One of the missing numbers has come after all: take it.
    AcceptLate,
    /// A copy of one already seen: drop and count it.
    Duplicate,
    /// A number already seen, with another value: drop it and raise an alarm.
    Conflict,
}

impl Verdict {
    /// Whether the event is to be taken.
    pub fn is_accepted(self) -> bool {
        matches!(
            self,
            Self::Accept | Self::AcceptAfterGap { .. } | Self::AcceptLate
        )
    }

    /// What it is counted under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::AcceptLate => "late",
            Self::Duplicate => "duplicate",
            Self::AcceptAfterGap { .. } => "gap",
            Self::Conflict => "conflict",
        }
    }
}

/// The state of one (topic, key, source, epoch). It may be written down, and read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    mark: Option<i64>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    missing: BTreeSet<i64>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    digests: VecDeque<(i64, u64)>,
}

impl Reader {
    /// Judges the event numbered `seq` whose value has this digest.
    ///
    /// Without a mark any number is accepted: a reader may start in the middle of a topic.
    pub fn see(&mut self, seq: i64, digest: u64) -> Verdict {
        let verdict = match self.mark {
            None => Verdict::Accept,
            Some(mark) if mark.checked_add(1) == Some(seq) => Verdict::Accept,
            Some(mark) if seq > mark => {
                self.remember_missing(mark + 1, seq - 1);
                Verdict::AcceptAfterGap {
                    missing: seq.abs_diff(mark) - 1,
                }
            }
            Some(_) if self.missing.remove(&seq) => Verdict::AcceptLate,
            Some(_) => return self.judge_known(seq, digest),
        };
        self.mark = Some(self.mark.map_or(seq, |mark| mark.max(seq)));
        self.digests.push_back((seq, digest));
        if self.digests.len() > MAX_DIGESTS {
            self.digests.pop_front();
        }
        verdict
    }

    /// Forgets all but so many digests, the newest: a conflict with an older one passes for a copy.
    pub fn shorten(&mut self, digests: usize) {
        let surplus = self.digests.len().saturating_sub(digests);
        self.digests.drain(..surplus);
    }

    fn judge_known(&self, seq: i64, digest: u64) -> Verdict {
        match self.digests.iter().find(|(known, _)| *known == seq) {
            Some((_, known)) if *known != digest => Verdict::Conflict,
            _ => Verdict::Duplicate,
        }
    }

    /// Keeps the newest: the older a missing number is, the less likely it still comes.
    fn remember_missing(&mut self, first: i64, last: i64) {
        let first = first.max(last.saturating_sub(MAX_GAPS as i64 - 1));
        self.missing.extend(first..=last);
        while self.missing.len() > MAX_GAPS {
            self.missing.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest_of(seq: i64) -> u64 {
        seq.unsigned_abs() * 31
    }

    proptest! {
        /// Copies of anything already sent, anywhere in the stream, are dropped; the accepted
        /// events are the originals in their order.
        #[test]
        fn copies_are_dropped(length in 1i64..200, copies in prop::collection::vec((0usize..200, 0usize..200), 0..100)) {
            let mut stream: Vec<i64> = (1..=length).collect();
            for (at, back) in copies {
                let at = at % stream.len();
                let copy = stream[at.saturating_sub(back)];
                stream.insert(at + 1, copy);
            }
            let mut reader = Reader::default();
            let accepted: Vec<i64> = stream.into_iter()
                .filter(|seq| reader.see(*seq, digest_of(*seq)).is_accepted())
                .collect();
            prop_assert_eq!(accepted, (1..=length).collect::<Vec<_>>());
        }

        /// In any order within the bound, each number is accepted exactly once.
        #[test]
        fn each_number_once_in_any_order(order in Just((1i64..=60).collect::<Vec<_>>()).prop_shuffle()) {
            let mut reader = Reader::default();
            // A reader that starts at the first number knows what it misses.
            reader.see(0, 0);
            let mut accepted: Vec<i64> = order.iter().chain(order.iter()).copied()
                .filter(|seq| reader.see(*seq, digest_of(*seq)).is_accepted())
                .collect();
            accepted.sort_unstable();
            prop_assert_eq!(accepted, (1..=60).collect::<Vec<_>>());
        }

        /// A gap is reported with its size, at once.
        #[test]
        fn gaps_are_reported(before in 1i64..50, lost in 1i64..500) {
            let mut reader = Reader::default();
            for seq in 1..=before {
                prop_assert_eq!(reader.see(seq, digest_of(seq)), Verdict::Accept);
            }
            let next = before + lost + 1;
            prop_assert_eq!(
                reader.see(next, digest_of(next)),
                Verdict::AcceptAfterGap { missing: lost.unsigned_abs() }
            );
            prop_assert!(reader.missing.len() <= MAX_GAPS);
        }
    }

    proptest! {
        /// Numbers come from outside: none of them may stop the reader.
        #[test]
        fn any_numbers_are_judged(numbers in prop::collection::vec(
            prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), Just(i64::MAX - 1)], 0..50,
        )) {
            let mut reader = Reader::default();
            for seq in numbers {
                reader.see(seq, 0);
                prop_assert!(!reader.see(seq, 0).is_accepted());
            }
        }
    }

    #[test]
    fn the_same_number_with_another_value_is_a_conflict() {
        let mut reader = Reader::default();
        assert_eq!(reader.see(1, 7), Verdict::Accept);
        assert_eq!(reader.see(1, 7), Verdict::Duplicate);
        assert_eq!(reader.see(1, 8), Verdict::Conflict);
        assert_eq!(reader.see(2, 9), Verdict::Accept);
    }
}
