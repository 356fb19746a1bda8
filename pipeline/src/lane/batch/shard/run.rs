//! Batches that nobody has doubts about: while one is kept, the next is read and decided on top of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Ended, Lease, Session, Shard};
use crate::lane::batch::log::{Changes, Decide, Log, Read, Standing};
use crate::lane::batch::memory::Overlay;
use crate::lane::batch::notes::Notes;
use crate::lane::batch::rules::Rule;

/// A batch that is decided, and the note of it. Nobody knows of it before it is kept.
struct Batch<L: Log, N> {
    changes: Changes<L::Output, L::Key, L::Value>,
    note: N,
}

/// The next batch, or why the lease ends.
type Next<L, N> = ControlFlow<Ended, Batch<L, N>>;

impl<L: Log> Shard<L> {
    /// Works off what was read and what comes behind it, until the lease ends. No longer the `first`
    /// of a lease is what comes after a batch that is kept.
    pub(super) async fn run<D: Decide<L>, O: Fn() -> bool>(
        &self,
        lease: &Lease<'_, L, D, O>,
        session: &Session<L>,
        read: Read<L::Record>,
        first: &mut bool,
    ) -> Result<Ended, L::Error> {
        let standing = session.memory.standing();
        let mut batch = self.decided(lease, session, standing, read).await?;
        loop {
            let Batch { changes, note } = batch;
            let standing = changes.standing();
            // Only what is left of keeping it is waiting. To decide before everything is handed over
            // would leave the transaction open for as long as that takes.
            let Some(sent) = self.send(session, lease.attempt, changes).await? else {
                return Ok(Ended::Replaced);
            };
            let commit = async {
                match self.commit(session, lease.attempt, sent).await {
                    Ok(true) => lease.decide.committed(note),
                    Ok(false) => return Err(Ok(Ended::Replaced)),
                    Err(error) => return Err(Err(error)),
                }
                self.has_ended(lease).map_or(Ok(()), |ended| Err(Ok(ended)))
            };
            // What it comes to matters once the batch below it is kept.
            let next = async { Ok(self.next(lease, session, standing).await) };
            let next = match futures::future::try_join(commit, next).await {
                Ok(((), next)) => next?,
                Err(ended) => return ended,
            };
            *first = false;
            let next = match next {
                // It was waited while the batch below was kept; a lease waits after that.
                ControlFlow::Break(Ended::Idle) => {
                    let standing = session.memory.standing();
                    self.next(lease, session, standing).await?
                }
                next => next,
            };
            batch = match next {
                ControlFlow::Continue(batch) => batch,
                ControlFlow::Break(ended) => return Ok(ended),
            };
        }
    }

    /// Reads and decides what comes next.
    async fn next<D: Decide<L>, O: Fn() -> bool>(
        &self,
        lease: &Lease<'_, L, D, O>,
        session: &Session<L>,
        standing: Standing<L::Key, L::Value>,
    ) -> Result<Next<L, D::Note>, L::Error> {
        if let Some(ended) = self.has_ended(lease) {
            return Ok(ControlFlow::Break(ended));
        }
        let read = lease.log.read(&standing.position, false).await?;
        if read.next == standing.position {
            return Ok(ControlFlow::Break(Ended::Idle));
        }
        let decided = self.decided(lease, session, standing, read).await?;
        Ok(ControlFlow::Continue(decided))
    }

    async fn decided<D: Decide<L>, O>(
        &self,
        lease: &Lease<'_, L, D, O>,
        session: &Session<L>,
        standing: Standing<L::Key, L::Value>,
        read: Read<L::Record>,
    ) -> Result<Batch<L, D::Note>, L::Error> {
        let below = match self.rules.keep(Rule::OnTop) {
            true => standing.states,
            false => Arc::default(),
        };
        let mut states = Overlay::over(&session.memory, below);
        let (outputs, note) = lease.decide.decide(&mut states, read.records).await?;
        let changes = Changes {
            outputs,
            states: states.into_changes().into(),
            // Where somebody else has left notes, there are doubts.
            notes: Notes::default(),
            position: read.next,
        };
        Ok(Batch { changes, note })
    }
}
