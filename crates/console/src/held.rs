//! What is held for a page while it is put together: more records are read than are shown, and only
//! those that are shown need their values.

use std::collections::BTreeMap;

use millstream_pipeline::kafka::reader::Seen;
use rdkafka::message::{Headers, Message};

/// Bytes of values that are held at once for a page: more is read than is shown.
const MAX_HELD: usize = 32 * 1024 * 1024;

/// A record of a page.
#[derive(Debug)]
pub struct Found {
    /// The record.
    pub seen: Seen,
    /// Bytes of its value.
    pub size: usize,
}

impl Found {
    /// With its value, unless that has more bytes than this.
    pub fn of(message: &impl Message<Headers: Headers>, limit: usize) -> Self {
        let size = message.payload().map_or(0, <[u8]>::len);
        let mut found = Self {
            seen: Seen::of(message),
            size,
        };
        if size > limit {
            found.leave_value_out();
        }
        found
    }

    fn leave_value_out(&mut self) {
        if self.seen.value.take().is_some() {
            self.seen.undecodable = Some(format!(
                "its {} bytes are too many for a list; open the record to see them",
                self.size
            ));
        }
    }
}

/// Records that a page is chosen from.
pub struct Held {
    /// In no order.
    pub records: Vec<Found>,
    /// Bytes of their values.
    bytes: usize,
    /// How many of them are shown.
    limit: usize,
    /// Which: the newest, or the oldest.
    is_newest: bool,
}

impl Held {
    /// Of which so many of the newest or of the oldest are shown.
    pub fn new(limit: usize, is_newest: bool) -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            limit,
            is_newest,
        }
    }

    /// One more.
    pub fn add(&mut self, found: Found) {
        self.bytes += found.seen.value.as_ref().map_or(0, Vec::len);
        self.records.push(found);
        if self.bytes > MAX_HELD {
            self.make_room();
        }
    }

    /// Keeps the values of those alone that are shown as it stands: far less than is held at most.
    fn make_room(&mut self) {
        let (mut shown, mut left) = self.take();
        left.iter_mut().for_each(Found::leave_value_out);
        let values = shown.iter().filter_map(|it| it.seen.value.as_ref());
        self.bytes = values.map(Vec::len).sum();
        shown.append(&mut left);
        self.records = shown;
    }

    /// Those that are shown, in the order of the page, and the others.
    pub fn take(&mut self) -> (Vec<Found>, Vec<Found>) {
        let mut records = std::mem::take(&mut self.records);
        if self.is_newest {
            return newest(records, self.limit);
        }
        records.sort_by_key(|it| (it.seen.timestamp, it.seen.partition, it.seen.offset));
        let left = records.split_off(records.len().min(self.limit));
        (records, left)
    }
}

/// So many of the newest, and the others. Producers make the times: within a partition the offsets say
/// what is newer.
pub fn newest(mut records: Vec<Found>, limit: usize) -> (Vec<Found>, Vec<Found>) {
    records.sort_by_key(|it| it.seen.offset);
    let mut partitions: BTreeMap<i32, Vec<Found>> = BTreeMap::new();
    for found in records {
        let partition = partitions.entry(found.seen.partition).or_default();
        partition.push(found);
    }
    let mut shown = Vec::new();
    while shown.len() < limit {
        let last = |records: &Vec<Found>| records.last().map(|it| it.seen.timestamp);
        let next = partitions.values_mut().max_by_key(|it| last(it));
        match next.and_then(Vec::pop) {
            Some(found) => shown.push(found),
            None => break,
        }
    }
    (shown, partitions.into_values().flatten().collect())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A record without anything in it.
    pub fn found(partition: i32, offset: i64, timestamp: i64) -> Found {
        Found {
            seen: Seen {
                topic: "t".into(),
                partition,
                offset,
                timestamp,
                key: None,
                full_name: None,
                meta: None,
                data: None,
                undecodable: None,
                headers: BTreeMap::new(),
                value: None,
                raw_key: None,
                raw_headers: Vec::new(),
            },
            size: 0,
        }
    }

    #[test]
    fn only_what_is_shown_keeps_its_value() {
        let large = |offset| {
            let mut found = found(0, offset, offset);
            found.size = MAX_HELD / 2;
            found.seen.value = Some(vec![0; found.size]);
            found
        };
        for (is_newest, kept) in [(true, 3), (false, 1)] {
            let mut held = Held::new(1, is_newest);
            for offset in 1..=3 {
                held.add(large(offset));
            }
            assert!(held.bytes <= MAX_HELD);
            let (shown, left) = held.take();
            let offsets: Vec<i64> = shown.iter().map(|it| it.seen.offset).collect();
            assert_eq!(offsets, [kept]);
            assert!(shown.iter().all(|it| it.seen.value.is_some()));
            assert_eq!(left.len(), 2);
            let told = |it: &&Found| it.seen.value.is_none() && it.seen.undecodable.is_some();
            assert_eq!(left.iter().filter(told).count(), 2);
        }
    }
}
