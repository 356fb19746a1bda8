//! Feeds a checker from Kafka while events flow: the input, result and dead letter topics of one
//! ledger, from the moment the watch begins.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::failure::HANDLER_CRASHED;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::offsets;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_pipeline::record::digest::digest;
use rdkafka::consumer::BaseConsumer;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::checker::{Answer, Booked, Checker, Input};
use super::event::{ABORT, Book, POISON, RUN_HEADER, is_of_run, parse_id};
use super::pace::Pace;

const METADATA_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// Many times as long as a reader takes to ask the broker for more.
const SETTLED: Duration = Duration::from_secs(1);

/// The next offset of each partition of each topic.
type Offsets = HashMap<(String, i32), i64>;

/// A checker that is being fed.
pub struct Watch {
    shared: Arc<Shared>,
    bootstrap: String,
    codec: Arc<Codec>,
    stop: CancellationToken,
    _stop: DropGuard,
}

struct Shared {
    book: Book,
    run: String,
    checker: Mutex<Checker>,
    pace: Mutex<Pace>,
    read: Mutex<Offsets>,
    /// Topics of which nothing more comes for now.
    ended: Mutex<HashSet<String>>,
}

impl Watch {
    /// Watches the events of `run` in `book`.
    pub async fn start(
        bootstrap: &str,
        codec: Arc<Codec>,
        book: Book,
        run: &str,
        checker: Checker,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            book,
            run: run.to_owned(),
            checker: Mutex::new(checker),
            pace: Mutex::default(),
            read: Mutex::default(),
            ended: Mutex::default(),
        });
        let watch = Self {
            shared,
            bootstrap: bootstrap.to_owned(),
            codec,
            _stop: stop.clone().drop_guard(),
            stop,
        };
        watch.follow(book.declaration().name, From::End).await?;
        watch
            .follow(&book.declaration().dead_letter_topic(), From::End)
            .await?;
        Ok(watch)
    }

    /// Begins to read the results.
    pub async fn follow_results(&self, from: From) -> anyhow::Result<()> {
        self.follow(results_of(self.shared.book), from).await
    }

    async fn follow(&self, topic: &str, from: From) -> anyhow::Result<()> {
        let config = kafka::client(&self.bootstrap);
        let reader = Reader::new(config, &[topic.to_owned()], from)
            .await
            .with_context(|| format!("cannot read {topic}"))?;
        for (place, (start, end)) in watermarks(&self.bootstrap, topic).await? {
            let next = if from == From::End { end } else { start };
            lock(&self.shared.read).insert(place, next);
        }
        let follow = follow(
            reader,
            topic.to_owned(),
            Arc::clone(&self.codec),
            Arc::clone(&self.shared),
        );
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(follow));
        Ok(())
    }

    /// The checker.
    pub fn checker(&self) -> MutexGuard<'_, Checker> {
        lock(&self.shared.checker)
    }

    /// How long partitions were held up, and dead letters took.
    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        lock(&self.shared.pace)
    }

    /// Waits until everything that is on the topics now was read.
    pub async fn drain(&self, limit: Duration) -> anyhow::Result<()> {
        let mut ends = Offsets::new();
        let topics: std::collections::BTreeSet<String> = lock(&self.shared.read)
            .keys()
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in topics {
            let marks = watermarks(&self.bootstrap, &topic).await?;
            ends.extend(marks.into_iter().map(|(place, (_, end))| (place, end)));
        }
        let begun = Instant::now();
        let drained = async {
            while !self.has_read(&ends, begun.elapsed() > SETTLED) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(limit, drained)
            .await
            .context("the checker could not read to the ends of the topics")
    }

    /// Kafka counts the end of a transaction as a record that nobody gets: where there are some,
    /// nothing more comes although the last offset was not read.
    fn has_read(&self, ends: &Offsets, is_settled: bool) -> bool {
        let (read, ended) = (lock(&self.shared.read), lock(&self.shared.ended));
        ends.iter().all(|(place, end)| {
            let (topic, _) = place;
            // A partition that came later has no records of the run.
            let is_read = read.get(place).is_none_or(|next| next >= end);
            is_read || (is_settled && ended.contains(topic))
        })
    }
}

/// Name of a ledger's result topic.
pub fn results_of(book: Book) -> &'static str {
    book.declaration()
        .results
        .as_ref()
        .map_or("", |results| results.name)
}

/// Name of the topic that has each of a ledger's results once, if it has one.
pub fn once_of(book: Book) -> Option<&'static str> {
    let results = book.declaration().results.as_ref()?;
    Some(results.once?.name)
}

/// First and next offset of every partition of a topic; none while there is no such topic.
pub async fn watermarks(
    bootstrap: &str,
    topic: &str,
) -> anyhow::Result<HashMap<(String, i32), (i64, i64)>> {
    let (config, topic) = (kafka::client(bootstrap), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = config.create()?;
        let found = offsets::partitions(&client, &topic, METADATA_LIMIT);
        let Some(partitions) = offsets::of_known(found)? else {
            return Ok(HashMap::new());
        };
        let bounds = offsets::bounds(&client, &partitions, METADATA_LIMIT)?.into_iter();
        let marks =
            bounds.map(|(partition, start, end)| ((topic.clone(), partition), (start, end)));
        Ok(marks.collect())
    })
    .await?
}

async fn follow(mut reader: Reader, topic: String, codec: Arc<Codec>, shared: Arc<Shared>) {
    loop {
        match reader.next(&codec).await {
            Ok(Next::End) => drop(lock(&shared.ended).insert(topic.clone())),
            Ok(Next::Record(seen)) => {
                lock(&shared.ended).remove(&topic);
                shared.take(&seen);
                let place = (seen.topic.clone(), seen.partition);
                lock(&shared.read).insert(place, seen.offset + 1);
            }
            // librdkafka reconnects by itself; it only tells that it has to.
            Err(error) => {
                tracing::debug!(%error, "reading");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Shared {
    fn take(&self, seen: &Seen) {
        let named = seen.key.as_deref().filter(|key| is_of_run(key, &self.run));
        // A record without a key says in a header whose it is.
        let key = named.or_else(|| (seen.header(RUN_HEADER)? == self.run).then_some(""));
        let Some(key) = key else {
            return;
        };
        if seen.topic == self.book.declaration().name {
            self.take_input(key, seen);
        } else if seen.topic == results_of(self.book) {
            self.take_result(key, seen);
        } else {
            let number = |name: &str| seen.header(name)?.parse::<i64>().ok();
            let place = number("__connect.errors.partition")
                .and_then(|partition| i32::try_from(partition).ok())
                .zip(number("__connect.errors.offset"));
            if let (Some(recorded), Some((partition, _))) = (recorded(seen), place) {
                let after = since(recorded, seen);
                lock(&self.pace).letter(partition, after, Instant::now());
            }
            // A letter that does not say where it comes from is one of nothing.
            lock(&self.checker).letter(place.unwrap_or((-1, seen.offset)));
        }
    }

    fn take_input(&self, key: &str, seen: &Seen) {
        let place = (seen.partition, seen.offset);
        let meta = seen.meta.as_ref();
        let named = meta
            .and_then(|meta| parse_id(&meta.id))
            .filter(|(named, _)| *named == key);
        let Some((_, in_seq)) = named else {
            lock(&self.checker).bad_input(place);
            return;
        };
        let field = |name: &str| seen.data.as_ref().and_then(|data| data.get(name));
        let first = field("payload")
            .and_then(|payload| payload.get(0))
            .and_then(serde_json::Value::as_u64);
        let poison = [POISON, ABORT].map(|it| Some(it.into())).contains(&first);
        let whole = seen.full_name.as_deref() == Some(self.book.entry_name())
            && field("in_seq").is_some_and(serde_json::Value::is_i64);
        let is_new = lock(&self.checker).input(&Input {
            key,
            in_seq,
            place,
            expects_letter: poison || !whole,
        });
        if is_new {
            lock(&self.pace).event(seen.partition, Instant::now());
        }
    }

    fn take_result(&self, key: &str, seen: &Seen) {
        let meta = seen.meta.as_ref();
        let text = |name: &str| seen.data.as_ref()?.get(name)?.as_str();
        let number = |name: &str| seen.data.as_ref()?.get(name)?.as_i64();
        let is_booked = seen.full_name.as_deref() == Some(self.book.booked_name());
        let booked = is_booked.then(|| Booked {
            in_seq: number("in_seq").unwrap_or_default(),
            count: number("count").unwrap_or_default(),
            chain: text("chain").unwrap_or_default(),
        });
        let [a, b, c, d, e, f, g, h, ..] = digest(&[seen.value.as_deref().unwrap_or_default()]);
        let is_first = lock(&self.checker).answer(&Answer {
            key,
            seq: meta.and_then(|meta| meta.seq),
            epoch: meta
                .and_then(|meta| meta.epoch.as_deref())
                .unwrap_or_default(),
            digest: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            cause: meta
                .and_then(|meta| meta.causation_id.as_deref())
                .unwrap_or_default(),
            booked,
            crashed: text("code") == Some(HANDLER_CRASHED),
        });
        if is_first {
            // A result has the time of its command.
            let after = meta.map_or(Duration::ZERO, |meta| since(meta.time / 1000, seen));
            lock(&self.pace).answer(seen.partition, after, Instant::now());
        }
    }
}

/// How long after `recorded`, in milliseconds since 1970-01-01 UTC, this was recorded.
fn since(recorded: i64, seen: &Seen) -> Duration {
    Duration::from_millis(u64::try_from(seen.timestamp - recorded).unwrap_or_default())
}

/// When the original of a dead letter was recorded, in milliseconds since 1970-01-01 UTC.
fn recorded(letter: &Seen) -> Option<i64> {
    let mut headers = letter.raw_headers.iter();
    let (_, value) = headers.rfind(|(name, _)| name == "kafka_dlt-original-timestamp")?;
    Some(i64::from_be_bytes(value.as_deref()?.try_into().ok()?))
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
