//! One guard relay, and what readers see of the topic that it writes to.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_devstack::Ports;
use millstream_guard::headers;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_pipeline::observe::metrics::GUARD_RESTARTS_TOTAL;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::Harness;
use super::process::Process;
use crate::chaos::ledger::event::{Book, is_of_run};

const PAUSE: Duration = Duration::from_millis(50);

/// A relay.
pub struct Relay {
    /// Its process.
    pub process: Process,
    metrics: SocketAddr,
}

impl Relay {
    /// Starts one under this name.
    pub async fn start(harness: &Harness, instance: &str) -> anyhow::Result<Self> {
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, Ports::choose(&[])?.guard_metrics));
        let arguments = [
            "guard".to_owned(),
            format!("--kafka={}", harness.endpoints.kafka),
            format!("--schema-registry={}", harness.endpoints.schema_registry),
            format!("--listen={metrics}"),
            format!("--instance={instance}"),
        ];
        let log = harness.stack.folder().join("logs/guard.log");
        let process = Process::start(&arguments, &[], metrics, &log).await?;
        Ok(Self { process, metrics })
    }

    /// How often it has begun anew after an error.
    pub async fn restarts(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/metrics", self.metrics);
        let client = millstream_pipeline::http::builder().no_proxy().build()?;
        let text = client.get(url).send().await?.text().await?;
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(GUARD_RESTARTS_TOTAL));
        let count = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
        Ok(count.unwrap_or_default())
    }
}

/// What is on the guarded topic, for those who read committed records and for those who read all.
pub struct Guarded {
    committed: Arc<Mutex<View>>,
    uncommitted: Arc<Mutex<View>>,
    /// Offsets up to which what is not committed was aborted.
    aborted: Mutex<HashMap<i32, i64>>,
    _stop: DropGuard,
}

/// What one reader has seen.
#[derive(Debug, Default)]
pub struct View {
    last: HashMap<i32, i64>,
    origins: HashMap<(i32, i64), u64>,
}

impl View {
    fn take(&mut self, run: &str, seen: &Seen) {
        let last = self.last.entry(seen.partition).or_default();
        *last = seen.offset.max(*last);
        let number = |name: &str| seen.header(name)?.parse::<i64>().ok();
        let partition = number(headers::PARTITION).and_then(|it| i32::try_from(it).ok());
        let is_ours = seen.key.as_deref().is_some_and(|key| is_of_run(key, run));
        if let Some(origin) = partition.zip(number(headers::OFFSET)).filter(|_| is_ours) {
            *self.origins.entry(origin).or_default() += 1;
        }
    }

    /// Foreign records that have come through.
    pub fn records(&self) -> u64 {
        self.origins.len() as u64
    }

    /// Further copies of the same.
    pub fn copies(&self) -> u64 {
        self.origins.values().map(|count| count - 1).sum()
    }
}

impl Guarded {
    /// Reads from now on what belongs to `run`.
    pub async fn follow(harness: &Harness, run: &str) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let topic = Book::Foreign.declaration().subscribed_topic();
        let views: [Arc<Mutex<View>>; 2] = Default::default();
        for (level, view) in ["read_committed", "read_uncommitted"].iter().zip(&views) {
            let mut config = kafka::client(&harness.endpoints.kafka);
            config.set("isolation.level", *level);
            let mut reader = Reader::new(config, std::slice::from_ref(&topic), From::End).await?;
            let (codec, view) = (Arc::clone(&harness.codec), Arc::clone(view));
            let run = run.to_owned();
            let follow = async move {
                loop {
                    match reader.next(&codec).await {
                        Ok(Next::Record(seen)) => lock(&view).take(&run, &seen),
                        Ok(Next::End) => {}
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        }
        let [committed, uncommitted] = views;
        Ok(Self {
            committed,
            uncommitted,
            aborted: Mutex::default(),
            _stop: stop.drop_guard(),
        })
    }

    /// As a reader of committed records sees it.
    pub fn committed(&self) -> MutexGuard<'_, View> {
        lock(&self.committed)
    }

    /// As a reader of all records sees it.
    pub fn uncommitted(&self) -> MutexGuard<'_, View> {
        lock(&self.uncommitted)
    }

    /// Whether a transaction is open. Only to be asked while no relay works.
    pub fn is_open(&self) -> bool {
        let (committed, aborted) = (self.committed(), lock(&self.aborted));
        let settled = |partition| committed.last.get(partition).max(aborted.get(partition));
        let uncommitted = self.uncommitted();
        let mut lasts = uncommitted.last.iter();
        lasts.any(|(partition, last)| settled(partition) < Some(last))
    }

    /// The open transaction will be aborted.
    pub fn give_up_open(&self) {
        *lock(&self.aborted) = self.uncommitted().last.clone();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
