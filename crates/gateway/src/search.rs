//! Finding a result that has come before: by the notes, else by reading its partition again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::{Answer, Candidate};
use super::noted::{Partition, Place};
use super::request_id::RequestId;
use super::results::{Followed, Results, candidate, cause, is_failure, partition};
use millstream_pipeline::codec::{Codec, DecodeError};
use millstream_pipeline::kafka::{Asker, Ends};
use millstream_pipeline::observe::metrics::metrics;

/// How far clocks may differ.
const SKEW_MS: i64 = 30_000;
/// How far before its own time the answer of a repeated request is looked for, step by step.
const BACK_MS: [i64; 4] = [120_000, 900_000, 7_200_000, i64::MAX];
/// How long the next record may take to come.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Who has not answered for so long is not asked again.
const SLOW: Duration = Duration::from_secs(2);
/// Searches at once.
const AT_ONCE: usize = 4;

/// Reads result topics again.
pub struct Search {
    config: ClientConfig,
    codec: Arc<Codec>,
    results: Arc<Results>,
    keep_ms: i64,
    max_noted: usize,
    permits: Semaphore,
    idle: Mutex<Vec<Arc<StreamConsumer<Ends>>>>,
    /// One search of a partition at a time: what it finds spares the next one.
    partitions: Mutex<HashMap<Partition, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why it could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The topic is not read yet.
    #[error("the result topic is not there yet")]
    NotFollowed,
    /// Kafka did not answer.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The result cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Kafka took too long, or a task broke off.
    #[error("Kafka did not answer in time")]
    TimedOut,
}

impl Search {
    /// A search with these client settings.
    pub fn new(
        mut config: ClientConfig,
        codec: Arc<Codec>,
        results: Arc<Results>,
        keep: Duration,
        max_noted: usize,
    ) -> Self {
        config
            .set("group.id", millstream_pipeline::kafka::group::OF_SEARCHES)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10")
            // Mostly a single record is wanted.
            .set("fetch.message.max.bytes", "131072")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.queue.backoff.ms", "5");
        Self {
            config,
            codec,
            results,
            keep_ms: i64::try_from(keep.as_millis()).unwrap_or(i64::MAX),
            max_noted,
            permits: Semaphore::new(AT_ONCE),
            idle: Mutex::default(),
            partitions: Mutex::default(),
        }
    }

    /// The result of an event, if it is noted.
    pub async fn noted(
        &self,
        topic: Followed,
        number: u16,
        event_id: &str,
    ) -> Result<Option<Answer>, SearchError> {
        let at = partition(topic, i32::from(number));
        let Some(place) = self.results.noted().find(event_id, at) else {
            return Ok(None);
        };
        let reading = self.reader().await?;
        let to = place.offset + 1;
        let mut found = None;
        let each = |message: &BorrowedMessage<'_>| found = Some(candidate(message));
        let range = (place.offset, to);
        reading.read(topic.name, number, range, each).await?;
        metrics()
            .gateway_lookups
            .with_label_values(&["noted"])
            .inc();
        self.decode(found, event_id).await
    }

    /// The result of a request, if there is one by now.
    pub async fn find(
        &self,
        request: &RequestId,
        event_id: &str,
    ) -> Result<Option<Answer>, SearchError> {
        let topic = self.results.by_digest(request.topic);
        let topic = topic
            .and_then(|name| self.results.topic(name))
            .ok_or(SearchError::NotFollowed)?;
        let at = partition(topic, i32::from(request.partition));
        let time = i64::try_from(request.time_ms).unwrap_or(i64::MAX);
        let steps = match request.repeatable {
            true => &BACK_MS[..],
            false => &[0],
        };
        // What is noted begins here; what lies before is read again, once.
        let mut to = i64::MAX;
        for back in steps {
            let lock = self.lock(at);
            let _alone = lock.lock().await;
            // Another search may have noted it meanwhile.
            if let Some(answer) = self.noted(topic, request.partition, event_id).await? {
                return Ok(Some(answer));
            }
            let noted = self.results.noted().complete_from(at);
            to = to.min(noted.ok_or(SearchError::NotFollowed)?);
            let since = time - SKEW_MS - (*back).min(self.keep_ms);
            let (from, found) = self
                .read_before(topic, request.partition, (since, to), event_id)
                .await?;
            to = from;
            if let Some(answer) = self.decode(found, event_id).await? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Reads a partition from a time up to an offset, and notes what is there. The offset where it
    /// began, and the first result of the event.
    async fn read_before(
        &self,
        topic: Followed,
        number: u16,
        (since_ms, to): (i64, i64),
        event_id: &str,
    ) -> Result<(i64, Option<Candidate>), SearchError> {
        let reader = self.reader().await?;
        let from = reader.offset_at(topic.name, number, since_ms).await?;
        let Some(from) = from.filter(|from| *from < to) else {
            return Ok((to, None));
        };
        let at = partition(topic, i32::from(number));
        let (mut found, mut noted) = (None, Vec::new());
        let each = |message: &BorrowedMessage<'_>| {
            let Some(cause) = cause(message) else { return };
            let place = Place {
                partition: at,
                offset: message.offset(),
                failed: is_failure(message),
            };
            if cause == event_id && found.as_ref().is_none_or(|(_, failed)| *failed) {
                found = Some((candidate(message), place.failed));
            }
            if noted.len() <= self.max_noted {
                noted.push((cause.to_owned(), place));
            }
        };
        reader.read(topic.name, number, (from, to), each).await?;
        metrics().gateway_lookups.with_label_values(&["read"]).inc();
        if noted.len() <= self.max_noted {
            self.results.noted().extend(at, (from, to), &noted);
        }
        Ok((from, found.map(|(found, _)| found)))
    }

    async fn decode(
        &self,
        found: Option<Candidate>,
        event_id: &str,
    ) -> Result<Option<Answer>, SearchError> {
        let Some(found) = found else { return Ok(None) };
        let answer = found.decode(&self.codec).await?;
        Ok(answer.filter(|answer| answer.meta.causation_id.as_deref() == Some(event_id)))
    }

    fn lock(&self, at: Partition) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(at).or_default())
    }

    /// A consumer of its own for one reading.
    async fn reader(&self) -> Result<Reader<'_>, SearchError> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| SearchError::TimedOut)?;
        let idle = self.idle().pop();
        let consumer = match idle {
            Some(consumer) => consumer,
            None => Arc::new(self.config.create_with_context(Ends)?),
        };
        Ok(Reader {
            search: self,
            consumer,
            unanswered: Mutex::default(),
            _permit: permit,
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<StreamConsumer<Ends>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader<'s> {
    search: &'s Search,
    consumer: Arc<StreamConsumer<Ends>>,
    /// Since when it owes an answer.
    unanswered: Mutex<Option<Instant>>,
    _permit: SemaphorePermit<'s>,
}

impl Reader<'_> {
    fn unanswered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// It is asked for something, or has just answered.
    fn owes(&self, something: bool) {
        *self.unanswered() = something.then(Instant::now);
    }

    /// The first offset whose record is of this time or later; `None`: there is none.
    async fn offset_at(
        &self,
        topic: &'static str,
        number: u16,
        since_ms: i64,
    ) -> Result<Option<i64>, SearchError> {
        self.owes(true);
        let consumer = Arc::clone(&self.consumer);
        let asked = tokio::task::spawn_blocking(move || {
            let mut times = TopicPartitionList::new();
            let time = Offset::Offset(since_ms.max(0));
            times.add_partition_offset(topic, i32::from(number), time)?;
            consumer.offsets_for_times(times, READ_LIMIT)
        });
        let offsets = asked.await.map_err(|_| SearchError::TimedOut)??;
        self.owes(false);
        let found = offsets.find_partition(topic, i32::from(number));
        Ok(match found.map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        })
    }

    /// Hands the records from one offset up to another to `each`.
    async fn read(
        &self,
        topic: &str,
        number: u16,
        (from, to): (i64, i64),
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), SearchError> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, i32::from(number), Offset::Offset(from))?;
        self.owes(true);
        self.consumer.assign(&assignment)?;
        loop {
            let next = tokio::time::timeout(READ_LIMIT, self.consumer.recv()).await;
            match next.map_err(|_| SearchError::TimedOut)? {
                Ok(message) => {
                    self.owes(true);
                    let offset = message.offset();
                    if offset < to {
                        each(&message);
                    }
                    if offset + 1 >= to {
                        self.owes(false);
                        return Ok(());
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {
                    self.owes(false);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        // Whoever waited may have gone before the limit.
        let is_slow = self.unanswered().is_some_and(|it| it.elapsed() > SLOW);
        if consumer.unassign().is_ok() && !is_slow {
            self.search.idle().push(consumer);
            return;
        }
        let config = self.search.config.clone();
        // Closing blocks, and so does asking whether this one alone is not answered.
        tokio::task::spawn_blocking(move || {
            drop(consumer);
            tracing::warn!("a reader of results is given up, because it was not answered");
            if Asker::new(&config).is_answered() {
                let label = ["searches"];
                metrics()
                    .kafka_clients_renewed
                    .with_label_values(&label)
                    .inc();
            }
        });
    }
}
