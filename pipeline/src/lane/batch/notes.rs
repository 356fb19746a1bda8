//! Notes of who is about to decide what, made after attempts that did not end. An event that ends its
//! process leaves one behind; after several it is not decided any more.
//!
//! A note is kept beside the position, before anything is decided. The first is about all that was
//! read: a shard that is not to blame loses no time. Where a process that is gone has left one, each
//! event has a note of its own.

use tokio::sync::Mutex;

use super::log::Position;

/// Processes that were gone while they decided about an event: after so many it is not handled again.
pub const ENOUGH: usize = 3;
/// No more are kept.
const MOST: usize = 8;

/// A process, as its notes name it.
#[derive(Debug)]
pub struct Process {
    /// No other process has it, not even the next one of the same machine.
    pub id: u64,
    /// Held by the shard that has noted something and has not decided it yet: if the process ends, no
    /// other of its shards is to blame.
    pub(super) turn: Mutex<()>,
}

impl Default for Process {
    fn default() -> Self {
        Self::new(uuid::Uuid::new_v4().as_u64_pair().0)
    }
}

impl Process {
    /// A process with this id.
    pub fn new(id: u64) -> Self {
        let turn = Mutex::const_new(());
        Self { id, turn }
    }
}

/// Some processes were about to decide a topic's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Those before this offset that are not decided.
    pub until: i64,
    /// Which processes, the last one last.
    pub by: Vec<u64>,
}

/// The notes of a shard, in the order of its topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes(Vec<Option<Note>>);

impl Notes {
    /// As they were kept. None of what is decided already.
    pub fn new(kept: Vec<Option<Note>>, position: &Position) -> Self {
        Self(kept).behind(position)
    }

    /// Of a topic.
    pub fn of(&self, topic: usize) -> Option<&Note> {
        self.0.get(topic)?.as_ref()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Those of other processes. Who finds a note of its own is not gone.
    pub fn without(&self, process: u64) -> Self {
        let notes = self.0.iter().map(|note| {
            let mut note = note.clone()?;
            note.by.retain(|by| *by != process);
            (!note.by.is_empty()).then_some(note)
        });
        Self(notes.collect())
    }

    /// Those that are left when everything before `position` is decided.
    pub fn behind(&self, position: &Position) -> Self {
        let notes = self.0.iter().zip(&position.0).map(|(note, next)| {
            let note = note.as_ref().filter(|note| note.until > *next);
            note.cloned()
        });
        Self(notes.collect())
    }

    /// Whether a record is among those that somebody was about to decide.
    pub fn covers(&self, topic: usize, offset: i64) -> bool {
        self.of(topic).is_some_and(|note| offset < note.until)
    }

    /// How many processes were about to decide a record, and nothing of its topic behind it.
    pub fn by(&self, topic: usize, offset: i64) -> usize {
        let note = self.of(topic).filter(|note| note.until == offset + 1);
        note.map_or(0, |note| note.by.len())
    }

    /// With a note that this process is about to decide what is between these positions.
    pub fn noted(&self, from: &Position, to: &Position, process: u64) -> Self {
        let others = self.without(process);
        let offsets = from.0.iter().zip(&to.0).enumerate();
        let notes = offsets.map(|(topic, (next, until))| {
            let before = others.of(topic).cloned();
            if until <= next {
                return before;
            }
            let same = before.filter(|note| note.until == *until);
            let mut by = same.map_or_else(Vec::new, |note| note.by);
            by.push(process);
            let beyond = by.len().saturating_sub(MOST);
            by.drain(..beyond);
            Some(Note { until: *until, by })
        });
        Self(notes.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offsets: [i64; 2]) -> Position {
        Position(offsets.into())
    }

    #[test]
    fn who_is_gone_is_counted_for_one_record_and_who_lives_is_not() {
        let whole = Notes::default().noted(&at([0, 0]), &at([9, 0]), 1);
        assert!(whole.covers(0, 8) && !whole.covers(0, 9) && !whole.covers(1, 0));
        assert_eq!(whole.by(0, 3), 0, "it may be any of them");
        assert!(whole.without(1).is_empty(), "that is this process itself");
        let one = whole.noted(&at([3, 0]), &at([4, 0]), 2);
        let other = one.noted(&at([3, 0]), &at([3, 5]), 3);
        let again = other.noted(&at([3, 0]), &at([4, 0]), 4);
        assert_eq!((again.by(0, 3), again.without(4).by(0, 3)), (2, 1));
        assert_eq!(again.by(1, 4), 1, "a topic's note stays");
        let decided = again.behind(&at([4, 0]));
        assert_eq!((decided.by(0, 3), decided.by(1, 4)), (0, 1));
        let many = (10..100).fold(again, |notes, process| {
            notes.noted(&at([3, 0]), &at([4, 0]), process)
        });
        assert_eq!(many.by(0, 3), MOST);
    }
}
