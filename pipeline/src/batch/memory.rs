//! The states of a shard's keys, and what a batch changes of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::log::{Loaded, Position};
use super::notes::Notes;

/// What is committed of a shard.
#[derive(Debug)]
pub struct Memory<K, V>(Mutex<Committed<K, V>>);

#[derive(Debug)]
struct Committed<K, V> {
    states: HashMap<K, V>,
    position: Position,
    notes: Notes,
}

impl<K: Clone + Eq + Hash, V: Clone> Memory<K, V> {
    /// Of what was loaded.
    pub fn new(loaded: Loaded<K, V>) -> Self {
        Self(Mutex::new(Committed {
            states: loaded.states.into_iter().collect(),
            position: loaded.position,
            notes: loaded.notes,
        }))
    }

    /// Up to where the topics are decided.
    pub fn position(&self) -> Position {
        self.committed().position.clone()
    }

    /// Who was about to decide more.
    pub fn notes(&self) -> Notes {
        self.committed().notes.clone()
    }

    /// How many keys have a state.
    pub fn keys(&self) -> usize {
        self.committed().states.len()
    }

    /// Takes new states over, where reading goes on, and notes.
    pub fn adopt(&self, states: Vec<(K, V)>, position: Position, notes: Notes) {
        let mut committed = self.committed();
        committed.states.extend(states);
        (committed.position, committed.notes) = (position, notes);
    }

    fn committed(&self) -> MutexGuard<'_, Committed<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// States as a batch sees them. Memory knows nothing of its changes before they are committed.
#[derive(Debug)]
pub struct Overlay<'m, K, V> {
    memory: &'m Memory<K, V>,
    changed: HashMap<K, V>,
}

impl<'m, K: Clone + Eq + Hash, V: Clone> Overlay<'m, K, V> {
    /// Over what is committed.
    pub fn new(memory: &'m Memory<K, V>) -> Self {
        let changed = HashMap::new();
        Self { memory, changed }
    }

    /// The state of a key.
    pub fn get(&self, key: &K) -> Option<V> {
        let changed = self.changed.get(key).cloned();
        changed.or_else(|| self.memory.committed().states.get(key).cloned())
    }

    /// Changes it.
    pub fn set(&mut self, key: K, value: V) {
        self.changed.insert(key, value);
    }

    /// What was changed, each key once.
    pub fn into_changes(self) -> Vec<(K, V)> {
        self.changed.into_iter().collect()
    }
}
