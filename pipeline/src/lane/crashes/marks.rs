//! Marks that survive the process: which invocations its threads were running when it died.
//!
//! Each process has a file in the folder, locked as long as it lives, with a slot for each of its
//! threads. Who finds the file unlocked knows that its process is gone; what stands in a slot was being
//! run then. The file `counts.json` keeps how often that was so of which invocation.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Bytes of a slot: a length and an id.
const SLOT: usize = 64;
/// What was found is forgotten after as many seconds.
const KEPT: i64 = 3600;
/// Of more invocations at once it is not kept.
const MOST: usize = 1000;

const COUNTS: &str = "counts.json";
const LOCK: &str = "lock";
const EXTENSION: &str = "running";

thread_local! {
    /// The slot of this thread.
    static SLOT_OF_THREAD: Cell<Option<u64>> = const { Cell::new(None) };
}

static NEXT_SLOT: AtomicU64 = AtomicU64::new(0);

/// What is known of an invocation that was running when a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Suspect {
    /// How often nothing else was running then.
    deaths: u32,
    /// When it was last so, in seconds since 1970.
    at: i64,
}

type Suspects = BTreeMap<String, Suspect>;

/// The marks of this process, and what those of dead ones told.
pub(super) struct Marks {
    folder: PathBuf,
    file: File,
    suspects: Mutex<Suspects>,
    /// Whether there are suspects, so that one attempt runs at a time.
    careful: AtomicBool,
    turn: Mutex<()>,
}

impl Marks {
    /// Opens the folder, reads what dead processes have left and begins a file for this one.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let _lock = locked(folder)?;
        let mut suspects = counts(folder);
        let now = jiff::Timestamp::now().as_second();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|it| it != EXTENSION) {
                continue;
            }
            let file = File::options().read(true).write(true).open(&path)?;
            // A lock that cannot be had is that of a process that lives.
            if file.try_lock().is_err() {
                continue;
            }
            blame(&mut suspects, &running(&fs::read(&path)?), now);
            fs::remove_file(&path)?;
        }
        suspects.retain(|_, suspect| (0..KEPT).contains(&now.saturating_sub(suspect.at)));
        while suspects.len() > MOST {
            suspects.pop_first();
        }
        write(folder, &suspects)?;
        let name = format!("{}.{EXTENSION}", uuid::Uuid::now_v7());
        let file = File::create_new(folder.join(name))?;
        file.try_lock().map_err(io::Error::other)?;
        for (invocation, suspect) in &suspects {
            tracing::warn!(
                invocation,
                deaths = suspect.deaths,
                "a process died while this invocation was running; one runs at a time now"
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            file,
            careful: AtomicBool::new(!suspects.is_empty()),
            suspects: Mutex::new(suspects),
            turn: Mutex::default(),
        })
    }

    /// Whether one attempt runs at a time, so that a mark blames one only.
    pub fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Relaxed)
    }

    /// Waits until no other attempt runs.
    pub fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.is_careful()
            .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often a process died while this invocation alone was running.
    pub fn deaths(&self, invocation: &str) -> u32 {
        if !self.is_careful() {
            return 0;
        }
        let suspects = self.suspects();
        suspects.get(invocation).map_or(0, |suspect| suspect.deaths)
    }

    /// This thread runs an invocation now.
    pub fn enter(&self, invocation: &str) {
        let mut slot = [0; SLOT];
        let id = invocation.as_bytes();
        let id = &id[..id.len().min(SLOT - 1)];
        // An id that is cut is that of another invocation: none is longer.
        slot[0] = u8::try_from(id.len()).unwrap_or(0);
        slot[1..=id.len()].copy_from_slice(id);
        // Without its mark the invocation is not blamed.
        let _ = self.file.write_all_at(&slot, place());
    }

    /// This thread no longer does.
    pub fn leave(&self) {
        let _ = self.file.write_all_at(&[0], place());
    }

    /// The invocation has ended: it is no suspect any more.
    pub fn ended(&self, invocation: &str) {
        if !self.is_careful() {
            return;
        }
        let mut suspects = self.suspects();
        if suspects.remove(invocation).is_none() {
            return;
        }
        let now = jiff::Timestamp::now().as_second();
        suspects.retain(|_, suspect| now.saturating_sub(suspect.at) < KEPT);
        self.careful.store(!suspects.is_empty(), Ordering::Relaxed);
        // Other processes may have counted meanwhile.
        let forgotten = locked(&self.folder).and_then(|_lock| {
            let mut counts = counts(&self.folder);
            counts.remove(invocation);
            write(&self.folder, &counts)
        });
        if let Err(error) = forgotten {
            tracing::warn!(%error, "marks of crashes cannot be written");
        }
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where this thread's slot begins.
fn place() -> u64 {
    let slot = SLOT_OF_THREAD.with(|slot| {
        slot.get().unwrap_or_else(|| {
            let next = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
            slot.set(Some(next));
            next
        })
    });
    slot * SLOT as u64
}

/// Held while the folder is read and written.
fn locked(folder: &Path) -> io::Result<File> {
    let lock = File::options()
        .create(true)
        .append(true)
        .open(folder.join(LOCK))?;
    lock.lock()?;
    Ok(lock)
}

/// What the slots of a file say was running.
fn running(file: &[u8]) -> BTreeSet<String> {
    let slots = file.chunks(SLOT);
    let ids = slots.filter_map(|slot| {
        let (length, rest) = slot.split_first()?;
        let id = rest
            .get(..usize::from(*length))
            .filter(|id| !id.is_empty())?;
        String::from_utf8(id.to_vec()).ok()
    });
    ids.collect()
}

/// Where one alone was running it is to blame. Of several it is not known which: from now on one runs
/// at a time, and the next death tells.
fn blame(suspects: &mut Suspects, running: &BTreeSet<String>, now: i64) {
    for invocation in running {
        let suspect = suspects.entry(invocation.clone());
        let suspect = suspect.or_insert(Suspect { deaths: 0, at: now });
        suspect.deaths += u32::from(running.len() == 1);
        suspect.at = now;
    }
}

/// A file that cannot be read says nothing.
fn counts(folder: &Path) -> Suspects {
    let bytes = fs::read(folder.join(COUNTS)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn write(folder: &Path, suspects: &Suspects) -> io::Result<()> {
    let new = folder.join("counts.new");
    fs::write(&new, serde_json::to_vec(suspects)?)?;
    fs::rename(new, folder.join(COUNTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As after the death of its process: the lock is gone, the file is not.
    fn die(marks: Marks) {
        drop(marks);
    }

    #[test]
    fn who_ran_alone_is_blamed_and_who_did_not_is_suspected() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Marks::open(folder.path()).unwrap();
        let marks = open();
        assert!(!marks.is_careful() && marks.turn().is_none());
        marks.enter("inv_ended");
        marks.leave();
        die(marks);

        let marks = open();
        assert!(!marks.is_careful(), "nothing was running");
        std::thread::scope(|scope| {
            for id in ["inv_a", "inv_b"] {
                scope.spawn(|| marks.enter(id));
            }
        });
        let other = open();
        assert!(
            !other.is_careful(),
            "the file of a process that lives says nothing"
        );
        die(marks);
        die(other);

        for deaths in 0..3 {
            let marks = open();
            assert!(marks.is_careful() && marks.turn().is_some());
            assert_eq!((marks.deaths("inv_a"), marks.deaths("inv_b")), (deaths, 0));
            marks.enter("inv_b");
            marks.leave();
            marks.enter("inv_a");
            die(marks);
        }

        let marks = open();
        assert_eq!(marks.deaths("inv_a"), 3);
        marks.ended("inv_b");
        marks.ended("inv_a");
        assert!(!marks.is_careful());
        die(marks);
        assert!(!open().is_careful());
        assert!(fs::read_dir(folder.path()).unwrap().count() <= 3);
    }

    #[test]
    fn what_is_old_or_no_json_counts_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let old = Suspect { deaths: 3, at: 7 };
        write(folder.path(), &Suspects::from([("inv_a".into(), old)])).unwrap();
        assert_eq!(Marks::open(folder.path()).unwrap().deaths("inv_a"), 0);
        fs::write(folder.path().join(COUNTS), "{").unwrap();
        assert!(Marks::open(folder.path()).is_ok());
    }
}
