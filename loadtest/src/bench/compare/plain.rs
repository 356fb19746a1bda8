//! `loadtest peer-plain`: the keyed count in plain Rust. librdkafka consumes, the counts are in a
//! map, results and offsets go together in transactions. What is in memory is gone with the
//! process: no other peer is that careless, so this one is an upper bound.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::events::Event;
use millstream_pipeline::kafka::transaction::settle;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::chaos::ledger::catalogue::TOPICS;
use crate::chaos::ledger::catalogue::counts::{CountOne, Counted};

/// As often as Kafka Streams commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    schema_registry: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    results: String,
}

/// Consumes between the lines `start` and `stop` of standard input, until that ends.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let codec = Arc::new(Codec::new(&arguments.schema_registry, TOPICS)?);
    let mut config = millstream_pipeline::kafka::client(&arguments.kafka);
    millstream_pipeline::kafka::producer(&mut config)
        .set("transactional.id", "peer-plain")
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "1000000");
    let producer: ThreadedProducer<_> = config.create()?;
    tokio::task::block_in_place(|| producer.init_transactions(Timeout::After(LIMIT)))?;
    let schema = codec.schema_id(Counted::schema()).await?;
    let mut job = Job {
        codec,
        schema,
        producer,
        results: arguments.results,
        counts: HashMap::new(),
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if line != "start" {
            continue;
        }
        let consumer: BaseConsumer = millstream_pipeline::kafka::client(&arguments.kafka)
            .set("group.id", "peer-plain")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()?;
        consumer.subscribe(&[&arguments.topic])?;
        let stop = Arc::<AtomicBool>::default();
        let until = Arc::clone(&stop);
        println!("{line}");
        let mut consuming = tokio::task::spawn_blocking(move || {
            job.consume(&consumer, &until)?;
            anyhow::Ok(job)
        });
        let next = tokio::select! {
            ended = &mut consuming => {
                ended??;
                anyhow::bail!("nothing is consumed any more");
            }
            next = lines.next_line() => next?,
        };
        stop.store(true, Ordering::Relaxed);
        job = consuming.await??;
        match next {
            Some(line) => println!("{line}"),
            None => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What lasts from one stretch of consuming to the next.
struct Job {
    codec: Arc<Codec>,
    schema: u32,
    producer: ThreadedProducer<DefaultProducerContext>,
    results: String,
    counts: HashMap<Vec<u8>, i64>,
}

impl Job {
    fn consume(&mut self, consumer: &BaseConsumer, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut next: HashMap<(String, i32), i64> = HashMap::new();
        let mut begun = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if let Some(message) = consumer.poll(POLL) {
                let message = message?;
                if next.is_empty() {
                    self.producer.begin_transaction()?;
                    begun = Instant::now();
                }
                let place = (message.topic().to_owned(), message.partition());
                next.insert(place, message.offset() + 1);
                self.count(&message)?;
            }
            if !next.is_empty() && begun.elapsed() >= COMMIT_INTERVAL {
                self.commit(consumer, &mut next)?;
            }
        }
        if next.is_empty() {
            return Ok(());
        }
        self.commit(consumer, &mut next)
    }

    fn count(&mut self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let value = message.payload().context("a command without a value")?;
        let runtime = tokio::runtime::Handle::current();
        let command = runtime.block_on(self.codec.decode::<CountOne>(value))?;
        command.event?;
        let key = message.key().unwrap_or_default();
        let count = match self.counts.get_mut(key) {
            Some(count) => count,
            None => self.counts.entry(key.to_vec()).or_default(),
        };
        *count += 1;
        let body = EncodedBody::of(&Counted { count: *count });
        let body = body.context("an event is no set of none")??;
        let value = millstream_pipeline::codec::join(self.schema, &body.bytes, None);
        let mut record = BaseRecord::to(&self.results).key(key).payload(&value);
        while let Err((error, again)) = self.producer.send(record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => record = again,
                error => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn commit(
        &self,
        consumer: &BaseConsumer,
        next: &mut HashMap<(String, i32), i64>,
    ) -> anyhow::Result<()> {
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in next.drain() {
            offsets.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
        }
        let member = consumer
            .group_metadata()
            .context("the consumer is in no group")?;
        let limit = Timeout::After(LIMIT);
        self.producer
            .send_offsets_to_transaction(&offsets, &member, limit)?;
        let left = settle(&self.producer, LIMIT);
        Ok(self.producer.commit_transaction(Timeout::After(left))?)
    }
}
