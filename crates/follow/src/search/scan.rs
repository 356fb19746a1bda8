//! Some threads, each with a consumer of its own, read slices of partitions to their ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millstream_pipeline::record::{Record, each_header};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::SearchError;
use crate::found::Found;
use crate::wanted::Wanted;

/// No consumer group: nothing is committed. librdkafka wants a name all the same.
const GROUP: &str = "millstream-follow";
/// More hits than anybody looks at.
const MAX_HITS: usize = 20_000;
/// Bytes of hits that are kept in memory.
const MAX_HIT_BYTES: usize = 256 * 1024 * 1024;
/// How long a consumer waits for the next record before it asks itself whether there is one.
const POLL: Duration = Duration::from_millis(50);
/// How long nothing may come although something is left.
const SILENCE: Duration = Duration::from_secs(15);
/// Fewer records than this are read by one thread: a second one would take longer to connect.
const ALONE: i64 = 20_000;
/// What a broker sends of one partition at once. Where little of it is wanted, little is sent.
const FETCH_BYTES: &str = "1048576";

/// A part of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// The offset behind the last one.
    pub until: i64,
}

impl Slice {
    fn len(&self) -> i64 {
        self.until.saturating_sub(self.from).max(0)
    }
}

/// A record that is wanted.
#[derive(Debug, Clone)]
pub struct Hit {
    /// What its headers say.
    pub found: Found,
    /// Its bytes.
    pub record: Record,
}

/// What came of reading.
#[derive(Debug, Default)]
pub struct Scanned {
    /// What was wanted.
    pub hits: Vec<Hit>,
    /// Records that were looked at.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Hits that were passed over: there were too many.
    pub too_many: bool,
}

/// Reads; its consumers stay connected from one time to the next.
pub struct Scanner {
    config: ClientConfig,
    threads: usize,
    consumers: Vec<BaseConsumer>,
}

impl Scanner {
    /// With these client settings, and at most so many threads.
    pub fn new(mut config: ClientConfig, threads: usize) -> Self {
        config
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            // What is of no interest is not worth a checksum; TCP has its own.
            .set("check.crcs", "false")
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "1")
            .set("fetch.message.max.bytes", FETCH_BYTES)
            .set("fetch.max.bytes", "16777216")
            .set("queued.min.messages", "200000")
            .set("queued.max.messages.kbytes", "65536");
        Self {
            config,
            threads: threads.max(1),
            consumers: Vec::new(),
        }
    }

    /// A client to ask questions with.
    pub fn client(&mut self) -> Result<&BaseConsumer, KafkaError> {
        self.connect(1)?;
        Ok(&self.consumers[0])
    }

    fn connect(&mut self, count: usize) -> Result<(), KafkaError> {
        while self.consumers.len() < count {
            self.consumers.push(self.config.create()?);
        }
        Ok(())
    }

    /// Reads the slices to their ends; blocks.
    pub fn scan(
        &mut self,
        slices: &[Slice],
        wanted: &Wanted,
        stop: &CancellationToken,
    ) -> Result<Scanned, SearchError> {
        let total: i64 = slices.iter().map(Slice::len).sum();
        let threads = if total < ALONE { 1 } else { self.threads };
        let shares = shares(slices, threads);
        self.connect(shares.len())?;
        let kept = Kept::default();
        let results: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = shares
                .iter()
                .zip(&self.consumers)
                .map(|(share, consumer)| scope.spawn(|| read(consumer, share, wanted, &kept, stop)))
                .collect();
            let gone = |_| Err(SearchError::GivenUp);
            readers
                .into_iter()
                .map(|it| it.join().unwrap_or_else(gone))
                .collect()
        });
        let mut all = Scanned::default();
        for result in results {
            match result {
                Ok(scanned) => {
                    all.hits.extend(scanned.hits);
                    all.records += scanned.records;
                    all.bytes += scanned.bytes;
                    all.too_many |= scanned.too_many;
                }
                Err(error) => {
                    // One that fell silent may never speak again.
                    self.consumers.clear();
                    return Err(error);
                }
            }
        }
        Ok(all)
    }
}

/// What all threads keep together.
#[derive(Default)]
struct Kept {
    hits: AtomicUsize,
    bytes: AtomicUsize,
}

/// Slices that are not empty, spread so that each share has about as much to read.
fn shares(slices: &[Slice], count: usize) -> Vec<Vec<Slice>> {
    let mut sorted: Vec<&Slice> = slices.iter().filter(|slice| slice.len() > 0).collect();
    sorted.sort_by_key(|slice| std::cmp::Reverse(slice.len()));
    let mut shares: Vec<(i64, Vec<Slice>)> = vec![(0, Vec::new()); count.max(1)];
    for slice in sorted {
        if let Some(least) = shares.iter_mut().min_by_key(|(records, _)| *records) {
            least.0 += slice.len();
            least.1.push(slice.clone());
        }
    }
    let shares = shares.into_iter().map(|(_, slices)| slices);
    shares.filter(|slices| !slices.is_empty()).collect()
}

/// What is left of a share.
struct Left {
    /// By partition, since an end that is told names no topic: topics with the offset behind their last record.
    open: HashMap<i32, Vec<(String, i64)>>,
    count: usize,
    last: Option<(String, i32, i64)>,
    /// How many ends were told of a partition number, of slices that are open.
    ended: HashMap<i32, usize>,
}

impl Left {
    fn of(share: &[Slice]) -> Self {
        let mut left = Self {
            open: HashMap::new(),
            count: share.len(),
            last: None,
            ended: HashMap::new(),
        };
        for slice in share {
            let open = left.open.entry(slice.partition).or_default();
            open.push((slice.topic.clone(), slice.until));
        }
        left
    }

    /// The offset behind the last one of a slice; `None`: it is done. Records of a partition come in
    /// runs, so the last answer is mostly the next one.
    fn until(&mut self, topic: &str, partition: i32) -> Option<i64> {
        if let Some((name, number, until)) = &self.last
            && *number == partition
            && name == topic
        {
            return Some(*until);
        }
        let open = self.open.get(&partition)?;
        let (name, until) = open.iter().find(|(name, _)| name == topic)?;
        self.last = Some((name.clone(), partition, *until));
        Some(*until)
    }

    /// Takes away a slice; false if it was away already.
    fn done(&mut self, topic: &str, partition: i32) -> bool {
        let Some(open) = self.open.get_mut(&partition) else {
            return false;
        };
        let before = open.len();
        open.retain(|(name, _)| name != topic);
        self.last = None;
        self.count -= before - open.len();
        before != open.len()
    }

    /// A record came that stands at the end of a slice, or behind it. Of one that ends so, no end is told;
    /// but where a mark was the last, it may have been told before a further record was written.
    fn passed(&mut self, topic: &str, partition: i32, is_last: bool) {
        if self.done(topic, partition)
            && !is_last
            && let Some(ended) = self.ended.get_mut(&partition)
        {
            *ended = ended.saturating_sub(1);
        }
    }

    /// An end was told: if it can only be that of one slice, which one.
    fn end(&mut self, partition: i32) -> Option<String> {
        match self.open.get(&partition).map(Vec::as_slice) {
            Some([(only, _)]) => Some(only.clone()),
            _ => {
                *self.ended.entry(partition).or_default() += 1;
                None
            }
        }
    }

    /// Whether the ends of all slices that are left were told: what is missing are marks of transactions.
    fn only_marks_are_left(&self) -> bool {
        let mut open = self.open.iter().filter(|(_, open)| !open.is_empty());
        open.all(|(partition, open)| {
            let ended = self.ended.get(partition);
            ended.is_some_and(|ended| *ended >= open.len())
        })
    }
}

fn read(
    consumer: &BaseConsumer,
    share: &[Slice],
    wanted: &Wanted,
    kept: &Kept,
    stop: &CancellationToken,
) -> Result<Scanned, SearchError> {
    let mut assignment = TopicPartitionList::new();
    for slice in share {
        let from = Offset::Offset(slice.from);
        assignment.add_partition_offset(&slice.topic, slice.partition, from)?;
    }
    consumer.assign(&assignment)?;
    let mut left = Left::of(share);
    let mut scanned = Scanned::default();
    let mut heard = Instant::now();
    while left.count > 0 {
        if stop.is_cancelled() {
            return Err(SearchError::GivenUp);
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (topic, partition) = (message.topic(), message.partition());
                // What was fetched of a slice that is done is nobody's.
                let Some(until) = left.until(topic, partition) else {
                    continue;
                };
                if message.offset() < until {
                    take(&message, &mut scanned, wanted, kept);
                }
                if message.offset() + 1 >= until {
                    left.passed(topic, partition, message.offset() < until);
                    leave(consumer, topic, partition)?;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                if let Some(topic) = left.end(partition) {
                    left.done(&topic, partition);
                    leave(consumer, &topic, partition)?;
                }
            }
            Some(Err(error)) if is_final(&error) => return Err(error.into()),
            // It passes, or it is about the group that nobody joins.
            Some(Err(_)) => {}
            None if left.only_marks_are_left() => break,
            None => {}
        }
        if heard.elapsed() > SILENCE {
            return Err(silent(share, &mut left));
        }
    }
    consumer.unassign()?;
    Ok(scanned)
}

fn take(message: &BorrowedMessage<'_>, scanned: &mut Scanned, wanted: &Wanted, kept: &Kept) {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let size = length(message.key()) + length(message.payload());
    scanned.records += 1;
    scanned.bytes += size as u64;
    if !wanted.takes(message) {
        return;
    }
    let hits = kept.hits.fetch_add(1, Ordering::Relaxed);
    let of_headers: usize = message.headers().map_or(0, |headers| {
        each_header(headers)
            .map(|it| it.key.len() + length(it.value))
            .sum()
    });
    let bytes = kept.bytes.fetch_add(size + of_headers, Ordering::Relaxed);
    if hits >= MAX_HITS || bytes >= MAX_HIT_BYTES {
        scanned.too_many = true;
        return;
    }
    let record = Record::copy_of(message);
    let time = message.timestamp().to_millis().unwrap_or(0);
    scanned.hits.push(Hit {
        found: Found::of(&record, message.partition(), message.offset(), time),
        record,
    });
}

fn leave(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(), KafkaError> {
    let mut one = TopicPartitionList::new();
    one.add_partition(topic, partition);
    consumer.incremental_unassign(&one)
}

fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Authentication, TopicAuthorizationFailed, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(Authentication | TopicAuthorizationFailed | UnknownTopicOrPartition)
    )
}

fn silent(share: &[Slice], left: &mut Left) -> SearchError {
    let mut slices = share.iter();
    match slices.find(|slice| left.until(&slice.topic, slice.partition).is_some()) {
        Some(slice) => SearchError::Silent {
            topic: slice.topic.clone(),
            partition: slice.partition,
            left: slice.len(),
        },
        None => SearchError::GivenUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(topic: &str, partition: i32, records: i64) -> Slice {
        Slice {
            topic: topic.into(),
            partition,
            from: 10,
            until: 10 + records,
        }
    }

    #[test]
    fn what_is_to_be_read_is_shared_out_evenly_and_what_is_empty_to_nobody() {
        let slices = [
            slice("a", 0, 100),
            slice("a", 1, 0),
            slice("b", 0, 60),
            slice("b", 1, 50),
        ];
        let shares = shares(&slices, 2);
        let sums: Vec<i64> = shares
            .iter()
            .map(|it| it.iter().map(Slice::len).sum())
            .collect();
        assert_eq!(sums, [100, 110]);
        assert!(super::shares(&slices[1..2], 2).is_empty());
    }

    #[test]
    fn an_end_without_a_name_is_believed_when_it_can_only_be_one_or_all() {
        let mut left = Left::of(&[slice("a", 0, 5), slice("b", 0, 5), slice("a", 1, 5)]);
        assert_eq!(left.end(1), Some("a".into()));
        assert!(left.done("a", 1) && !left.done("a", 1));
        assert_eq!(left.end(0), None);
        assert!(!left.only_marks_are_left());
        assert_eq!(left.end(0), None);
        assert!(left.only_marks_are_left());
        assert_eq!(
            (left.until("a", 0), left.until("a", 0)),
            (Some(15), Some(15))
        );
        assert_eq!(left.until("a", 1), None, "it is done");
    }

    #[test]
    fn a_slice_that_ends_with_its_last_record_has_no_end_that_is_told() {
        let slices = [slice("a", 0, 5), slice("b", 0, 5)];
        let mut left = Left::of(&slices);
        assert_eq!(left.end(0), None);
        left.passed("b", 0, true);
        assert!(left.only_marks_are_left());

        let mut left = Left::of(&slices);
        assert_eq!(left.end(0), None);
        left.passed("a", 0, false);
        assert!(!left.only_marks_are_left(), "the end may be that of a");
        assert_eq!(left.end(0), Some("b".into()));
    }
}
