//! The reader rule over all results that the gateway reads, for its metrics: what it answers with
//! is found by the id of the request, so a copy or a gap here is an alarm and changes no answer.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use millstream_pipeline::sequence::{Reader, Verdict};

/// How many readers are kept. Each takes about a kilobyte once it has seen many results.
const MAX_READERS: usize = 10_000;

/// One reader for each topic, key, source and epoch; the oldest go first.
#[derive(Debug, Default)]
pub struct Numbers {
    hasher: RandomState,
    readers: HashMap<u64, Reader>,
    order: VecDeque<u64>,
}

/// What a result says of itself in its headers.
#[derive(Debug, Clone, Copy)]
pub struct Numbered<'m> {
    /// Topic, key, source and epoch.
    pub of: (&'m str, &'m [u8], &'m str, &'m str),
    /// Its number.
    pub seq: i64,
    /// The record's value.
    pub value: &'m [u8],
}

impl Numbers {
    /// Judges one result. A reader that has gone starts anew with the next number it sees.
    pub fn see(&mut self, result: Numbered<'_>) -> Verdict {
        let reader = self.hasher.hash_one(result.of);
        let digest = self.hasher.hash_one(result.value);
        if !self.readers.contains_key(&reader) {
            self.order.push_back(reader);
            if self.order.len() > MAX_READERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.readers.remove(&oldest);
            }
        }
        let reader = self.readers.entry(reader).or_default();
        reader.see(result.seq, digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(numbers: &mut Numbers, key: &str, seq: i64, value: &str) -> &'static str {
        let verdict = numbers.see(Numbered {
            of: ("orders-results", key.as_bytes(), "Orders/1", "e"),
            seq,
            value: value.as_bytes(),
        });
        verdict.as_str()
    }

    #[test]
    fn each_key_is_judged_by_itself() {
        let mut numbers = Numbers::default();
        for (key, seq, value, verdict) in [
            ("a", 1, "x", "accepted"),
            ("a", 1, "x", "duplicate"),
            ("a", 1, "y", "conflict"),
            ("b", 7, "x", "accepted"),
            ("a", 3, "z", "gap"),
            ("a", 2, "y", "late"),
            ("b", 8, "x", "accepted"),
        ] {
            assert_eq!(see(&mut numbers, key, seq, value), verdict, "{key} {seq}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut numbers = Numbers::default();
        for key in 0..=MAX_READERS {
            see(&mut numbers, &key.to_string(), 1, "x");
        }
        assert_eq!(numbers.readers.len(), MAX_READERS);
        assert_eq!(see(&mut numbers, "0", 1, "x"), "accepted", "forgotten");
    }
}
