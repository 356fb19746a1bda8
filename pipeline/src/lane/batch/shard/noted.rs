//! Batches that may end the process: before anything of them is decided it is noted who is about to.

use std::sync::Arc;

use super::{Ended, Lease, Session, Shard};
use crate::lane::batch::log::{Changes, Decide, Log, Position, Read};
use crate::lane::batch::notes::{ENOUGH, Notes};
use crate::lane::batch::rules::Rule;

/// Records that have a note in common.
struct Part<R> {
    records: Vec<R>,
    /// Behind the last of them.
    until: Position,
    /// Behind what is passed over, too.
    to: Position,
}

impl<L: Log> Shard<L> {
    /// Whether somebody else was about to decide what comes next, and is gone.
    pub(super) fn is_suspect(&self, session: &Session<L>) -> bool {
        !self.others(session).is_empty()
    }

    /// Decides what was read and keeps it, noting before what is about to be decided. `Some`: the lease
    /// has ended.
    pub(super) async fn noted<D: Decide<L>, O: Fn() -> bool>(
        &self,
        lease: &Lease<'_, L, D, O>,
        session: &Session<L>,
        read: Read<L::Record>,
    ) -> Result<Option<Ended>, L::Error> {
        let _turn = match self.rules.keep(Rule::Turn) {
            true => Some(self.process.turn.lock().await),
            false => None,
        };
        let kept = self.part_by_part(lease, session, read).await;
        if kept.is_err() && self.rules.keep(Rule::Alive) {
            self.strike_out(lease).await;
        }
        Ok((!kept?).then_some(Ended::Replaced))
    }

    async fn part_by_part<D: Decide<L>, O: Fn() -> bool>(
        &self,
        lease: &Lease<'_, L, D, O>,
        session: &Session<L>,
        read: Read<L::Record>,
    ) -> Result<bool, L::Error> {
        let me = self.process.id;
        let from = session.memory.position();
        let mut parts = self.parts(&from, &self.others(session), read).into_iter();
        let mut next = parts.next();
        if let Some(part) = &next {
            let notes = session.memory.notes().noted(&from, &part.until, me);
            if !self
                .keep(session, lease.attempt, unchanged(from, notes))
                .await?
            {
                return Ok(false);
            }
        }
        while let Some(Part { records, to, .. }) = next {
            let (mut states, others) = (session.overlay(), self.others(session));
            let ended = match &records[..] {
                [one] => {
                    let (topic, offset) = L::at(one);
                    others.by(topic, offset)
                }
                _ => 0,
            };
            let mut records = records;
            let decided = match records.pop_if(|_| ended >= ENOUGH) {
                Some(one) => lease.decide.crashed(&mut states, one, ended).await,
                None => lease.decide.decide(&mut states, records).await,
            };
            let (outputs, note) = decided?;
            // Who stops here must not leave a note behind.
            next = parts.next().filter(|_| !(lease.over)());
            let left = session.memory.notes().without(me).behind(&to);
            let notes = match &next {
                Some(part) => left.noted(&to, &part.until, me),
                None => left,
            };
            let changes = Changes {
                outputs,
                states: states.into_changes().into(),
                position: to,
                notes,
            };
            if !self.keep(session, lease.attempt, changes).await? {
                return Ok(false);
            }
            lease.decide.committed(note);
        }
        Ok(true)
    }

    /// Each record that somebody was about to decide is a part, and all behind the last of them.
    fn parts(
        &self,
        from: &Position,
        others: &Notes,
        read: Read<L::Record>,
    ) -> Vec<Part<L::Record>> {
        let Read { mut records, next } = read;
        let is_covered = |record: &L::Record| {
            let (topic, offset) = L::at(record);
            others.covers(topic, offset)
        };
        let covered = match self.rules.keep(Rule::Singly) {
            true => records
                .iter()
                .rposition(is_covered)
                .map_or(0, |last| last + 1),
            false => 0,
        };
        let rest = records.split_off(covered);
        let (mut at, mut parts) = (from.clone(), Vec::with_capacity(covered + 1));
        for record in records {
            let records = vec![record];
            at = behind(at, &records, L::at);
            let (until, to) = (at.clone(), at.clone());
            parts.push(Part { records, until, to });
        }
        match parts.last_mut() {
            // Marks of transactions lie behind it.
            Some(last) if rest.is_empty() => last.to = next,
            _ => parts.push(Part {
                until: behind(at, &rest, L::at),
                records: rest,
                to: next,
            }),
        }
        parts
    }

    /// Notes of others that are about what is not decided yet.
    fn others(&self, session: &Session<L>) -> Notes {
        let notes = session.memory.notes();
        match self.rules.keep(Rule::Alive) {
            true => notes.without(self.process.id),
            false => notes,
        }
    }

    /// The attempt has failed, and its process lives: nothing is to blame. Where this cannot be kept
    /// either, the note counts once.
    async fn strike_out<D: Decide<L>, O>(&self, lease: &Lease<'_, L, D, O>) {
        let Ok((session, _)) = self.session(lease.log).await else {
            return;
        };
        let (notes, others) = (session.memory.notes(), self.others(&session));
        if notes != others {
            let changes = unchanged(session.memory.position(), others);
            let _ = self.keep(&session, lease.attempt, changes).await;
        }
    }
}

/// The position behind these records.
fn behind<R>(from: Position, records: &[R], at: impl Fn(&R) -> (usize, i64)) -> Position {
    records.iter().fold(from, |mut behind, record| {
        let (topic, offset) = at(record);
        behind.0[topic] = offset + 1;
        behind
    })
}

/// Notes alone.
fn unchanged<O, K, V>(position: Position, notes: Notes) -> Changes<O, K, V> {
    Changes {
        outputs: Vec::new(),
        states: Arc::default(),
        position,
        notes,
    }
}
