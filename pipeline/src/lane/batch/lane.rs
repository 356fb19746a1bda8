//! A service of the batch lane, as one process serves it: its shards, and the leases of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use restate_sdk::prelude::*;
use tokio_util::sync::CancellationToken;

use super::log::Decide;
use super::memory::Overlay;
use super::shard::{Ended, Shard};
use super::topics::{Limits, Place, ShardError, Taken, Topics, kebab_case};
use crate::kafka::publisher::Record;
use crate::lane::attempt;
use crate::observe::metrics::metrics;

/// A lease ends after this time although events still come: whoever serves the next one may be
/// another process. An object of this lane is given more than that (`inactivity_timeout`).
pub(super) const LEASE: Duration = Duration::from_secs(60);
/// A shard that was not leased here for so long is another process's: its states are dropped.
const KEPT: Duration = Duration::from_secs(600);

/// A service of the batch lane. Its object has the key `<partition>` and one handler, which does
/// nothing but [`Self::work`].
pub struct Lane<D> {
    config: ClientConfig,
    settings: Settings,
    decide: D,
    shards: Mutex<HashMap<i32, Arc<Held>>>,
    stop: CancellationToken,
}

/// What a service of this lane is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prefix of groups and transactional ids, as in `apply`.
    pub prefix: String,
    /// The service's name, in PascalCase as Restate knows it.
    pub service: String,
    /// Its topics, all with the same number of partitions.
    pub topics: Vec<String>,
    /// That number.
    pub partitions: i32,
    /// Raised when its topics are decided anew.
    pub generation: u32,
    /// Whether records are read with their headers.
    pub headers: bool,
    /// How much a batch has at most.
    pub limits: Limits,
}

impl Settings {
    /// One of its partitions.
    pub fn place(&self, partition: i32) -> Place {
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        let place = Place::new(&self.prefix, &self.service, &topics, partition);
        Place {
            generation: self.generation,
            headers: self.headers,
            limits: self.limits,
            ..place
        }
    }

    /// The topic of its work orders.
    pub fn work_topic(&self) -> String {
        format!("{}-work", kebab_case(&self.service))
    }
}

struct Held {
    shard: Shard<Topics>,
    topics: Topics,
    used: Mutex<Instant>,
}

impl Held {
    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what a lease has committed.
struct Counted<'d, D> {
    decide: &'d D,
    batches: AtomicU64,
    records: AtomicU64,
}

impl<D: Decide<Topics>> Decide<Topics> for Counted<'_, D> {
    type Note = (u64, D::Note);

    async fn decide(
        &self,
        states: &mut Overlay<'_, Arc<str>, Bytes>,
        records: Vec<Taken>,
    ) -> Result<(Vec<Record>, Self::Note), ShardError> {
        let count = records.len() as u64;
        let (outputs, note) = self.decide.decide(states, records).await?;
        Ok((outputs, (count, note)))
    }

    async fn crashed(
        &self,
        states: &mut Overlay<'_, Arc<str>, Bytes>,
        record: Taken,
        ended: usize,
    ) -> Result<(Vec<Record>, Self::Note), ShardError> {
        let (outputs, note) = self.decide.crashed(states, record, ended).await?;
        Ok((outputs, (1, note)))
    }

    fn committed(&self, (count, note): Self::Note) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(count, Ordering::Relaxed);
        self.decide.committed(note);
    }
}

impl<D: Decide<Topics>> Lane<D> {
    /// A service with these client settings, that decides by `decide` until `stop`. Nothing is
    /// contacted yet.
    pub fn new(
        config: ClientConfig,
        settings: Settings,
        decide: D,
        stop: CancellationToken,
    ) -> Self {
        Self {
            config,
            settings,
            decide,
            shards: Mutex::default(),
            stop,
        }
    }

    /// The lease of the shard `key`, which is the object's key. Whatever the work order says, what is
    /// there is worked off; an order for which nothing is there costs no more than a look.
    pub async fn work(&self, key: &str) -> HandlerResult<()> {
        let service = self.settings.service.as_str();
        let known = 0..self.settings.partitions;
        let partition = key.parse().ok().filter(|it| known.contains(it));
        let Some(partition) = partition else {
            tracing::error!(
                service,
                key,
                "a work order for no partition of this service"
            );
            return Ok(());
        };
        tracing::debug!(service, partition, "a lease begins");
        let held = self.held(partition);
        let decide = Counted {
            decide: &self.decide,
            batches: AtomicU64::new(0),
            records: AtomicU64::new(0),
        };
        let begun = Instant::now();
        let over = || begun.elapsed() > LEASE || self.stop.is_cancelled();
        let unended = attempt::number().saturating_sub(1);
        let lease = held.shard.lease(&held.topics, &decide, unended, over);
        let ended = lease.await;
        *held.used() = Instant::now();
        let outcome = match &ended {
            Ok(Ended::Idle) => "idle",
            Ok(Ended::Over) => "over",
            Ok(Ended::Replaced) => "replaced",
            Err(_) => "failed",
        };
        let labels = [service, outcome];
        metrics().batch_leases.with_label_values(&labels).inc();
        let (batches, records) = (decide.batches.into_inner(), decide.records.into_inner());
        metrics()
            .batch_batches
            .with_label_values(&[service])
            .inc_by(batches);
        if let Err(error) = ended {
            tracing::warn!(service, partition, batches, records, %error, "a lease failed");
            return Err(error.into());
        }
        if batches > 0 {
            tracing::info!(
                service,
                partition,
                batches,
                records,
                keys = held.shard.keys(),
                seconds = begun.elapsed().as_secs_f64(),
                outcome,
                "a lease ended"
            );
        }
        Ok(())
    }

    fn held(&self, partition: i32) -> Arc<Held> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let is_gone =
            |held: &mut Arc<Held>| Arc::strong_count(held) == 1 && held.used().elapsed() >= KEPT;
        let gone: Vec<_> = shards.extract_if(|_, held| is_gone(held)).collect();
        if !gone.is_empty() {
            // Clients take a while to close.
            tokio::task::spawn_blocking(move || drop(gone));
        }
        let held = shards.entry(partition).or_insert_with(|| {
            Arc::new(Held {
                shard: Shard::default(),
                topics: Topics::new(self.config.clone(), self.settings.place(partition)),
                used: Mutex::new(Instant::now()),
            })
        });
        Arc::clone(held)
    }
}
