//! The driver: a shard, which is one partition of a service's topics, as one process has it.
//!
//! An invocation is a lease. While it runs Restate lets nobody else have the shard; but Restate may
//! give an attempt up that goes on all the same, here or in another process. So nothing depends on
//! there being one: whoever takes over makes a new producer, which shuts the others out, and only then
//! reads what is committed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log::{Changes, Decide, Log, Transactions};
use super::memory::{Memory, Overlay};
use super::rules::{Rule, Rules};

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing came any more.
    Idle,
    /// It has lasted long enough, or the process is to stop.
    Over,
    /// Restate had given the attempt up, and made another one.
    Replaced,
}

/// A shard as this process has it. It outlives leases, so that the next one need not load anything.
pub struct Shard<L: Log> {
    rules: Rules,
    /// The number of the attempt that was made last.
    newest: AtomicU64,
    turn: tokio::sync::Mutex<()>,
    session: Mutex<Option<Arc<Session<L>>>>,
}

/// A producer, and what is committed as far as it knows.
struct Session<L: Log> {
    producer: L::Producer,
    memory: Memory<L::Key, L::Value>,
    /// Whether its last transaction ended in a known commit.
    settled: AtomicBool,
}

/// Records on their way into a transaction.
struct Batch<L: Log> {
    changes: Changes<L::Output, L::Key, L::Value>,
    attempt: u64,
}

impl<L: Log> Default for Shard<L> {
    fn default() -> Self {
        Self::new(Rules::ALL)
    }
}

impl<L: Log> Shard<L> {
    /// A shard that keeps these rules, and that nothing is known of.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            newest: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            session: Mutex::default(),
        }
    }

    /// How many keys are kept in memory.
    pub fn keys(&self) -> usize {
        let session = self.held().clone();
        session.map_or(0, |session| session.memory.keys())
    }

    /// Works off what is there, batch after batch, until nothing comes any more or the lease is `over`.
    /// An error leaves nothing behind; whoever comes next goes on from what is committed.
    pub async fn lease(
        &self,
        log: &L,
        decide: &impl Decide<L>,
        over: impl Fn() -> bool,
    ) -> Result<Ended, L::Error> {
        let attempt = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = match self.rules.keep(Rule::Lock) {
            true => Some(self.turn.lock().await),
            false => None,
        };
        let mut first = true;
        loop {
            if !self.is_newest(attempt) {
                return Ok(Ended::Replaced);
            }
            if over() {
                return Ok(Ended::Over);
            }
            let (session, kept) = self.session(log).await?;
            let position = session.memory.position();
            let read = log.read(&position, first).await?;
            if read.next == position {
                return Ok(Ended::Idle);
            }
            let mut states = Overlay::new(&session.memory);
            let (outputs, note) = decide.decide(&mut states, read.records).await?;
            let changes = Changes {
                outputs,
                states: states.into_changes(),
                position: read.next,
            };
            match self.keep(&session, Batch { changes, attempt }).await {
                Ok(true) => decide.committed(note),
                Ok(false) => return Ok(Ended::Replaced),
                // Another process has had the lease since the last one here.
                Err(error) if first && kept => tracing::debug!(%error, "a shard is loaded anew"),
                Err(error) => return Err(error),
            }
            first = false;
        }
    }

    /// What this process has of the shard, or what is committed of it; whether it was here already.
    async fn session(&self, log: &L) -> Result<(Arc<Session<L>>, bool), L::Error> {
        let held = self.held().clone();
        if let Some(session) = &held
            && session.settled.load(Ordering::SeqCst)
        {
            return Ok((Arc::clone(session), true));
        }
        if let (Some(session), false) = (held, self.rules.keep(Rule::Fence)) {
            let loaded = log.load().await?;
            session.memory.adopt(loaded.states, loaded.position);
            return Ok((session, false));
        }
        *self.held() = None;
        let (producer, loaded) = if self.rules.keep(Rule::Settled) {
            let producer = log.producer().await?;
            (producer, log.load().await?)
        } else {
            let loaded = log.load().await?;
            (log.producer().await?, loaded)
        };
        let session = Arc::new(Session {
            producer,
            memory: Memory::new(loaded),
            settled: AtomicBool::new(true),
        });
        *self.held() = Some(Arc::clone(&session));
        Ok((session, false))
    }

    /// Keeps what was decided, all or nothing; `false`: another attempt has taken this one's place.
    async fn keep(&self, session: &Session<L>, batch: Batch<L>) -> Result<bool, L::Error> {
        let Batch { changes, attempt } = batch;
        let (states, position) = (changes.states.clone(), changes.position.clone());
        if !self.rules.keep(Rule::Overlay) {
            let before = session.memory.position();
            session.memory.adopt(states.clone(), before);
        }
        if !self.is_newest(attempt) {
            return Ok(false);
        }
        session.settled.store(false, Ordering::SeqCst);
        let kept = self.transact(session, changes, attempt).await;
        match kept {
            Ok(true) => session.memory.adopt(states, position),
            Err(_) if !self.rules.keep(Rule::KnownCommit) => {}
            _ => return kept,
        }
        session.settled.store(true, Ordering::SeqCst);
        kept
    }

    async fn transact(
        &self,
        session: &Session<L>,
        changes: Changes<L::Output, L::Key, L::Value>,
        attempt: u64,
    ) -> Result<bool, L::Error> {
        session.producer.begin().await?;
        session.producer.send(changes).await?;
        if !self.is_newest(attempt) {
            return Ok(false);
        }
        session.producer.commit().await?;
        Ok(true)
    }

    fn is_newest(&self, attempt: u64) -> bool {
        !self.rules.keep(Rule::Newest) || self.newest.load(Ordering::SeqCst) == attempt
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Session<L>>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
