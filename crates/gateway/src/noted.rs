//! Where recent results are: a bounded note of each, so that most searches need none.
//!
//! Of each partition it is known from which offset on the notes are complete.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// A partition of a result topic, by the number of the topic.
pub type Partition = (u16, u16);

/// A place in a result topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Topic and partition.
    pub partition: Partition,
    /// Offset.
    pub offset: i64,
    /// Whether it is a failure, which another result may replace.
    pub failed: bool,
}

/// Notes of at most so many results; the oldest go first.
#[derive(Debug)]
pub struct Noted {
    limit: usize,
    hasher: RandomState,
    by_event: HashMap<u64, Place>,
    order: VecDeque<u64>,
    from: HashMap<Partition, i64>,
}

impl Noted {
    /// Room for `limit` notes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            hasher: RandomState::new(),
            by_event: HashMap::new(),
            order: VecDeque::new(),
            from: HashMap::new(),
        }
    }

    /// From now on everything at `offset` and later is noted.
    pub fn begin(&mut self, partition: Partition, offset: i64) {
        self.from.insert(partition, offset);
    }

    /// The offset from which on the notes of a partition are complete; `None`: nobody notes them.
    pub fn complete_from(&self, partition: Partition) -> Option<i64> {
        self.from.get(&partition).copied()
    }

    /// Notes a result of this event. A copy of it is not noted again; a result after a failure
    /// takes its place, for a dead letter was replayed.
    pub fn note(&mut self, event_id: &str, place: Place) {
        let event = self.hash(event_id, place.partition);
        if let Some(known) = self.by_event.get_mut(&event) {
            if known.failed {
                *known = place;
            }
            return;
        }
        self.by_event.insert(event, place);
        self.order.push_back(event);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
            && let Some(place) = self.by_event.remove(&oldest)
        {
            let from = self.from.entry(place.partition).or_default();
            *from = place.offset.saturating_add(1).max(*from);
        }
    }

    /// Where the result of this event is, if that is noted.
    pub fn find(&self, event_id: &str, partition: Partition) -> Option<Place> {
        self.by_event.get(&self.hash(event_id, partition)).copied()
    }

    /// Adds what was found in `from..to`; kept only if it reaches what is noted and has room.
    pub fn extend(
        &mut self,
        partition: Partition,
        (from, to): (i64, i64),
        found: &[(String, Place)],
    ) {
        let reaches = self.complete_from(partition).is_some_and(|it| it <= to);
        if !reaches || self.order.len() + found.len() > self.limit {
            return;
        }
        for (event_id, place) in found.iter().rev() {
            let event = self.hash(event_id, partition);
            match self.by_event.get_mut(&event) {
                // The earlier one is the original, unless it is a failure.
                Some(known) if !place.failed => *known = *place,
                Some(_) => {}
                None => {
                    self.by_event.insert(event, *place);
                    self.order.push_front(event);
                }
            }
        }
        let complete = self.from.entry(partition).or_insert(from);
        *complete = from.min(*complete);
    }

    fn hash(&self, event_id: &str, partition: Partition) -> u64 {
        self.hasher.hash_one((event_id, partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = (1, 2);

    fn at(offset: i64) -> Place {
        Place {
            partition: P,
            offset,
            failed: false,
        }
    }

    #[test]
    fn a_result_replaces_a_failure() {
        let mut noted = Noted::new(9);
        let failed = |offset| Place {
            failed: true,
            ..at(offset)
        };
        noted.begin(P, 10);
        noted.note("a", failed(10));
        noted.note("a", at(11));
        noted.note("a", failed(12));
        assert_eq!(noted.find("a", P), Some(at(11)));
        noted.note("b", at(13));
        noted.extend(
            P,
            (5, 10),
            &[("b".into(), failed(6)), ("c".into(), failed(7))],
        );
        assert_eq!(noted.find("b", P), Some(at(13)));
        assert_eq!(noted.find("c", P), Some(failed(7)));
    }

    #[test]
    fn notes_are_complete_from_a_known_offset_on() {
        let mut noted = Noted::new(3);
        assert_eq!(noted.complete_from(P), None);
        noted.begin(P, 10);
        for (id, offset) in [("a", 10), ("b", 11), ("a", 12), ("c", 13)] {
            noted.note(id, at(offset));
        }
        assert_eq!(
            noted.find("a", P),
            Some(at(10)),
            "a copy is not the original"
        );
        assert_eq!(noted.find("a", (1, 3)), None, "another partition");
        assert_eq!(noted.complete_from(P), Some(10));
        noted.note("d", at(14));
        assert_eq!(noted.find("a", P), None, "the oldest has gone");
        assert_eq!(noted.complete_from(P), Some(11));
    }

    #[test]
    fn a_search_extends_them_backwards() {
        let mut noted = Noted::new(3);
        noted.begin(P, 10);
        noted.note("c", at(10));
        noted.extend(P, (5, 9), &[("x".into(), at(6))]);
        assert_eq!(noted.complete_from(P), Some(10), "a hole would be left");
        noted.extend(P, (5, 10), &[("a".into(), at(5)), ("b".into(), at(9))]);
        assert_eq!(noted.complete_from(P), Some(5));
        assert_eq!(noted.find("a", P), Some(at(5)));
        noted.extend(P, (0, 5), &[("z".into(), at(1))]);
        assert_eq!(noted.complete_from(P), Some(5), "there was no room");
        noted.note("d", at(11));
        assert_eq!(noted.find("a", P), None, "the oldest goes first");
        assert_eq!(noted.complete_from(P), Some(6));
    }
}
