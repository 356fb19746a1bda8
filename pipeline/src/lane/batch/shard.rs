//! The driver: a shard, which is one partition of a service's topics, as one process has it.
//!
//! An invocation is a lease. While it runs Restate lets nobody else have the shard; but Restate may
//! give an attempt up that goes on all the same, here or in another process. So nothing depends on
//! there being one: whoever takes over makes a new producer, which shuts the others out, and only then
//! reads what is committed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::log::{Changes, Decide, Log, Position, Transactions};
use super::memory::{Memory, Overlay};
use super::notes::{Notes, Process};
use super::rules::{Rule, Rules};

mod noted;
mod run;
#[cfg(test)]
mod tests;

/// This process.
static HERE: LazyLock<Arc<Process>> = LazyLock::new(Arc::default);

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
    process: Arc<Process>,
    /// The number of the attempt that was made last.
    newest: AtomicU64,
    turn: tokio::sync::Mutex<()>,
    session: Mutex<Option<Arc<Session<L>>>>,
}

/// A producer, and what is committed as far as it knows.
struct Session<L: Log> {
    producer: L::Producer,
    memory: Memory<L::States>,
    /// Whether its last transaction ended in a known commit. A decision that failed before one began has
    /// changed nothing.
    settled: AtomicBool,
}

impl<L: Log> Session<L> {
    fn overlay(&self) -> Overlay<'_, L::Key, L::Value> {
        Overlay::new(&self.memory)
    }
}

/// What was handed over in a transaction that is not committed yet.
struct Sent<L: Log> {
    states: Arc<HashMap<L::Key, L::Value>>,
    position: Position,
    notes: Notes,
}

/// One attempt of a lease.
struct Lease<'l, L: Log, D, O> {
    log: &'l L,
    decide: &'l D,
    attempt: u64,
    over: O,
}

impl<L: Log> Default for Shard<L> {
    fn default() -> Self {
        Self::new(Rules::ALL, Arc::clone(&HERE))
    }
}

impl<L: Log> Shard<L> {
    /// A shard in this process that keeps these rules, and that nothing is known of.
    pub fn new(rules: Rules, process: Arc<Process>) -> Self {
        Self {
            rules,
            process,
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
    /// An error leaves nothing behind; whoever comes next goes on from what is committed. So many
    /// attempts before this one were `unended`: one of the records may have ended their processes.
    pub async fn lease<D: Decide<L>>(
        &self,
        log: &L,
        decide: &D,
        unended: u32,
        over: impl Fn() -> bool,
    ) -> Result<Ended, L::Error> {
        let attempt = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = match self.rules.keep(Rule::Lock) {
            true => Some(self.turn.lock().await),
            false => None,
        };
        let lease = Lease {
            log,
            decide,
            attempt,
            over,
        };
        let mut first = true;
        // What the last attempt had read is among as many: a batch to be kept, and the next.
        let mut doubted = match unended {
            0 => 0,
            _ => 2 * log.most(),
        };
        loop {
            if let Some(ended) = self.has_ended(&lease) {
                return Ok(ended);
            }
            let (session, kept) = self.session(log).await?;
            let position = session.memory.position();
            let read = log.read(&position, first).await?;
            if read.next == position {
                // No transaction will tell it that another one has rewound the shard.
                if first && kept && log.is_elsewhere(&position).await? {
                    *self.held() = None;
                    continue;
                }
                return Ok(Ended::Idle);
            }
            let is_doubted = doubted > 0 || self.is_suspect(&session);
            doubted = doubted.saturating_sub(read.records.len());
            let done = match is_doubted && self.rules.keep(Rule::Noted) {
                true => self.noted(&lease, &session, read).await,
                false => self.run(&lease, &session, read, &mut first).await.map(Some),
            };
            match done {
                Ok(None) => {}
                Ok(Some(ended)) => return Ok(ended),
                // Another process has had the lease since the last one here.
                Err(error) if first && kept && !session.settled.load(Ordering::SeqCst) => {
                    tracing::debug!(%error, "a shard is loaded anew");
                }
                // The same, found out before a transaction could tell.
                Err(error)
                    if first && kept && log.is_elsewhere(&position).await.unwrap_or_default() =>
                {
                    tracing::debug!(%error, "a shard is loaded anew");
                    *self.held() = None;
                }
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
            && session.memory.is_whole()
        {
            return Ok((Arc::clone(session), true));
        }
        if let (Some(session), false) = (held, self.rules.keep(Rule::Fence)) {
            let loaded = log.load().await?;
            session.memory.replace(loaded);
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
    async fn keep(
        &self,
        session: &Session<L>,
        attempt: u64,
        changes: Changes<L::Output, L::Key, L::Value>,
    ) -> Result<bool, L::Error> {
        match self.send(session, attempt, changes).await? {
            Some(sent) => self.commit(session, attempt, sent).await,
            None => Ok(false),
        }
    }

    /// Begins a transaction and hands over what was decided; `None`: another attempt has taken this one's
    /// place.
    async fn send(
        &self,
        session: &Session<L>,
        attempt: u64,
        changes: Changes<L::Output, L::Key, L::Value>,
    ) -> Result<Option<Sent<L>>, L::Error> {
        let sent = Sent {
            states: Arc::clone(&changes.states),
            position: changes.position.clone(),
            notes: changes.notes.clone(),
        };
        if !self.rules.keep(Rule::Overlay) {
            let (before, notes) = (session.memory.position(), session.memory.notes());
            session.memory.adopt(all(&sent.states), before, notes)?;
        }
        if !self.is_newest(attempt) {
            return Ok(None);
        }
        session.settled.store(false, Ordering::SeqCst);
        let handed_over = async {
            session.producer.begin().await?;
            session.producer.send(changes).await
        };
        self.believed(session, handed_over.await)?;
        Ok(Some(sent))
    }

    /// Commits what was handed over; `false`: another attempt has taken this one's place.
    async fn commit(
        &self,
        session: &Session<L>,
        attempt: u64,
        sent: Sent<L>,
    ) -> Result<bool, L::Error> {
        if !self.is_newest(attempt) {
            return Ok(false);
        }
        let Sent {
            states,
            position,
            notes,
        } = sent;
        let committed = session.producer.commit(&position, &notes).await;
        self.believed(session, committed)?;
        session.memory.adopt(all(&states), position, notes)?;
        session.settled.store(true, Ordering::SeqCst);
        Ok(true)
    }

    /// The same. Without the rule of the known commit what failed is gone on with.
    fn believed<T>(&self, session: &Session<L>, ended: Result<T, L::Error>) -> Result<T, L::Error> {
        if ended.is_err() && !self.rules.keep(Rule::KnownCommit) {
            session.settled.store(true, Ordering::SeqCst);
        }
        ended
    }

    /// Why nothing more is begun, if it is not.
    fn has_ended<D, O: Fn() -> bool>(&self, lease: &Lease<'_, L, D, O>) -> Option<Ended> {
        if !self.is_newest(lease.attempt) {
            return Some(Ended::Replaced);
        }
        (lease.over)().then_some(Ended::Over)
    }

    fn is_newest(&self, attempt: u64) -> bool {
        !self.rules.keep(Rule::Newest) || self.newest.load(Ordering::SeqCst) == attempt
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Session<L>>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all<K: Clone, V: Clone>(states: &HashMap<K, V>) -> Vec<(K, V)> {
    let all = states
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    all.collect()
}
