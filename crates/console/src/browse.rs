//! Looking at a topic from outside, a page at a time: the newest records first, or from an offset or a
//! time on, all of them or those of a key. Nothing is committed, and no page is larger than a browser
//! can show: large values are left out and are read one by one. What [gives somebody a
//! right](millstream_follow::hidden) is taken out of every record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_follow::Roles;
use millstream_follow::hidden::Parts;
use millstream_pipeline::events::Declaration;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::OwnedSemaphorePermit;

pub use crate::held::Found;
use crate::held::Held;
use millstream_pipeline::codec::{Codec, RegistryError};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_pipeline::kafka::{Ends, offsets};

/// Most records of a page.
pub const MAX_PAGE: usize = 200;
/// Records that a search for a key looks at before it hands over what it has.
const MAX_SEARCHED: i64 = 50_000;
/// Larger values are not held for a page.
const MAX_VALUE: usize = 64 * 1024;
/// How long a broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads topics by pages.
pub struct Browser {
    codec: Codec,
    kafka: ClientConfig,
    roles: Arc<Roles>,
}

/// A turn to read. It goes along with what reads: a thread goes on when nobody waits for it any more.
#[derive(Debug)]
pub struct Turn {
    until: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Reading ends at this time, done or not.
    pub fn new(until: Instant, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            until,
            _permit: permit,
        }
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        Instant::now() > self.until
    }
}

/// What a page begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The newest records come first.
    Newest,
    /// The newest of those that stand before these offsets, by partition, come first.
    Before(BTreeMap<i32, i64>),
    /// The records from this offset of a partition on, or the first that is still there.
    Offset(i64),
    /// The records of this time, in milliseconds since 1970-01-01 UTC, and later.
    Time(i64),
}

/// Which records.
#[derive(Debug, Clone)]
pub struct Query {
    /// Only of this partition.
    pub partition: Option<i32>,
    /// Only of this key.
    pub key: Option<String>,
    /// Where to begin.
    pub place: Place,
    /// How many at most.
    pub limit: usize,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its records. Those that are too large for a page have no value, and [`Found::size`] says so.
    pub records: Vec<Found>,
    /// Each partition that was looked at: partition, first offset, next offset.
    pub bounds: Vec<(i32, i64, i64)>,
    /// How many offsets were gone through.
    pub searched: i64,
    /// Where the page with older records begins; `None`: there are none.
    pub older: Option<BTreeMap<i32, i64>>,
}

impl Browser {
    /// Of the topics of this installation.
    pub fn new(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        roles: Arc<Roles>,
    ) -> Result<Self, RegistryError> {
        let mut kafka = kafka::client(&endpoints.kafka);
        kafka
            .set("group.id", "millstream-console")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.queue.backoff.ms", "5");
        Ok(Self {
            codec: Codec::new(&endpoints.schema_registry, declarations)?,
            kafka,
            roles,
        })
    }

    /// Those of these topics that hold records: opening one takes far longer than reading what is mostly
    /// nothing.
    pub async fn filled(&self, topics: Vec<String>) -> Result<Vec<String>, KafkaError> {
        let config = self.kafka.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<Ends> = config.create_with_context(Ends)?;
            let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
            let mut list = TopicPartitionList::new();
            let there = metadata.topics().iter();
            for topic in there.filter(|it| topics.iter().any(|name| name == it.name())) {
                for partition in topic.partitions() {
                    list.add_partition(topic.name(), partition.id());
                }
            }
            let bounds = offsets::bounds(&consumer, &list, TIMEOUT)?;
            let mut filled: Vec<String> = Vec::new();
            for (element, (_, begin, end)) in list.elements().into_iter().zip(bounds) {
                if begin < end && filled.last().is_none_or(|it| it != element.topic()) {
                    filled.push(element.topic().to_owned());
                }
            }
            Ok(filled)
        });
        asked.await.map_err(|_| KafkaError::Canceled)?
    }

    /// A page of a topic; `None`: it is not there.
    pub async fn page(
        &self,
        topic: &str,
        query: Query,
        turn: Turn,
    ) -> Result<Option<Page>, KafkaError> {
        let (config, name) = (self.kafka.clone(), topic.to_owned());
        let read = tokio::task::spawn_blocking(move || read(&config, &name, &query, &turn));
        let page = offsets::of_known(read.await.map_err(|_| KafkaError::Canceled)?)?;
        let Some(mut page) = page else {
            return Ok(None);
        };
        for found in &mut page.records {
            if found.seen.undecodable.is_none() {
                found.seen.decode(&self.codec).await;
            }
            hide(&mut found.seen, &self.roles);
        }
        Ok(Some(page))
    }

    /// The record at an offset; `None`: there is none.
    pub async fn record(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        turn: Turn,
    ) -> Result<Option<Found>, KafkaError> {
        let (config, name) = (self.kafka.clone(), topic.to_owned());
        let read =
            tokio::task::spawn_blocking(move || one(&config, &name, (partition, offset), &turn));
        let found = offsets::of_known(read.await.map_err(|_| KafkaError::Canceled)?)?;
        let Some(mut found) = found.flatten() else {
            return Ok(None);
        };
        found.seen.decode(&self.codec).await;
        hide(&mut found.seen, &self.roles);
        Ok(Some(found))
    }

    /// A reader of what comes from now on, for [`Self::next`].
    pub async fn tail(&self, topic: &str) -> Result<Reader, KafkaError> {
        Reader::new(self.kafka.clone(), &[topic.to_owned()], From::End).await
    }

    /// The next record of a reader.
    pub async fn next(&self, reader: &mut Reader) -> Result<Seen, KafkaError> {
        loop {
            if let Next::Record(mut seen) = reader.next(&self.codec).await? {
                hide(&mut seen, &self.roles);
                return Ok(*seen);
            }
        }
    }
}

fn hide(seen: &mut Seen, roles: &Roles) {
    let parts = Parts {
        topic: &seen.topic,
        full_name: seen.full_name.as_deref(),
        key: &mut seen.key,
        raw_key: &mut seen.raw_key,
        value: &mut seen.value,
        meta: &mut seen.meta,
        data: &mut seen.data,
    };
    parts.hide(roles);
}

/// The offsets to go through, by partition: from the first to before the second.
type Windows = BTreeMap<i32, (i64, i64)>;

fn one(
    config: &ClientConfig,
    topic: &str,
    (partition, offset): (i32, i64),
    turn: &Turn,
) -> Result<Option<Found>, KafkaError> {
    let consumer: BaseConsumer<Ends> = config.create_with_context(Ends)?;
    let all = offsets::partitions(&consumer, topic, TIMEOUT)?;
    if all.find_partition(topic, partition).is_none() {
        return Ok(None);
    }
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let bounds = offsets::bounds(&consumer, &list, TIMEOUT)?;
    // Kafka shows another record in place of one that is not there.
    if !bounds.iter().any(|it| (it.1..it.2).contains(&offset)) {
        return Ok(None);
    }
    let windows = BTreeMap::from([(partition, (offset, offset.saturating_add(1)))]);
    let mut found = None;
    collect(&consumer, topic, &windows, turn, |message| {
        if message.offset() == offset {
            found = Some(Found::of(message, usize::MAX));
        }
    })?;
    Ok(found)
}

fn read(
    config: &ClientConfig,
    topic: &str,
    query: &Query,
    turn: &Turn,
) -> Result<Page, KafkaError> {
    let consumer: BaseConsumer<Ends> = config.create_with_context(Ends)?;
    let mut list = offsets::partitions(&consumer, topic, TIMEOUT)?;
    if let Some(partition) = query.partition {
        let mut one = TopicPartitionList::new();
        if list.find_partition(topic, partition).is_some() {
            one.add_partition(topic, partition);
        }
        list = one;
    }
    let bounds = offsets::bounds(&consumer, &list, TIMEOUT)?;
    let limit = query.limit.clamp(1, MAX_PAGE);
    let wanted = query.key.as_deref().map(str::as_bytes);
    let is_wanted = |key: Option<&[u8]>| wanted.is_none() || key == wanted;
    let mut searched = 0;
    let from = match &query.place {
        Place::Newest | Place::Before(_) => None,
        Place::Offset(offset) => Some(bounds.iter().map(|it| (it.0, *offset)).collect()),
        Place::Time(time) => Some(at_time(&consumer, topic, &list, *time)?),
    };
    if let Some(from) = from {
        let mut held = Held::new(limit, false);
        let mut windows = after(&bounds, &from, step(query, limit));
        while held.records.len() < limit && !windows.is_empty() && searched < MAX_SEARCHED {
            searched += width(&windows);
            collect(&consumer, topic, &windows, turn, |message| {
                if is_wanted(message.key()) {
                    held.add(Found::of(message, MAX_VALUE));
                }
            })?;
            let next = windows.iter().map(|(it, (_, end))| (*it, *end)).collect();
            windows = after(&bounds, &next, step(query, limit));
        }
        return Ok(Page {
            records: held.take().0,
            bounds,
            searched,
            older: None,
        });
    }
    let mut to: BTreeMap<i32, i64> = bounds.iter().map(|it| (it.0, it.2)).collect();
    if let Place::Before(before) = &query.place {
        for (partition, offset) in before {
            if let Some(to) = to.get_mut(partition) {
                *to = (*to).min(*offset);
            }
        }
    }
    let mut held = Held::new(limit, true);
    loop {
        let windows = before(&bounds, &to, step(query, limit));
        if windows.is_empty() || held.records.len() >= limit || searched >= MAX_SEARCHED {
            break;
        }
        searched += width(&windows);
        collect(&consumer, topic, &windows, turn, |message| {
            if is_wanted(message.key()) {
                held.add(Found::of(message, MAX_VALUE));
            }
        })?;
        for (partition, (begin, _)) in windows {
            to.insert(partition, begin);
        }
    }
    let (records, left) = held.take();
    let older = cursor(&bounds, &to, &left);
    Ok(Page {
        records,
        bounds,
        searched,
        older,
    })
}

/// How many offsets of each partition are gone through at once.
fn step(query: &Query, limit: usize) -> i64 {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match query.key {
        Some(_) => limit.max(5_000),
        None => limit,
    }
}

fn width(windows: &Windows) -> i64 {
    windows.values().map(|(begin, end)| end - begin).sum()
}

/// The windows that end before these offsets.
fn before(bounds: &[(i32, i64, i64)], to: &BTreeMap<i32, i64>, step: i64) -> Windows {
    let windows = bounds.iter().filter_map(|(partition, begin, end)| {
        let end = to.get(partition).copied().unwrap_or(*end);
        let from = end.saturating_sub(step).max(*begin);
        (from < end).then_some((*partition, (from, end)))
    });
    windows.collect()
}

/// The windows that begin at these offsets.
fn after(bounds: &[(i32, i64, i64)], from: &BTreeMap<i32, i64>, step: i64) -> Windows {
    let windows = bounds.iter().filter_map(|(partition, begin, end)| {
        let from = from.get(partition).copied()?.max(*begin);
        let to = from.saturating_add(step).min(*end);
        (from < to).then_some((*partition, (from, to)))
    });
    windows.collect()
}

/// Where the next page begins: in each partition with the newest record that was read and is not on
/// this one, or before what was gone through.
fn cursor(
    bounds: &[(i32, i64, i64)],
    read_to: &BTreeMap<i32, i64>,
    left: &[Found],
) -> Option<BTreeMap<i32, i64>> {
    let mut older = read_to.clone();
    for found in left {
        let offset = older.entry(found.seen.partition).or_default();
        *offset = (*offset).max(found.seen.offset.saturating_add(1));
    }
    let is_more = |(partition, begin, _): &(i32, i64, i64)| {
        older.get(partition).is_some_and(|offset| offset > begin)
    };
    bounds.iter().any(is_more).then_some(older)
}

/// The first offset of each partition whose record has this time or a later one.
fn at_time(
    consumer: &BaseConsumer<Ends>,
    topic: &str,
    list: &TopicPartitionList,
    time: i64,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for element in list.elements() {
        asked.add_partition_offset(topic, element.partition(), Offset::Offset(time.max(0)))?;
    }
    if asked.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let found = consumer.offsets_for_times(asked, TIMEOUT)?;
    let found = found.elements().into_iter();
    Ok(found
        .filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            // Nothing is that young.
            _ => None,
        })
        .collect())
}

/// Hands over what stands in these windows, in the order of each partition.
fn collect(
    consumer: &BaseConsumer<Ends>,
    topic: &str,
    windows: &Windows,
    turn: &Turn,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), KafkaError> {
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for (partition, (begin, end)) in windows {
        list.add_partition_offset(topic, *partition, Offset::Offset(*begin))?;
        open.insert(*partition, *end);
    }
    // The windows before have paused them, and stay so through `assign`. Before it, and not after: the
    // client drops the start of a partition that a resumption overtakes. In a list of its own: the client
    // notes in it which partitions it has not met yet.
    let paused = list.clone();
    consumer.resume(&paused)?;
    consumer.assign(&list)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        if heard.elapsed() > TIMEOUT || turn.is_over() {
            return Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::OperationTimedOut,
            ));
        }
        let done = match consumer.poll(Duration::from_millis(100)) {
            None => continue,
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                let Some(end) = open.get(&partition) else {
                    continue;
                };
                let begin = windows.get(&partition).map_or(0, |it| it.0);
                if (begin..*end).contains(&offset) {
                    each(&message);
                }
                // A later one tells that nothing more stands in the window.
                (offset.saturating_add(1) >= *end).then_some(partition)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            // The group is only a name; who may read the topics need not have a right to it.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::GroupAuthorizationFailed,
            ))) => None,
            Some(Err(error)) => return Err(error),
        };
        heard = Instant::now();
        if let Some(partition) = done
            && open.remove(&partition).is_some()
        {
            let mut pause = TopicPartitionList::new();
            pause.add_partition(topic, partition);
            consumer.pause(&pause)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::newest;
    use crate::held::tests::found;
    use millstream_pipeline::events::{Event, EventMeta, timers::SetTimer};
    use serde_json::{Value, json};

    #[test]
    fn a_record_is_shown_without_what_gives_somebody_a_right() {
        let proof = format!("v1.{}.1763773200000000.{}", "0a".repeat(8), "s".repeat(86));
        let mut found = found(0, 1, 1);
        found.seen.topic = "timers".into();
        found.seen.full_name = Some(SetTimer::FULL_NAME.into());
        found.seen.value = Some(format!("{proof}b").into_bytes());
        found.seen.data = Some(json!({ "topic": "replies", "key": "k", "value": [1, 2] }));
        found.seen.meta = Some(EventMeta {
            principal: Some("ann".into()),
            proof: Some(proof.clone()),
            ..EventMeta::default()
        });
        hide(&mut found.seen, &Roles::of(millstream_topics::TOPICS));
        let shown = crate::shown::record(&found);
        assert_eq!(shown["meta"]["principal"], "ann");
        assert_eq!(shown["meta"]["proof"], "***");
        let data: Value = serde_json::from_str(shown["data"].as_str().unwrap()).unwrap();
        let expected = json!({ "topic": "replies", "key": "***", "value": "*** (2 bytes)" });
        assert_eq!(data, expected);
        let dump = shown["bytes"]["dump"].as_str().unwrap();
        assert_eq!(shown["bytes"]["size"], proof.len() + 1);
        assert!(dump.ends_with("***b\n") && !dump.contains("v1."), "{dump}");
    }

    const BOUNDS: [(i32, i64, i64); 3] = [(0, 0, 100), (1, 95, 100), (2, 7, 7)];

    #[test]
    fn windows_stay_within_what_is_there() {
        let to = BTreeMap::from([(0, 100), (1, 100), (2, 7)]);
        let windows = before(&BOUNDS, &to, 10);
        assert_eq!(windows, BTreeMap::from([(0, (90, 100)), (1, (95, 100))]));
        let from = BTreeMap::from([(0, 98), (1, 3), (2, 0)]);
        let windows = after(&BOUNDS, &from, 10);
        assert_eq!(windows, BTreeMap::from([(0, (98, 100)), (1, (95, 100))]));
        assert!(before(&BOUNDS, &BTreeMap::from([(0, 0), (1, 95)]), 5).len() <= 1);
        // Offsets that a browser made up.
        let far = BTreeMap::from([(0, i64::MIN), (1, i64::MIN), (2, i64::MIN)]);
        assert!(before(&BOUNDS, &far, 5).is_empty());
        let far = BTreeMap::from([(0, i64::MAX), (1, i64::MAX), (2, i64::MAX)]);
        assert!(after(&BOUNDS, &far, 5).is_empty());
    }

    #[test]
    fn the_next_page_leaves_nothing_out() {
        // Times of producers: 98 is younger than 99, by its own account.
        let read = vec![
            found(0, 98, 50),
            found(0, 99, 10),
            found(1, 99, 20),
            found(1, 98, 19),
        ];
        let (shown, left) = newest(read, 2);
        let places = |records: &[Found]| -> Vec<(i32, i64)> {
            let places = records.iter().map(|it| (it.seen.partition, it.seen.offset));
            places.collect()
        };
        assert_eq!(places(&shown), [(1, 99), (1, 98)]);
        let read_to = BTreeMap::from([(0, 98), (1, 98), (2, 7)]);
        let older = cursor(&BOUNDS, &read_to, &left);
        assert_eq!(older, Some(BTreeMap::from([(0, 100), (1, 98), (2, 7)])));
        let (shown, left) = newest(left, 9);
        assert_eq!(places(&shown), [(0, 99), (0, 98)], "as the offsets say");
        let all = BTreeMap::from([(0, 0), (1, 95), (2, 7)]);
        assert_eq!(cursor(&BOUNDS, &all, &left), None);
    }
}
