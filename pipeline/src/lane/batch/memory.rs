//! The states of a shard's keys, and what a batch changes of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log::{Loaded, Position, Standing};
use super::notes::Notes;

/// A copy of what is committed of a shard's keys.
pub trait States<K, V>: Send {
    /// The state of a key.
    fn get(&mut self, key: &K) -> Result<Option<V>, Unkept>;

    /// Takes new states over.
    fn adopt(&mut self, changes: Vec<(K, V)>) -> Result<(), Unkept>;

    /// How many keys have one.
    fn keys(&self) -> usize;

    /// About so many keys with their states: called again and again, all of them in turn.
    fn some(&mut self, count: usize) -> Result<Vec<(K, V)>, Unkept>;

    /// Whether it is of use.
    fn is_whole(&self) -> bool {
        true
    }
}

/// The copy is of no more use, because what it lies on is not. It is to be made anew.
#[derive(Debug, thiserror::Error)]
#[error("{0}; the disk of the handlers' temporary folder (TMPDIR) is full or broken")]
pub struct Unkept(pub String);

/// All of them in memory.
impl<K: Eq + Hash + Send, V: Clone + Send> States<K, V> for HashMap<K, V> {
    fn get(&mut self, key: &K) -> Result<Option<V>, Unkept> {
        Ok(HashMap::get(self, key).cloned())
    }

    fn adopt(&mut self, changes: Vec<(K, V)>) -> Result<(), Unkept> {
        self.extend(changes);
        Ok(())
    }

    fn keys(&self) -> usize {
        self.len()
    }

    /// The model's: nothing in it is ever forgotten.
    fn some(&mut self, _: usize) -> Result<Vec<(K, V)>, Unkept> {
        Ok(Vec::new())
    }
}

/// What is committed of a shard.
#[derive(Debug)]
pub struct Memory<S>(Mutex<Loaded<S>>);

impl<S> Memory<S> {
    /// Of what was loaded.
    pub fn new(loaded: Loaded<S>) -> Self {
        Self(Mutex::new(loaded))
    }

    /// Up to where the topics are decided.
    pub fn position(&self) -> Position {
        self.committed().position.clone()
    }

    /// Who was about to decide more.
    pub fn notes(&self) -> Notes {
        self.committed().notes.clone()
    }

    /// Where the shard stands as far as it is committed.
    pub fn standing<K, V>(&self) -> Standing<K, V> {
        let committed = self.committed();
        Standing {
            position: committed.position.clone(),
            states: Arc::default(),
        }
    }

    /// How many keys have a state.
    pub fn keys<K, V>(&self) -> usize
    where
        S: States<K, V>,
    {
        self.committed().states.keys()
    }

    /// Whether it can be gone on with.
    pub fn is_whole<K, V>(&self) -> bool
    where
        S: States<K, V>,
    {
        self.committed().states.is_whole()
    }

    /// Takes all of it from what was loaded.
    pub fn replace(&self, loaded: Loaded<S>) {
        *self.committed() = loaded;
    }

    /// Takes new states over, where reading goes on, and notes.
    pub fn adopt<K, V>(
        &self,
        states: Vec<(K, V)>,
        position: Position,
        notes: Notes,
    ) -> Result<(), Unkept>
    where
        S: States<K, V>,
    {
        let mut committed = self.committed();
        committed.states.adopt(states)?;
        (committed.position, committed.notes) = (position, notes);
        Ok(())
    }

    fn committed(&self) -> MutexGuard<'_, Loaded<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What knows states, whatever they are kept in.
trait Knows<K, V>: Sync {
    fn state(&self, key: &K) -> Result<Option<V>, Unkept>;

    fn some(&self, count: usize) -> Result<Vec<(K, V)>, Unkept>;
}

impl<K, V, S: States<K, V>> Knows<K, V> for Memory<S> {
    fn state(&self, key: &K) -> Result<Option<V>, Unkept> {
        self.committed().states.get(key)
    }

    fn some(&self, count: usize) -> Result<Vec<(K, V)>, Unkept> {
        self.committed().states.some(count)
    }
}

/// States as a batch sees them. Memory knows nothing of its changes before they are committed.
pub struct Overlay<'m, K, V> {
    memory: &'m dyn Knows<K, V>,
    /// What the batch before it has changed, as long as memory does not know it.
    before: Arc<HashMap<K, V>>,
    changed: HashMap<K, V>,
}

impl<'m, K: Clone + Eq + Hash, V: Clone> Overlay<'m, K, V> {
    /// Over what is committed.
    pub fn new<S: States<K, V>>(memory: &'m Memory<S>) -> Self {
        Self::over(memory, Arc::default())
    }

    /// Over what is committed and what a batch that is about to be has changed.
    pub fn over<S: States<K, V>>(memory: &'m Memory<S>, before: Arc<HashMap<K, V>>) -> Self {
        Self {
            memory,
            before,
            changed: HashMap::new(),
        }
    }

    /// The state of a key.
    pub fn get(&self, key: &K) -> Result<Option<V>, Unkept> {
        match self.changed.get(key).or_else(|| self.before.get(key)) {
            Some(changed) => Ok(Some(changed.clone())),
            None => self.memory.state(key),
        }
    }

    /// Changes it.
    pub fn set(&mut self, key: K, value: V) {
        self.changed.insert(key, value);
    }

    /// About so many keys that are not changed, with their states. Whoever forgets states looks at
    /// some with each batch, and comes to all of them in turn.
    pub fn some(&self, count: usize) -> Result<Vec<(K, V)>, Unkept> {
        let mut some = self.memory.some(count)?;
        let is_changed = |key: &K| self.changed.contains_key(key) || self.before.contains_key(key);
        some.retain(|(key, _)| !is_changed(key));
        Ok(some)
    }

    /// What was changed, each key once.
    pub fn into_changes(self) -> HashMap<K, V> {
        self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that it has are looked at.
    struct All(HashMap<u8, u8>);

    impl States<u8, u8> for All {
        fn get(&mut self, key: &u8) -> Result<Option<u8>, Unkept> {
            Ok(self.0.get(key).copied())
        }

        fn adopt(&mut self, changes: Vec<(u8, u8)>) -> Result<(), Unkept> {
            self.0.extend(changes);
            Ok(())
        }

        fn keys(&self) -> usize {
            self.0.len()
        }

        fn some(&mut self, _: usize) -> Result<Vec<(u8, u8)>, Unkept> {
            Ok(self.0.iter().map(|(key, value)| (*key, *value)).collect())
        }
    }

    #[test]
    fn a_batch_sees_the_one_below_it_whether_memory_knows_that_or_not() {
        let memory = Memory::new(Loaded {
            states: All([(1, 10), (2, 20), (3, 30)].into()),
            position: Position(vec![0]),
            notes: Notes::default(),
        });
        let below: Arc<HashMap<_, _>> = Arc::new([(2, 21), (4, 41)].into());
        let mut states = Overlay::over(&memory, Arc::clone(&below));
        states.set(3, 32);
        for _ in 0..2 {
            let seen = [1, 2, 3, 4, 5].map(|key| states.get(&key).unwrap());
            assert_eq!(seen, [Some(10), Some(21), Some(32), Some(41), None]);
            assert_eq!(
                states.some(9).unwrap(),
                [(1, 10)],
                "what is changed is not told"
            );
            let changes = below.iter().map(|(key, value)| (*key, *value)).collect();
            memory
                .adopt(changes, Position(vec![1]), Notes::default())
                .unwrap();
        }
        assert_eq!(states.into_changes(), [(3, 32)].into());
    }
}
