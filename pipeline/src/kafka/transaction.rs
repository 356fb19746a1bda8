//! Kafka transactions: records, and the offsets of what they were made from, all at once or not at
//! all. Readers that read committed records only, as librdkafka's do by default, see nothing of a
//! transaction that did not end.
//!
//! After any error it may be open whether the transaction was committed, so there is one way to go
//! on for all of them: drop this, make a new one with the same id, and look at what is committed. A
//! new one ends whatever its predecessor left open, and no predecessor can commit any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::kafka::publisher::Record;

/// After this time the broker aborts a transaction whose producer is gone. Until then readers wait
/// before it.
const TRANSACTION_TIMEOUT_MS: &str = "10000";
/// How long one step may take before it counts as failed.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at what is under way.
const LOOK: Duration = Duration::from_micros(200);

/// A producer of transactions.
pub struct Transactions {
    producer: Arc<ThreadedProducer<DefaultProducerContext>>,
}

/// A record with its timestamp, in milliseconds since 1970-01-01 UTC; `None`: now.
pub type Timed = (Record, Option<i64>);

/// Offsets that a consumer group goes on from, and the member that commits them: one that has lost
/// its partitions since is refused.
pub struct Offsets {
    /// The next offset of each partition.
    pub list: TopicPartitionList,
    /// The member, as it was when it read the records.
    pub member: Arc<ConsumerGroupMetadata>,
}

impl Transactions {
    /// Takes over the transactional id `id`: ends what was left open under it, and shuts out
    /// whoever used it.
    pub async fn new(mut config: ClientConfig, id: &str) -> KafkaResult<Self> {
        crate::kafka::producer(&mut config)
            .set("transactional.id", id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("linger.ms", "5");
        blocking(move || {
            let producer: ThreadedProducer<_> = config.create()?;
            producer.init_transactions(Timeout::After(STEP_LIMIT))?;
            Ok(Self {
                producer: Arc::new(producer),
            })
        })
        .await
    }

    /// Produces `records` and commits `offsets`, both or neither. After an error this producer is
    /// of no more use.
    pub async fn commit(&self, records: Vec<Timed>, offsets: Option<Offsets>) -> KafkaResult<()> {
        let producer = Arc::clone(&self.producer);
        blocking(move || {
            producer.begin_transaction()?;
            for (record, timestamp) in &records {
                send(&producer, record, *timestamp)?;
            }
            if let Some(Offsets { list, member }) = &offsets {
                let limit = Timeout::After(STEP_LIMIT);
                producer.send_offsets_to_transaction(list, member, limit)?;
            }
            let left = settle(&*producer, STEP_LIMIT);
            producer.commit_transaction(Timeout::After(left))
        })
        .await
    }
}

/// Waits until all that was produced is acknowledged, or given up, and freed; answers what is left of the
/// time. Blocks, and something else has to poll the producer. Where one message is left the client's own
/// commit and flush look again after a tenth of a second, even if it is only to be freed.
pub fn settle<C: ProducerContext>(producer: &impl Producer<C>, limit: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        // After a fatal error nothing more is sent, and a commit says so at once.
        let is_over = left.is_zero() || producer.client().fatal_error().is_some();
        if is_over || producer.in_flight_count() == 0 {
            return left;
        }
        std::thread::sleep(LOOK);
    }
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    record: &Record,
    timestamp: Option<i64>,
) -> KafkaResult<()> {
    let mut outgoing = BaseRecord::<[u8], [u8]>::to(&record.topic).headers(record.owned_headers());
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    outgoing.timestamp = timestamp;
    producer.send(outgoing).map_err(|(error, _)| error)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> KafkaResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(KafkaError::Canceled))
}
