//! States within a limit of memory. What was not used for longest lies in a file that nobody else sees
//! and that is gone with the process: it is a copy to throw away.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, StorageBackend, TableDefinition};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::lane::batch::memory::{States, Unkept};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("states");
/// What the store may keep in memory besides.
const CACHE: usize = 4 << 20;
/// What a key costs besides its bytes: its places in the map and in the queue.
const OVERHEAD: usize = 128;
/// So much is written at a time: a part of the limit.
const SHARE: usize = 16;

/// The states of a shard.
pub struct Spilled {
    limit: usize,
    bytes: usize,
    near: HashMap<Arc<str>, Near>,
    /// Keys in memory, in the order in which they are looked at when there is too much of them.
    turns: VecDeque<Arc<str>>,
    far: Option<Database>,
    /// Keys that are in the file and not in memory.
    only_far: usize,
    /// The last key in the file that somebody has looked at in turn.
    looked_at: Option<Arc<str>>,
    /// Whether something was begun and did not succeed: states may be missing.
    broken: bool,
}

struct Near {
    value: Bytes,
    /// Since its last turn.
    used: bool,
    /// Whether the file has it as it is.
    is_far: bool,
}

/// A file that need not survive anything.
#[derive(Debug)]
struct Scratch(File);

impl StorageBackend for Scratch {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

fn unkept(error: impl Into<redb::Error>) -> Unkept {
    Unkept(format!("states are not kept on disk: {}", error.into()))
}

impl Spilled {
    /// None yet, and so many bytes of them in memory at most.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            near: HashMap::new(),
            turns: VecDeque::new(),
            far: None,
            only_far: 0,
            looked_at: None,
            broken: false,
        }
    }

    /// Takes a state over, or the news that there is none.
    pub fn put(&mut self, key: Arc<str>, value: Option<Bytes>) -> Result<(), Unkept> {
        self.wholly(|states| {
            match value {
                Some(value) => states.bring(key, value, false)?,
                None => states.remove(&[key])?,
            }
            states.shrink()
        })
    }

    /// Does something, unless something before it has failed. Who goes on after that would take states
    /// that are missing for such that have never been.
    fn wholly<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Unkept>,
    ) -> Result<T, Unkept> {
        if self.broken {
            let why = "states are not kept on disk: an earlier attempt failed";
            return Err(Unkept(why.to_owned()));
        }
        self.broken = true;
        let done = work(self)?;
        self.broken = false;
        Ok(done)
    }

    fn bring(&mut self, key: Arc<str>, value: Bytes, is_far: bool) -> Result<(), Unkept> {
        let near = Near {
            value,
            used: true,
            is_far,
        };
        self.bytes += cost(&key, &near.value);
        if let Some(before) = self.near.insert(Arc::clone(&key), near) {
            self.bytes -= cost(&key, &before.value);
            return Ok(());
        }
        if is_far || self.far(&key)?.is_some() {
            self.only_far -= 1;
        }
        self.turns.push_back(key);
        Ok(())
    }

    fn remove(&mut self, keys: &[Arc<str>]) -> Result<(), Unkept> {
        let mut were_near = Vec::with_capacity(keys.len());
        for key in keys {
            let near = self.near.remove(key);
            if let Some(near) = &near {
                self.bytes -= cost(key, &near.value);
            }
            were_near.push(near.is_some());
        }
        let Some(far) = self.far.as_ref().filter(|_| !keys.is_empty()) else {
            return Ok(());
        };
        let writing = begin(far)?;
        {
            let mut table = writing.open_table(TABLE).map_err(unkept)?;
            for (key, was_near) in keys.iter().zip(were_near) {
                let removed = table.remove(&**key).map_err(unkept)?;
                self.only_far -= usize::from(removed.is_some() && !was_near);
            }
        }
        writing.commit().map_err(unkept)
    }

    /// Some of the keys that are in the file and not in memory, behind those that were told last.
    fn some_far(&mut self, count: usize) -> Result<Vec<(Arc<str>, Bytes)>, Unkept> {
        let mut some = Vec::new();
        let Some(far) = self.far.as_ref().filter(|_| self.only_far > 0) else {
            return Ok(some);
        };
        let reading = far.begin_read().map_err(unkept)?;
        let table = reading.open_table(TABLE).map_err(unkept)?;
        let last = self.looked_at.take();
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let behind = table.range::<&str>((from, Bound::Unbounded));
        for entry in behind.map_err(unkept)?.take(count) {
            let (key, value) = entry.map_err(unkept)?;
            let key: Arc<str> = key.value().into();
            if !self.near.contains_key(&key) {
                some.push((Arc::clone(&key), Bytes::copy_from_slice(value.value())));
            }
            self.looked_at = Some(key);
        }
        Ok(some)
    }

    /// What the file has of a key.
    fn far(&self, key: &str) -> Result<Option<Bytes>, Unkept> {
        // A new key costs no look before anything lies there.
        let far = self.far.as_ref().filter(|_| self.only_far > 0);
        let Some(far) = far else { return Ok(None) };
        on_disk(|| {
            let reading = far.begin_read().map_err(unkept)?;
            let table = reading.open_table(TABLE).map_err(unkept)?;
            let found = table.get(key).map_err(unkept)?;
            Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    /// Writes what was not used since its last turn into the file, until there is room.
    fn shrink(&mut self) -> Result<(), Unkept> {
        if self.bytes <= self.limit {
            return Ok(());
        }
        let room = self.limit - self.limit / SHARE;
        let mut leaving = Vec::new();
        while self.bytes > room
            && let Some(key) = self.turns.pop_front()
        {
            let Some(near) = self.near.get_mut(&key) else {
                continue;
            };
            if std::mem::take(&mut near.used) {
                self.turns.push_back(key);
            } else if let Some(near) = self.near.remove(&key) {
                self.bytes -= cost(&key, &near.value);
                leaving.push((key, near));
            }
        }
        self.only_far += leaving.len();
        leaving.retain(|(_, near)| !near.is_far);
        if leaving.is_empty() {
            return Ok(());
        }
        let far = self.far.take();
        let far = on_disk(|| {
            let far = match far {
                Some(far) => far,
                None => create()?,
            };
            let writing = begin(&far)?;
            {
                let mut table = writing.open_table(TABLE).map_err(unkept)?;
                leaving.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                for (key, near) in &leaving {
                    table.insert(&**key, &*near.value).map_err(unkept)?;
                }
            }
            writing.commit().map_err(unkept)?;
            Ok(far)
        })?;
        self.far = Some(far);
        Ok(())
    }
}

impl States<Arc<str>, Bytes> for Spilled {
    fn get(&mut self, key: &Arc<str>) -> Result<Option<Bytes>, Unkept> {
        self.wholly(|states| {
            if let Some(near) = states.near.get_mut(key) {
                near.used = true;
                return Ok(Some(near.value.clone()));
            }
            let found = states.far(key)?;
            if let Some(value) = &found {
                states.bring(Arc::clone(key), value.clone(), true)?;
                states.shrink()?;
            }
            Ok(found)
        })
    }

    fn adopt(&mut self, changes: Vec<(Arc<str>, Bytes)>) -> Result<(), Unkept> {
        self.wholly(|states| {
            let (kept, gone): (Vec<_>, Vec<_>) = changes
                .into_iter()
                .partition(|(_, value)| !value.is_empty());
            for (key, value) in kept {
                states.bring(key, value, false)?;
            }
            let gone: Vec<_> = gone.into_iter().map(|(key, _)| key).collect();
            states.remove(&gone)?;
            states.shrink()
        })
    }

    fn keys(&self) -> usize {
        self.near.len() + self.only_far
    }

    fn some(&mut self, count: usize) -> Result<Vec<(Arc<str>, Bytes)>, Unkept> {
        self.wholly(|states| {
            let mut some = states.some_far(count)?;
            for _ in 0..count.min(states.turns.len()) {
                let Some(key) = states.turns.pop_front() else {
                    break;
                };
                // A key that has left memory has no turn.
                if let Some(near) = states.near.get(&key) {
                    some.push((Arc::clone(&key), near.value.clone()));
                    states.turns.push_back(key);
                }
            }
            Ok(some)
        })
    }

    fn is_whole(&self) -> bool {
        !self.broken
    }
}

/// Does what may wait for the disk. Where the runtime has other threads they take over what this one has
/// to do besides.
fn on_disk<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn cost(key: &str, value: &Bytes) -> usize {
    OVERHEAD + 2 * key.len() + value.len()
}

fn create() -> Result<Database, Unkept> {
    let file = tempfile::tempfile().map_err(|error| Unkept(error.to_string()))?;
    create_on(Scratch(file))
}

fn create_on(backend: impl StorageBackend) -> Result<Database, Unkept> {
    let made = Database::builder()
        .set_cache_size(CACHE)
        .create_with_backend(backend);
    made.map_err(unkept)
}

fn begin(far: &Database) -> Result<redb::WriteTransaction, Unkept> {
    let mut writing = far.begin_write().map_err(unkept)?;
    writing
        .set_durability(Durability::Immediate)
        .map_err(unkept)?;
    Ok(writing)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> Arc<str> {
        format!("key{number}").into()
    }

    /// A disk that takes nothing more once it is full.
    #[derive(Debug)]
    struct Filling {
        disk: Scratch,
        full: Arc<AtomicBool>,
    }

    impl Filling {
        fn room(&self) -> std::io::Result<()> {
            match self.full.load(Ordering::SeqCst) {
                true => Err(std::io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl StorageBackend for Filling {
        fn len(&self) -> std::io::Result<u64> {
            self.disk.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.disk.read(offset, out)
        }

        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.room()?;
            self.disk.set_len(len)
        }

        fn sync_data(&self) -> std::io::Result<()> {
            self.room()
        }

        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.room()?;
            self.disk.write(offset, data)
        }
    }

    #[test]
    fn after_a_full_disk_no_state_is_told_as_if_it_had_never_been() {
        let full = Arc::new(AtomicBool::new(false));
        let disk = Scratch(tempfile::tempfile().unwrap());
        let filling = Filling {
            disk,
            full: Arc::clone(&full),
        };
        let mut spilled = Spilled::new(4000);
        spilled.far = Some(create_on(filling).unwrap());
        let value = Bytes::from(vec![1; 100]);
        for number in 0..40 {
            spilled.put(key(number), Some(value.clone())).unwrap();
        }
        assert_eq!(spilled.get(&key(0)).unwrap(), Some(value.clone()));
        full.store(true, Ordering::SeqCst);
        let mut more = 100..200;
        assert!(more.any(|number| {
            let changes = vec![(key(number), value.clone())];
            spilled.adopt(changes).is_err()
        }));
        // There is room again, and it is too late.
        full.store(false, Ordering::SeqCst);
        for number in 0..40 {
            assert!(spilled.get(&key(number)).is_err());
        }
        assert!(spilled.adopt(Vec::new()).is_err());
        assert!(spilled.put(key(1), Some(value)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever lies where, it is what a map would have, within the limit.
        #[test]
        fn it_is_as_a_map_would_be(steps in prop::collection::vec((0_u8..6, 0_u16..60, 1_u8..200), 1..400)) {
            let mut spilled = Spilled::new(4000);
            let mut map: HashMap<Arc<str>, Bytes> = HashMap::new();
            for (what, number, length) in steps {
                let value = Bytes::from(vec![length; usize::from(length)]);
                match what {
                    0 => {
                        spilled.put(key(number), None).unwrap();
                        map.remove(&key(number));
                    }
                    1 => {
                        let changes = vec![(key(number), value.clone()), (key(number / 2), value)];
                        spilled.adopt(changes.clone()).unwrap();
                        map.extend(changes);
                    }
                    2 => {
                        let none = vec![(key(number), Bytes::new()), (key(number + 1), Bytes::new())];
                        spilled.adopt(none).unwrap();
                        map.remove(&key(number));
                        map.remove(&key(number + 1));
                    }
                    3 => {
                        for (key, value) in spilled.some(usize::from(number)).unwrap() {
                            prop_assert_eq!(Some(&value), HashMap::get(&map, &key));
                        }
                    }
                    _ => {
                        let found = spilled.get(&key(number)).unwrap();
                        prop_assert_eq!(found.as_ref(), HashMap::get(&map, &key(number)));
                    }
                }
                prop_assert_eq!(spilled.keys(), map.len());
                prop_assert!(spilled.bytes <= 4000);
                prop_assert!(spilled.near.len() <= spilled.turns.len());
            }
        }
    }
}
