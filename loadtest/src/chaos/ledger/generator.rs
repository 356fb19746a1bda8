//! Sends the ledger's events: numbered per key, at a steady rate, and again until Kafka has them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::EventMeta;
use millstream_pipeline::kafka::publisher::{PublishError, Publisher, Record};
use millstream_pipeline::record::cloudevents;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::event::{Book, POISON, id, is_spoilt, key, payload};
use super::watch::Watch;
use crate::random::Random;

const PAUSE: Duration = Duration::from_millis(100);

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Events, at least; it goes on until the faults are over.
    pub events: u64,
    /// Keys that they are spread over.
    pub keys: usize,
    /// Events per second; none: as fast as `outstanding` allows.
    pub rate: Option<f64>,
    /// It waits while more events than this have no answer.
    pub outstanding: u64,
    /// How many records wait for their acknowledgement at once, at most.
    pub in_flight: usize,
    /// Every so many events one makes the handler panic, if its partition is to be spoilt; 0: none does.
    pub poison_every: u64,
    /// Every so many events one is sent twice; 0: none is.
    pub twice_every: u64,
}

/// Sends events.
pub struct Generator {
    pub book: Book,
    pub run: String,
    pub codec: Arc<Codec>,
    pub publisher: Arc<Publisher>,
    /// The last number of each key.
    sent: Mutex<HashMap<usize, i64>>,
    total: AtomicU64,
}

impl Generator {
    /// A generator for one run.
    pub fn new(book: Book, run: &str, codec: Arc<Codec>, publisher: Arc<Publisher>) -> Self {
        Self {
            book,
            run: run.to_owned(),
            codec,
            publisher,
            sent: Mutex::default(),
            total: AtomicU64::new(0),
        }
    }

    /// How many events were sent.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Sends the load, and on until `until_over` says that the faults are over.
    pub async fn send(
        self: &Arc<Self>,
        load: &Load,
        watch: &Arc<Watch>,
        mut random: Random,
        is_over: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let places = Arc::new(Semaphore::new(load.in_flight.min(load.keys.div_ceil(2))));
        let busy: Arc<Mutex<HashSet<usize>>> = Arc::default();
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let mut sent = 0;
        while sent < load.events || !is_over() {
            if let Some(rate) = load.rate {
                let planned = started + Duration::from_secs_f64(sent as f64 / rate);
                tokio::time::sleep_until(planned).await;
            }
            while watch.checker().outstanding() >= load.outstanding {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            while let Some(done) = tasks.try_join_next() {
                done??;
            }
            let place = Arc::clone(&places).acquire_owned().await?;
            // One event of a key at a time, or a record that is sent again could overtake.
            let mut index = random.below(load.keys as u64) as usize;
            {
                let mut busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
                while !busy.insert(index) {
                    index = (index + 1) % load.keys;
                }
            }
            sent += 1;
            let is_every = |every: u64| every > 0 && sent % every == 0;
            let may_be_spoilt = is_spoilt(self.book.partition(&key(&self.run, index)));
            let poison = is_every(load.poison_every) && may_be_spoilt;
            let twice = is_every(load.twice_every);
            let (this, watch, busy) = (Arc::clone(self), Arc::clone(watch), Arc::clone(&busy));
            let mut payload = payload(&mut random);
            if poison {
                payload[0] = POISON;
            }
            tasks.spawn(async move {
                let done = this.send_one(index, payload, twice, &watch).await;
                busy.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&index);
                drop(place);
                done
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Sends the next event of a key.
    pub async fn send_one(
        &self,
        index: usize,
        payload: Vec<u8>,
        twice: bool,
        watch: &Watch,
    ) -> anyhow::Result<()> {
        let key = key(&self.run, index);
        let in_seq = self.next(index);
        let body = self.book.entry(in_seq, payload)?;
        let value = self.codec.join(&body, Some(&meta(&key, in_seq))).await?;
        let record = cloudevents::record(
            self.book.declaration().name,
            &key,
            body.schema.full_name,
            &meta(&key, in_seq),
            value,
        );
        self.publish(&record).await?;
        watch.checker().acknowledged(&key, in_seq);
        if twice {
            self.publish(&record).await?;
        }
        Ok(())
    }

    /// The next number of a key. Whoever takes one sends it.
    pub fn next(&self, index: usize) -> i64 {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let last = sent.entry(index).or_default();
        *last += 1;
        *last
    }

    /// Produces a record, again and again until Kafka has it.
    pub async fn publish(&self, record: &Record) -> anyhow::Result<()> {
        loop {
            match self.publisher.publish(record).await {
                Ok(_) => return Ok(()),
                Err(PublishError::Infrastructure { .. }) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error).context("the generator's record is refused"),
            }
        }
    }
}

/// The `meta` of the event numbered `in_seq` of `key`.
pub fn meta(key: &str, in_seq: i64) -> EventMeta {
    let id = id(key, in_seq);
    EventMeta {
        correlation_id: id.clone(),
        id,
        source: "loadtest".into(),
        ..EventMeta::default()
    }
}
