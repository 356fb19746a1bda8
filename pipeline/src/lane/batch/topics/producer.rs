//! A shard's producer of transactions.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::util::Timeout;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::place::Place;
use super::{ShardError, Topics, blocking, metadata, states};
use crate::kafka::publisher::Record;
use crate::kafka::transaction::settle;
use crate::lane::batch::log::{Changes, Position, Transactions};
use crate::lane::batch::notes::Notes;

/// After this time the broker aborts a transaction whose producer is gone. Until then readers wait
/// before it.
const TRANSACTION_TIMEOUT_MS: &str = "10000";
/// How long one step may take before it counts as failed.
const STEP_LIMIT: Duration = Duration::from_secs(8);
/// What the client lets through; each topic's own limit is the broker's to say.
const MAX_BYTES: &str = "67108864";
/// What is sent to a partition at once after some topic did not take more: every topic takes this.
const SMALL_BATCH: &str = "16384";
/// How long its thread may take to learn that a producer is dropped. The client's own threaded producer
/// waits for a tenth of a second, and looks at the clock without a pause for the last millisecond of
/// each: with a producer for each shard that was a fifteenth of a busy process.
const POLL: Duration = Duration::from_secs(1);
/// After so many bytes others have a turn.
const TURN: usize = 64 * 1024;
/// What a record counts besides its value.
const RECORD: usize = 1024;
/// A full queue is tried again after this time.
const FULL: Duration = Duration::from_millis(1);

/// A producer of the shard's transactional id. After an error it is of no more use.
pub struct ShardProducer {
    producer: Arc<BaseProducer<Acknowledged>>,
    place: Arc<Place>,
    group: Arc<ConsumerGroupMetadata>,
    epoch: Arc<AtomicU32>,
}

/// Counts what is not acknowledged yet. librdkafka's own waiting looks every tenth of a second.
#[derive(Default)]
struct Acknowledged {
    missing: AtomicUsize,
    failed: Mutex<Option<KafkaError>>,
    all: Notify,
    /// Whether the next producer is to send less at once.
    sends_small: Arc<AtomicBool>,
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                // Each record fits its topic, as was asked before. What librdkafka sends at once is
                // measured by the broker as a whole, and is not sent in parts then.
                self.sends_small.store(true, Ordering::Relaxed);
            }
            self.fail(error.clone());
        }
        if self.missing.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.all.notify_one();
        }
    }
}

impl Acknowledged {
    fn failed(&self) -> std::sync::MutexGuard<'_, Option<KafkaError>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: KafkaError) {
        self.failed().get_or_insert(error);
    }

    /// Waits for all acknowledgements.
    async fn wait(&self) -> Result<(), KafkaError> {
        let until = tokio::time::Instant::now() + STEP_LIMIT;
        while self.missing.load(Ordering::SeqCst) > 0 {
            let waited = tokio::time::timeout_at(until, self.all.notified()).await;
            waited.map_err(|_| KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut))?;
        }
        self.failed().take().map_or(Ok(()), Err)
    }
}

impl ShardProducer {
    /// Takes the id over: ends what was left open under it, and shuts out whoever used it.
    pub(super) fn new(
        mut config: ClientConfig,
        place: Arc<Place>,
        sends_small: Arc<AtomicBool>,
        epoch: Arc<AtomicU32>,
    ) -> Result<Self, ShardError> {
        let making = || ShardError::kafka("taking a shard over");
        // A consumer that joins no group: offsets are committed for one without members.
        let consumer: BaseConsumer = (config.clone().set("group.id", &place.group))
            .create()
            .map_err(making())?;
        let group = consumer
            .group_metadata()
            .ok_or(KafkaError::Canceled)
            .map_err(making())?;
        crate::kafka::producer(&mut config)
            .set("transactional.id", &place.transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("delivery.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("queue.buffering.max.messages", "200000")
            // A state may be larger than any record. Its topic has its own limit.
            .set("message.max.bytes", MAX_BYTES)
            // The last transaction may not be over yet for the brokers when the next one's offsets are
            // announced. librdkafka waits as long as this where partitions are.
            .set("retry.backoff.ms", "20")
            .set("linger.ms", linger(place.limits.interval).to_string());
        if sends_small.load(Ordering::Relaxed) {
            config.set("batch.size", SMALL_BATCH);
        }
        let producer: BaseProducer<Acknowledged> = config
            .create_with_context(Acknowledged {
                sends_small,
                ..Acknowledged::default()
            })
            .map_err(making())?;
        // Nothing of this needs its thread. What fails is closed here: librdkafka would go on with it.
        let begun = producer.init_transactions(Timeout::After(STEP_LIMIT));
        begun.map_err(making())?;
        let producer = Arc::new(producer);
        let polled = Arc::clone(&producer);
        let thread = std::thread::Builder::new().name("shard producer".into());
        thread
            .spawn(move || {
                // The last to have it closes it, which blocks.
                while Arc::strong_count(&polled) > 1 {
                    polled.poll(POLL);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))
            .map_err(making())?;
        Ok(Self {
            producer,
            place,
            group: Arc::new(group),
            epoch,
        })
    }

    /// Waits until all that was handed over is acknowledged.
    pub async fn acknowledged(&self) -> Result<(), ShardError> {
        let acknowledged = self.producer.context().wait().await;
        acknowledged.map_err(ShardError::kafka("producing"))
    }
}

impl Transactions<Topics> for ShardProducer {
    async fn begin(&self) -> Result<(), ShardError> {
        let begun = self.producer.begin_transaction();
        begun.map_err(ShardError::kafka("beginning a transaction"))
    }

    async fn send(&self, changes: Changes<Record, Arc<str>, Bytes>) -> Result<(), ShardError> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        let enqueued = enqueue(&self.producer, &self.place, epoch, changes).await;
        enqueued.map_err(ShardError::kafka("producing"))
    }

    async fn commit(&self, position: &Position, notes: &Notes) -> Result<(), ShardError> {
        let (sending, group) = (Arc::clone(&self.producer), Arc::clone(&self.group));
        let offsets = metadata::offsets(&self.place, position, notes);
        let offsets = offsets.map_err(ShardError::kafka("committing offsets"))?;
        // Beside each other: the offsets take two requests, one behind the other.
        let committed = blocking("committing offsets", move || {
            let limit = Timeout::After(STEP_LIMIT);
            let sent = sending.send_offsets_to_transaction(&offsets, &group, limit);
            sent.map_err(ShardError::kafka("committing offsets"))
        });
        tokio::try_join!(committed, self.acknowledged())?;
        let (producer, partition) = (Arc::clone(&self.producer), self.place.partition);
        blocking("committing", move || {
            let begun = Instant::now();
            // All is acknowledged, and perhaps not freed yet.
            let left = settle(&*producer, STEP_LIMIT);
            let committed = producer.commit_transaction(Timeout::After(left));
            committed.map_err(ShardError::kafka("committing"))?;
            let millis = begun.elapsed().as_millis();
            tracing::debug!(partition, millis, "a transaction is committed");
            Ok(())
        })
        .await
    }
}

/// Milliseconds that records wait for others to go with: a tenth of the time between two batches. Handing
/// a batch over takes some milliseconds, and need not be a request for each of them.
fn linger(interval: Duration) -> u128 {
    (interval.as_millis() / 10).clamp(1, 5)
}

/// Hands everything to librdkafka, the states last. Nothing of it blocks, so it runs where batches are
/// decided: freeing records on the threads that made them costs the allocator less.
async fn enqueue(
    producer: &BaseProducer<Acknowledged>,
    place: &Place,
    epoch: u32,
    changes: Changes<Record, Arc<str>, Bytes>,
) -> Result<(), KafkaError> {
    let Changes {
        outputs,
        states,
        position: Position(next),
        notes: _,
    } = changes;
    let mut handed = 0;
    for record in outputs {
        let mut outgoing =
            BaseRecord::<[u8], [u8]>::to(&record.topic).headers(record.owned_headers());
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        send(producer, outgoing, &mut handed).await?;
    }
    let position = states::position(place, &next, epoch);
    let states = states
        .iter()
        .map(|(key, value)| (key.as_bytes(), value.as_ref()));
    // A null is what takes a key out of a compacted topic.
    let generation = place.generation.to_string();
    for (key, value) in states.chain([(states::POSITION, position.as_slice())]) {
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
            key: states::GENERATION,
            value: Some(&generation),
        });
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(&place.state_topic)
            .headers(headers)
            .partition(place.partition)
            .key(key);
        outgoing.payload = Some(value).filter(|value| !value.is_empty());
        send(producer, outgoing, &mut handed).await?;
    }
    Ok(())
}

/// Hands one record over. `handed`: bytes since others had a turn.
async fn send(
    producer: &BaseProducer<Acknowledged>,
    mut record: BaseRecord<'_, [u8], [u8]>,
    handed: &mut usize,
) -> Result<(), KafkaError> {
    *handed += RECORD + record.payload.map_or(0, <[u8]>::len);
    if *handed > TURN {
        *handed = 0;
        yield_now().await;
    }
    let mut until = None;
    producer.context().missing.fetch_add(1, Ordering::SeqCst);
    loop {
        let error = match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                if Instant::now() < *until.get_or_insert_with(|| Instant::now() + STEP_LIMIT) =>
            {
                record = refused;
                tokio::time::sleep(FULL).await;
                continue;
            }
            Err((error, _)) => error,
        };
        // None will come for it.
        producer.context().missing.fetch_sub(1, Ordering::SeqCst);
        return Err(error);
    }
}
