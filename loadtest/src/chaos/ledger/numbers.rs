//! A set of numbers from 1 that is mostly without holes: kept as how far it is whole, and the rest.

use std::collections::BTreeSet;

/// The set.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    through: i64,
    beyond: BTreeSet<i64>,
}

impl Numbers {
    /// Puts `number` in; false when it is in.
    pub fn insert(&mut self, number: i64) -> bool {
        if number <= self.through || !self.beyond.insert(number) {
            return false;
        }
        while self.beyond.remove(&(self.through + 1)) {
            self.through += 1;
        }
        true
    }

    /// Whether `number` is in.
    pub fn contains(&self, number: i64) -> bool {
        (1..=self.through).contains(&number) || self.beyond.contains(&number)
    }

    /// The numbers of this set that `other` lacks.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = i64> + 'a {
        (other.through + 1..=self.through)
            .chain(self.beyond.iter().copied())
            .filter(|number| !other.contains(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(inserted: Vec<u8>, others: Vec<u8>) {
            let numbers = |from: &[u8]| {
                let (mut set, mut plain) = (Numbers::default(), BTreeSet::new());
                for number in from.iter().map(|byte| i64::from(*byte % 40) + 1) {
                    assert_eq!(set.insert(number), plain.insert(number));
                }
                (set, plain)
            };
            let ((set, plain), (other, plain_other)) = (numbers(&inserted), numbers(&others));
            for number in 0..50 {
                prop_assert_eq!(set.contains(number), plain.contains(&number));
            }
            prop_assert_eq!(set.without(&other).collect::<BTreeSet<_>>(), &plain - &plain_other);
        }
    }
}
