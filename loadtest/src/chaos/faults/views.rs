//! A topic as readers of committed records see it, and readers of all records.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::Harness;
use crate::chaos::ledger::event::is_of_run;

const PAUSE: Duration = Duration::from_millis(50);
/// Far less than a transaction takes.
const LOOK: Duration = Duration::from_millis(1);
/// By now the readers have what the broker has, mostly.
const SEEN: Duration = Duration::from_millis(300);

/// What is on the topic, for those who read committed records and for those who read all.
pub struct Views {
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
    records: HashMap<String, u64>,
}

/// What a record is told by, if it is one of those that are counted.
pub type Identity = fn(&Seen) -> Option<String>;

impl View {
    fn take(&mut self, run: &str, seen: &Seen, identity: Identity) {
        let last = self.last.entry(seen.partition).or_default();
        *last = seen.offset.max(*last);
        let is_ours = seen.key.as_deref().is_some_and(|key| is_of_run(key, run));
        if let Some(id) = identity(seen).filter(|_| is_ours) {
            *self.records.entry(id).or_default() += 1;
        }
    }

    /// Records of the run.
    pub fn records(&self) -> u64 {
        self.records.len() as u64
    }

    /// Further copies of the same.
    pub fn copies(&self) -> u64 {
        self.records.values().map(|count| count - 1).sum()
    }
}

impl Views {
    /// Reads from now on what belongs to `run`.
    pub async fn follow(
        harness: &Harness,
        topic: String,
        run: &str,
        identity: Identity,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
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
                        Ok(Next::Record(seen)) => {
                            lock(&view).take(&run, &seen, identity);
                        }
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

    /// Waits for one more record of the run, as a reader of committed records sees it, or of all.
    pub async fn next(&self, is_committed: bool) {
        let count = || match is_committed {
            true => self.committed().records(),
            false => self.uncommitted().records(),
        };
        let before = count();
        while count() == before {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether a transaction is open. Only to be asked while nobody works.
    pub async fn stays_open(&self) -> bool {
        tokio::time::sleep(SEEN).await;
        if !self.is_open() {
            return false;
        }
        // What is merely late comes now.
        tokio::time::sleep(2 * SEEN).await;
        self.is_open()
    }

    fn is_open(&self) -> bool {
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
