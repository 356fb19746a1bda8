//! What a shard does after a decision that failed. What may happen to its transactions is the model's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::lane::batch::log::{Decided, Loaded, Position, Read};
use crate::lane::batch::memory::{States, Unkept};
use crate::lane::batch::notes::Notes;

mod ahead;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// A key of which the disk cannot read the state.
const UNREADABLE: u8 = 7;

/// One record, and then none.
#[derive(Default)]
struct OneRecord {
    loads: AtomicU64,
    is_rewound: AtomicBool,
}

/// As a disk that fails once does: nothing is known to be there any more.
struct OnDisk {
    is_whole: bool,
}

impl States<u8, u8> for OnDisk {
    fn get(&mut self, key: &u8) -> Result<Option<u8>, Unkept> {
        self.is_whole &= *key != UNREADABLE;
        match self.is_whole {
            true => Ok(None),
            false => Err(Unkept("broken".to_owned())),
        }
    }

    fn adopt(&mut self, _: Vec<(u8, u8)>) -> Result<(), Unkept> {
        Ok(())
    }

    fn keys(&self) -> usize {
        0
    }

    fn some(&mut self, _: usize) -> Result<Vec<(u8, u8)>, Unkept> {
        Ok(Vec::new())
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }
}

struct Committing;

impl Transactions<OneRecord> for Committing {
    async fn begin(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, _: Changes<(), u8, u8>) -> Result<(), String> {
        Ok(())
    }

    async fn commit(&self, _: &Position, _: &Notes) -> Result<(), String> {
        Ok(())
    }
}

impl From<Unkept> for String {
    fn from(error: Unkept) -> Self {
        error.to_string()
    }
}

impl Log for OneRecord {
    type Record = i64;
    type Output = ();
    type Key = u8;
    type Value = u8;
    type States = OnDisk;
    type Error = String;
    type Producer = Committing;

    fn at(record: &i64) -> (usize, i64) {
        (0, *record)
    }

    fn most(&self) -> usize {
        1
    }

    async fn producer(&self) -> Result<Committing, String> {
        Ok(Committing)
    }

    async fn load(&self) -> Result<Loaded<OnDisk>, String> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Loaded {
            states: OnDisk { is_whole: true },
            position: Position(vec![0]),
            notes: Notes::default(),
        })
    }

    async fn read(&self, position: &Position, _: bool) -> Result<Read<i64>, String> {
        let records = (position.0[0]..1).collect();
        let next = Position(vec![1]);
        Ok(Read { records, next })
    }

    async fn is_elsewhere(&self, _: &Position) -> Result<bool, String> {
        Ok(self.is_rewound.load(Ordering::SeqCst))
    }
}

/// Fails at its first record, having looked at the state of this key.
struct Failing {
    key: u8,
    asked: AtomicU64,
}

impl Decide<OneRecord> for Failing {
    type Note = ();

    async fn decide(
        &self,
        states: &mut Overlay<'_, u8, u8>,
        _: Vec<i64>,
    ) -> Decided<OneRecord, ()> {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            states.get(&self.key)?;
            return Err("the registry is away".to_owned());
        }
        Ok((Vec::new(), ()))
    }

    async fn crashed(
        &self,
        _: &mut Overlay<'_, u8, u8>,
        _: i64,
        _: usize,
    ) -> Decided<OneRecord, ()> {
        Err("nothing has crashed".to_owned())
    }

    fn committed(&self, (): ()) {}
}

#[tokio::test]
async fn a_shard_that_was_rewound_is_loaded_anew_although_nothing_comes() {
    let (log, shard) = (OneRecord::default(), Shard::default());
    let decide = Failing {
        key: 1,
        asked: AtomicU64::new(1),
    };
    for (is_rewound, loads) in [(false, 1), (false, 1), (true, 2)] {
        log.is_rewound.store(is_rewound, Ordering::SeqCst);
        let ended = shard.lease(&log, &decide, 0, || false).await;
        assert_eq!(ended, Ok(Ended::Idle));
        assert_eq!(log.loads.load(Ordering::SeqCst), loads);
    }
}

#[tokio::test]
async fn only_a_disk_that_fails_makes_a_shard_load_its_states_anew() {
    for (key, loads) in [(1, 1), (UNREADABLE, 2)] {
        let (log, shard) = (OneRecord::default(), Shard::default());
        let decide = Failing {
            key,
            asked: AtomicU64::new(0),
        };
        let failed = shard.lease(&log, &decide, 0, || false).await;
        assert!(failed.is_err());
        let ended = shard.lease(&log, &decide, 1, || false).await;
        assert_eq!(ended, Ok(Ended::Idle));
        assert_eq!(log.loads.load(Ordering::SeqCst), loads, "key {key}");
    }
}
