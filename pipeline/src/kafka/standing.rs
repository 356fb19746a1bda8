//! Which partitions stand still: records wait, and nobody takes the next one. Pure.

use std::collections::HashMap;

/// A partition of a topic.
pub type Place = (String, i32);

/// How far a reader is in a partition, and where that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which.
    pub place: Place,
    /// The offset that is read next.
    pub next: i64,
    /// The offset of the record to come.
    pub end: i64,
}

/// What was seen at earlier looks. Looks are counted and not seconds: a process that stood still
/// itself has not looked meanwhile.
#[derive(Debug, Default)]
pub struct Standing {
    seen: HashMap<Place, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    next: i64,
    looks: u32,
    /// Up to here nothing is to be read.
    empty_to: i64,
}

impl Standing {
    /// Looks once more. Those that have stood still for `patience` looks after the one that first saw
    /// them so, longest first.
    pub fn look(&mut self, positions: &[Position], patience: u32) -> Vec<Position> {
        let mut seen = HashMap::new();
        let mut standing = Vec::new();
        for position in positions {
            let before = self.seen.get(&position.place).copied();
            let before = before.filter(|before| before.next == position.next);
            let mut now = before.unwrap_or(Seen {
                next: position.next,
                looks: 0,
                empty_to: position.next,
            });
            if position.end <= now.empty_to {
                now.looks = 0;
            } else if before.is_some() {
                now.looks += 1;
                if now.looks >= patience {
                    standing.push((now.looks, position.clone()));
                }
            }
            seen.insert(position.place.clone(), now);
        }
        self.seen = seen;
        standing.sort_by_key(|(looks, _)| std::cmp::Reverse(*looks));
        standing.into_iter().map(|(_, position)| position).collect()
    }

    /// There is nothing to be read up to the end of this position.
    pub fn is_empty(&mut self, position: &Position) {
        if let Some(seen) = self.seen.get_mut(&position.place) {
            (seen.empty_to, seen.looks) = (position.end, 0);
        }
    }

    /// Whoever reads was busy with something else: nothing that was seen counts.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(next: i64, end: i64) -> Vec<Position> {
        let place = ("t".to_owned(), 0);
        vec![Position { place, next, end }]
    }

    #[test]
    fn who_takes_nothing_of_what_waits_stands_still() {
        let mut standing = Standing::default();
        assert!(standing.look(&at(5, 9), 2).is_empty());
        assert!(standing.look(&at(5, 9), 2).is_empty());
        assert_eq!(standing.look(&at(5, 12), 2), at(5, 12));
        assert!(standing.look(&at(6, 12), 2).is_empty(), "it moves");
    }

    #[test]
    fn one_partition_that_stands_is_told_from_others_that_move() {
        let mut standing = Standing::default();
        let both = |other| {
            let other = Position {
                place: ("t".to_owned(), 1),
                next: other,
                end: 1000,
            };
            [at(5, 9), vec![other]].concat()
        };
        for other in 0..2 {
            assert!(standing.look(&both(other), 2).is_empty());
        }
        assert_eq!(standing.look(&both(2), 2), at(5, 9));
    }

    #[test]
    fn an_offset_without_a_record_does_not_wait() {
        let mut standing = Standing::default();
        for _ in 0..3 {
            standing.look(&at(5, 6), 2);
        }
        standing.is_empty(&at(5, 6)[0]);
        for _ in 0..5 {
            assert!(standing.look(&at(5, 6), 2).is_empty());
        }
        standing.look(&at(5, 7), 2);
        assert_eq!(standing.look(&at(5, 7), 2), at(5, 7), "one more does");
    }

    #[test]
    fn what_was_seen_while_the_reader_was_busy_does_not_count() {
        let mut standing = Standing::default();
        for _ in 0..20 {
            standing.forget();
            assert!(standing.look(&at(5, 6), 1).is_empty());
        }
    }

    proptest! {
        #[test]
        fn a_reader_that_moves_or_has_nothing_to_read_never_stands(
            steps in proptest::collection::vec((0_i64..3, 0_i64..3), 1..60)
        ) {
            let (mut next, mut end) = (0, 0);
            let mut standing = Standing::default();
            for (read, written) in steps {
                end += written;
                // It reads at least one if there is any.
                next = (next + read.max(1)).min(end);
                prop_assert!(standing.look(&at(next, end), 1).is_empty());
            }
        }
    }
}
