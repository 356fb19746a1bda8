//! What was sent and what came back, per key: the results of a key are 1, 2, 3 and so on.

use anyhow::{Context, ensure};

/// Steps from key to key; a prime, so that every key comes once before any comes again.
const STRIDE: u64 = 2_654_435_761;

/// The keys of one side, with the last number sent and the last count seen of each.
#[derive(Debug, Clone)]
pub struct Counts {
    prefix: String,
    sent: Vec<i64>,
    seen: Vec<i64>,
    next: u64,
}

impl Counts {
    /// So many keys; the prefix keeps them apart from those of others.
    pub fn new(prefix: &str, keys: usize) -> Self {
        Self {
            prefix: prefix.to_owned(),
            sent: vec![0; keys],
            seen: vec![0; keys],
            next: 0,
        }
    }

    /// The key of the next command, and the command's number among that key's.
    pub fn next(&mut self) -> (usize, i64) {
        let key = (self.next.wrapping_mul(STRIDE) % self.sent.len() as u64) as usize;
        self.next += 1;
        self.sent[key] += 1;
        (key, self.sent[key])
    }

    /// A key as it stands in records.
    pub fn key(&self, key: usize) -> String {
        format!("{}-{key}", self.prefix)
    }

    /// Takes over what another, made from this one, has seen since.
    pub fn saw(&mut self, other: Self) {
        self.seen = other.seen;
    }

    /// Takes a result; `None` when it came before. Fails on one that nobody can have made.
    pub fn take(&mut self, key: &[u8], count: i64) -> anyhow::Result<Option<usize>> {
        let text = std::str::from_utf8(key).unwrap_or_default();
        let index = text
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_prefix('-')?.parse::<usize>().ok())
            .filter(|index| *index < self.seen.len())
            .with_context(|| format!("a result has the key {text:?}, which no command has"))?;
        let seen = &mut self.seen[index];
        if (1..=*seen).contains(&count) {
            return Ok(None);
        }
        ensure!(
            count == *seen + 1,
            "after {seen} of key {text} came {count}: the count is not right"
        );
        *seen = count;
        Ok(Some(index))
    }
}

/// The first field of a record's body, a long. Source: Avro 1.12, "Binary encoding": zig-zag, seven
/// bits a byte, the low ones first.
pub fn first_long(value: &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for (at, byte) in value.get(5..)?.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_once_before_any_comes_again() {
        let mut counts = Counts::new("k", 1000);
        for round in 1..=3 {
            let mut keys: Vec<_> = (0..1000).map(|_| counts.next()).collect();
            assert!(keys.iter().all(|(_, number)| *number == round));
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), 1000);
        }
    }

    #[test]
    fn a_gap_is_an_error_and_a_copy_is_none() {
        let mut counts = Counts::new("k", 2);
        assert_eq!(counts.take(b"k-1", 1).unwrap(), Some(1));
        assert_eq!(counts.take(b"k-1", 1).unwrap(), None);
        assert_eq!(counts.take(b"k-1", 2).unwrap(), Some(1));
        assert!(counts.take(b"k-1", 4).is_err());
        assert!(counts.take(b"k-0", 0).is_err());
        assert!(counts.take(b"k-2", 1).is_err());
        assert!(counts.take(b"other-1", 1).is_err());
    }

    #[test]
    fn longs_are_read_as_avro_writes_them() {
        let value = |bytes: &[u8]| [&[0, 0, 0, 0, 1], bytes].concat();
        for (bytes, number) in [
            (&[0x00][..], 0),
            (&[0x01], -1),
            (&[0x02], 1),
            (&[0x80, 0x01], 64),
        ] {
            assert_eq!(first_long(&value(bytes)), Some(number));
        }
        assert_eq!(first_long(&value(&[])), None);
        assert_eq!(first_long(&value(&[0x80])), None);
    }
}
