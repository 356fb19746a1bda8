//! Reads a side's results while they come, as any consumer would: committed ones only.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::Event;
use millstream_pipeline::record::wire;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::task::JoinHandle;

use super::counts::{Counts, first_long};
use crate::chaos::ledger::catalogue::{counts, counts_batch};
use crate::probe::broker::{Ends, list};
use crate::probe::process::now_micros;

const POLL: Duration = Duration::from_millis(20);

/// When commands were to be sent, by key and number: for latencies.
type Due = Mutex<HashMap<(usize, i64), i64>>;

/// How results are fetched.
#[derive(Debug, Clone, Copy)]
pub enum Fetch {
    /// As soon as there is one: for latencies.
    AtOnce,
    /// Many at a time: a fetch for each result costs the broker as much as taking it does, which is
    /// the reader's doing and not that of the side.
    Gathered,
}

/// What is read, from a moment on.
pub struct Watch {
    shared: Arc<Shared>,
    reading: JoinHandle<anyhow::Result<Seen>>,
}

#[derive(Default)]
struct Shared {
    seen: AtomicU64,
    stop: AtomicBool,
    due: Due,
}

/// What was read.
pub struct Seen {
    /// The counts after it.
    pub counts: Counts,
    /// Results that came again.
    pub copies: u64,
    /// When the broker took the first result, in microseconds since 1970-01-01 UTC.
    pub first_micros: i64,
    /// When the last result was read.
    pub last_micros: i64,
    /// Microseconds from when a command was to be sent to when its result was read.
    pub latencies: Histogram<u64>,
}

impl Watch {
    /// Reads `topic` from these offsets on.
    pub fn begin(
        kafka: &str,
        topic: &str,
        (from, fetch): (&Ends, Fetch),
        counts: Counts,
        codec: Arc<Codec>,
    ) -> anyhow::Result<Self> {
        let (bytes, wait_ms) = match fetch {
            Fetch::AtOnce => ("1", "10"),
            Fetch::Gathered => ("1000000", "50"),
        };
        let consumer: BaseConsumer = millstream_pipeline::kafka::client(kafka)
            .set("group.id", "loadtest")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.min.bytes", bytes)
            .set("fetch.wait.max.ms", wait_ms)
            .create()?;
        consumer.assign(&list(topic, from)?)?;
        let shared = Arc::<Shared>::default();
        let mut reader = Reader {
            shared: Arc::clone(&shared),
            codec,
            runtime: tokio::runtime::Handle::current(),
            known: HashSet::new(),
            seen: Seen {
                counts,
                copies: 0,
                first_micros: i64::MAX,
                last_micros: 0,
                latencies: Histogram::new(3)?,
            },
        };
        let reading = tokio::task::spawn_blocking(move || {
            while !reader.shared.stop.load(Ordering::Relaxed) {
                match consumer.poll(POLL) {
                    Some(Ok(message)) => reader.take(&message)?,
                    Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                        return Err(error.into());
                    }
                    // It goes on by itself; a result that never comes is missed.
                    Some(Err(error)) => tracing::warn!(%error, "reading results"),
                    None => {}
                }
            }
            Ok(reader.seen)
        });
        Ok(Self { shared, reading })
    }

    /// How many results have come, copies left out.
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::Relaxed)
    }

    /// The command of this number of this key was to be sent then.
    pub fn sent(&self, key: usize, number: i64, micros: i64) {
        let mut due = self
            .shared
            .due
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        due.insert((key, number), micros);
    }

    /// Whether reading has ended, which only an error does.
    pub fn is_broken(&self) -> bool {
        self.reading.is_finished()
    }

    /// Ends reading.
    pub async fn end(self) -> anyhow::Result<Seen> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.reading.await?
    }
}

struct Reader {
    shared: Arc<Shared>,
    codec: Arc<Codec>,
    runtime: tokio::runtime::Handle,
    /// Schemas that are those of a count.
    known: HashSet<u32>,
    seen: Seen,
}

impl Reader {
    fn take(&mut self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let value = message.payload().context("a result without a value")?;
        let (schema, _) = wire::split(value).map_err(anyhow::Error::msg)?;
        if !self.known.contains(&schema) {
            let name = self
                .runtime
                .block_on(self.codec.decode::<counts::Counted>(value))?;
            ensure!(
                [counts::Counted::FULL_NAME, counts_batch::Counted::FULL_NAME]
                    .contains(&&*name.full_name),
                "a result is {}; look at the log of the side",
                name.full_name
            );
            self.known.insert(schema);
        }
        let count = first_long(value).context("a result that is cut off")?;
        let key = message.key().unwrap_or_default();
        let Some(key) = self.seen.counts.take(key, count)? else {
            self.seen.copies += 1;
            return Ok(());
        };
        let now = now_micros();
        let appended = message.timestamp().to_millis().unwrap_or_default() * 1000;
        self.seen.first_micros = self.seen.first_micros.min(appended);
        self.seen.last_micros = now;
        let mut due = self
            .shared
            .due
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(micros) = due.remove(&(key, count)) {
            let latency = u64::try_from(now - micros).unwrap_or_default();
            self.seen.latencies.record(latency)?;
        }
        self.shared.seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
