//! The folder of a dev stack: its lock, and the data of Kafka, Restate and Postgres, which belong
//! together.
//!
//! Restate deduplicates by Kafka's offsets, so data of the one with foreign data of the other loses
//! events without a word; the database holds what came of those events. All carry one stamp; unless
//! it is whole, all are wiped.
//!
//! ```text
//! <folder>/lock             held while a stack runs
//! <folder>/ports.json       the ports of the last run
//! <folder>/processes.json   what was started, for the next start to clean up
//! <folder>/dev.json         the endpoints, while the stack is up
//! <folder>/keys/            private keys, made at the first start
//! <folder>/logs/            a log of each part, of the last run
//! <folder>/data/            stamp.json, kafka/, restate/, postgres/
//! ```

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::DevStackError;
use super::progress::Progress;
use super::versions;

/// What data was made by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    kafka: String,
    restate: String,
    /// In every part's folder as well.
    id: String,
    /// How many brokers and Restate servers.
    #[serde(default = "one")]
    nodes: usize,
}

fn one() -> usize {
    1
}

/// The data folder, usable by this version.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    id: String,
    nodes: usize,
    is_new: bool,
}

const STAMP: &str = "stamp.json";

impl Data {
    /// Takes what is there if it is whole and wanted, else makes it empty. That of one node is none
    /// of a cluster, nor the other way round.
    pub fn open(
        folder: &Path,
        fresh: bool,
        nodes: usize,
        progress: &Progress,
    ) -> Result<Self, DevStackError> {
        let data = folder.join("data");
        match whole_stamp(&data) {
            Some(stamp) if !fresh && is_ours(&stamp) && stamp.nodes == nodes => {
                return Ok(Self { folder: data, id: stamp.id, nodes, is_new: false });
            }
            Some(stamp) if !fresh && stamp.nodes != nodes => {
                progress.say(&format!("the data of {} nodes is removed, since there are {nodes} now", stamp.nodes));
            }
            Some(stamp) if !fresh => progress.say(&format!(
                "the data of Kafka {} and Restate {} is removed, since this version runs Kafka {} and Restate {}",
                stamp.kafka, stamp.restate, versions::KAFKA, versions::RESTATE
            )),
            _ => {}
        }
        if data.exists() {
            // First the stamp: if we are interrupted, what remains is not taken for whole.
            let _ = std::fs::remove_file(data.join(STAMP));
            std::fs::remove_dir_all(&data)
                .map_err(DevStackError::file("cannot remove the old data", &data))?;
        }
        let new = Self {
            folder: data,
            id: new_id(),
            nodes,
            is_new: true,
        };
        let kafkas = (0..nodes).map(|node| new.kafka(node));
        for each in kafkas.chain([new.restate(), new.postgres()]) {
            std::fs::create_dir_all(&each).map_err(DevStackError::file("cannot make", &each))?;
        }
        Ok(new)
    }

    /// Says that all are ready for use; to be called when Kafka's is formatted.
    pub fn stamp(&mut self) -> Result<(), DevStackError> {
        if self.is_new {
            let stamp = Stamp {
                kafka: versions::KAFKA.into(),
                restate: versions::RESTATE.into(),
                id: self.id.clone(),
                nodes: self.nodes,
            };
            for node in 0..self.nodes {
                write_json(&self.kafka(node).join(STAMP), &self.id)?;
            }
            write_json(&self.restate().join(STAMP), &self.id)?;
            write_json(&self.postgres().join(STAMP), &self.id)?;
            write_json(&self.folder.join(STAMP), &stamp)?;
            self.is_new = false;
        }
        Ok(())
    }

    /// Whether Kafka's has to be formatted.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Data of a broker.
    pub fn kafka(&self, node: usize) -> PathBuf {
        self.folder.join(kafka_folder(node))
    }

    /// Restate's data; each server has a folder of its own in it, named after the node.
    pub fn restate(&self) -> PathBuf {
        self.folder.join("restate")
    }

    /// Postgres' data, made when it is first started.
    pub fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Kafka's cluster id: 16 bytes in base64.
    pub fn cluster_id(&self) -> &str {
        &self.id
    }
}

/// The stamp, if every part's folder carries it.
fn whole_stamp(data: &Path) -> Option<Stamp> {
    let stamp: Stamp = read_json(&data.join(STAMP))?;
    let carries = |part: &str| read_json::<String>(&data.join(part).join(STAMP));
    let mut is_whole = carries("restate")? == stamp.id && carries("postgres")? == stamp.id;
    for node in 0..stamp.nodes {
        let folder = kafka_folder(node);
        is_whole &= carries(&folder)? == stamp.id;
        is_whole &= data.join(folder).join("meta.properties").is_file();
    }
    is_whole.then_some(stamp)
}

fn kafka_folder(node: usize) -> String {
    match node {
        0 => "kafka".into(),
        node => format!("kafka-{}", node + 1),
    }
}

fn is_ours(stamp: &Stamp) -> bool {
    stamp.kafka == versions::KAFKA && stamp.restate == versions::RESTATE
}

fn new_id() -> String {
    use base64::Engine as _;
    let half = || {
        RandomState::new()
            .hash_one(std::process::id())
            .to_be_bytes()
    };
    let mut bytes = [half(), half()].concat();
    // Otherwise one in 64 begins with a hyphen, which Kafka's tool takes for an option.
    bytes[0] &= 0x7f;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A file that this process alone has, by the system's lock.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Makes the file if there is none; `None`: another process has it.
    pub fn take(path: &Path) -> std::io::Result<Option<Self>> {
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    /// By name, since a process that is being started at this moment still has the file open, and
    /// would keep what we left.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the folder for this process, for as long as the answer is kept.
pub fn lock(folder: &Path) -> Result<Lock, DevStackError> {
    std::fs::create_dir_all(folder).map_err(DevStackError::file("cannot make", folder))?;
    let path = folder.join("lock");
    let taken = Lock::take(&path).map_err(DevStackError::file("cannot lock", &path))?;
    let Some(taken) = taken else {
        let holder = std::fs::read_to_string(&path)
            .ok()
            .and_then(|id| id.trim().parse().ok());
        return Err(DevStackError::Locked {
            folder: folder.to_owned(),
            holder,
        });
    };
    let mut file = &taken.0;
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(DevStackError::file("cannot write", &path))?;
    Ok(taken)
}

/// A file that we wrote; `None` when it is absent or spoiled.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes a file so that a reader sees all of it or the old one.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DevStackError> {
    let unfinished = path.with_extension("unfinished");
    serde_json::to_vec_pretty(value)
        .map_err(std::io::Error::from)
        .and_then(|bytes| std::fs::write(&unfinished, bytes))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(DevStackError::file("cannot write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data as after a first start, with a file in each part.
    fn made(folder: &Path) -> String {
        let mut data = Data::open(folder, false, 1, &Progress::silent()).unwrap();
        assert!(data.is_new());
        std::fs::write(data.kafka(0).join("meta.properties"), "").unwrap();
        data.stamp().unwrap();
        std::fs::write(data.restate().join("something"), "").unwrap();
        data.cluster_id().to_owned()
    }

    fn again(folder: &Path, fresh: bool) -> Data {
        Data::open(folder, fresh, 1, &Progress::silent()).unwrap()
    }

    #[test]
    fn ids_are_no_options() {
        for _ in 0..2000 {
            let id = new_id();
            assert!(id.len() == 22 && !id.starts_with('-'), "{id}");
        }
    }

    #[test]
    fn whole_data_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let id = made(folder.path());
        let data = again(folder.path(), false);
        assert!(!data.is_new());
        assert_eq!(data.cluster_id(), id);
        assert!(data.restate().join("something").exists());
    }

    #[test]
    fn all_are_wiped_when_one_is_not_whole_or_fresh_is_asked() {
        for spoil in [
            "data/kafka",
            "data/restate",
            "data/postgres",
            "data/stamp.json",
            "data/kafka/meta.properties",
        ] {
            let folder = tempfile::tempdir().unwrap();
            made(folder.path());
            let path = folder.path().join(spoil);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
            let data = again(folder.path(), false);
            assert!(data.is_new(), "{spoil}");
            assert!(!data.restate().join("something").exists(), "{spoil}");
        }
        let folder = tempfile::tempdir().unwrap();
        made(folder.path());
        assert!(again(folder.path(), true).is_new());
    }

    #[test]
    fn one_node_does_not_go_on_with_the_data_of_a_cluster() {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path());
        let cluster = Data::open(folder.path(), false, 3, &Progress::silent()).unwrap();
        assert!(cluster.is_new());
        assert!(cluster.kafka(2).ends_with("kafka-3") && cluster.kafka(2).is_dir());
    }

    #[test]
    fn an_unstamped_beginning_is_not_taken_for_data() {
        let folder = tempfile::tempdir().unwrap();
        let data = again(folder.path(), false);
        std::fs::write(data.kafka(0).join("meta.properties"), "").unwrap();
        assert!(again(folder.path(), false).is_new());
    }

    #[test]
    fn a_folder_has_one_stack() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let error = lock(folder.path()).unwrap_err();
        assert!(
            matches!(error, DevStackError::Locked { holder, .. } if holder == Some(std::process::id()))
        );
        drop(held);
        lock(folder.path()).unwrap();
    }
}
