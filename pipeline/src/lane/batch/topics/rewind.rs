//! Has a shard decide its topics once more, from a time on and with no states.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::place::Place;
use super::{ShardError, metadata, states};
use crate::kafka::Ends;
use crate::kafka::offsets::{ends, number};
use crate::lane::batch::log::Position;
use crate::lane::batch::notes::Notes;

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(60);
/// A transaction may have a record for each of a million keys.
const TRANSACTION_TIMEOUT_MS: &str = "300000";
/// Pause where the client's queue is full.
const FULL: Duration = Duration::from_millis(10);

/// What became of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewound {
    /// States that it has no more.
    pub keys: usize,
    /// How often it was rewound in its generation.
    pub epoch: u32,
    /// Where each of its topics is decided from.
    pub next: Vec<i64>,
}

/// Rewinds a shard to the first records that are not older than `to_ms`, in milliseconds since 1970-01-01
/// UTC. Whoever has it at that moment is shut out, and finds it so when he loads it anew. Blocks.
pub fn rewind(config: ClientConfig, place: &Place, to_ms: i64) -> Result<Rewound, ShardError> {
    let doing = || ShardError::kafka("rewinding a shard");
    let mut producing = config.clone();
    crate::kafka::producer(&mut producing)
        .set("transactional.id", &place.transactional_id)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
    let producer: BaseProducer = producing.create().map_err(doing())?;
    // What was left open is settled by then, and nobody adds to it.
    producer.init_transactions(LIMIT).map_err(doing())?;

    let mut keys = BTreeSet::new();
    let (consumer, written) = states::read(config, place, |key, value| {
        match value {
            Some(_) => keys.insert(key.to_owned()),
            None => keys.remove(key),
        };
        Ok(())
    })?;
    let (_, epoch) = states::begin(&consumer, place, written.as_deref())?;
    let next = since(&consumer, place, to_ms).map_err(doing())?;
    let epoch = epoch + 1;

    producer.begin_transaction().map_err(doing())?;
    let kept = keep(&producer, &consumer, place, &keys, &next, epoch);
    kept.map_err(doing())?;
    Ok(Rewound {
        keys: keys.len(),
        epoch,
        next,
    })
}

/// Takes all states away and says where to begin, in one transaction.
fn keep(
    producer: &BaseProducer,
    consumer: &BaseConsumer<Ends>,
    place: &Place,
    keys: &BTreeSet<String>,
    next: &[i64],
    epoch: u32,
) -> Result<(), KafkaError> {
    let generation = place.generation.to_string();
    let position = states::position(place, next, epoch);
    let none = keys.iter().map(|key| (key.as_bytes(), None));
    for (key, value) in none.chain([(states::POSITION, Some(position.as_slice()))]) {
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
            key: states::GENERATION,
            value: Some(&generation),
        });
        let mut record = BaseRecord::<[u8], [u8]>::to(&place.state_topic)
            .headers(headers)
            .partition(place.partition)
            .key(key);
        record.payload = value;
        send(producer, record)?;
    }
    // No notes either: nobody has begun to decide any of it.
    let position = Position(next.to_vec());
    let offsets = metadata::offsets(place, &position, &Notes::default())?;
    let group = consumer.group_metadata().ok_or(KafkaError::Canceled)?;
    producer.send_offsets_to_transaction(&offsets, &group, LIMIT)?;
    producer.flush(Timeout::After(LIMIT))?;
    producer.commit_transaction(LIMIT)
}

fn send(producer: &BaseProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
    let begun = Instant::now();
    loop {
        match producer.send(record) {
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                if begun.elapsed() < LIMIT =>
            {
                record = refused;
                producer.poll(FULL);
            }
            sent => return sent.map_err(|(error, _)| error),
        }
    }
}

/// The first offset of each topic that is not older; its end where nothing is as young as that.
fn since(consumer: &BaseConsumer<Ends>, place: &Place, to_ms: i64) -> Result<Vec<i64>, KafkaError> {
    let mut partitions = TopicPartitionList::new();
    for topic in &place.topics {
        partitions.add_partition(topic, place.partition);
    }
    let ends = ends(consumer, &partitions, LIMIT)?;
    partitions.set_all_offsets(Offset::Offset(to_ms))?;
    let found = consumer.offsets_for_times(partitions, LIMIT)?;
    let next = ends.elements().into_iter().map(|end| {
        let found = found.find_partition(end.topic(), end.partition());
        match found.map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => number(end.offset()),
        }
    });
    Ok(next.collect())
}
