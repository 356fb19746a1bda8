//! Names of the suite's events: a key belongs to a run, and an id says its key and number.

use millstream_pipeline::codec::EncodedBody;
use millstream_pipeline::events::{Bytes, Declaration, Lane, Topic};
use millstream_pipeline::failure::Failure;
use millstream_pipeline::record::digest::{digest, hex};
use millstream_pipeline::record::partition;

use super::catalogue::{
    Ledger, LedgerBatch, LedgerForeign, LedgerStuck, ledger, ledger_batch, ledger_foreign,
    ledger_stuck,
};
use crate::random::Random;

/// First byte of a payload that makes the handler panic.
pub const POISON: u8 = b'!';

/// First byte of a payload at which the handler aborts the process.
pub const ABORT: u8 = b'#';

/// A payload that does no harm.
pub fn payload(random: &mut Random) -> Vec<u8> {
    let mut payload = random.bytes(60);
    payload[0] = b'.';
    payload
}

/// Header that names the run of a record which has no key.
pub const RUN_HEADER: &str = "loadtest-run";

/// Which of the ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Book {
    /// The one that most scenarios use.
    Main,
    /// The one in the batch lane, which most scenarios use besides.
    Batch,
    /// The one whose result topic is taken away.
    Stuck,
    /// The one behind a guard.
    Foreign,
}

impl Book {
    /// Its topic.
    pub fn declaration(self) -> &'static Declaration {
        match self {
            Self::Main => Ledger::DECLARATION,
            Self::Batch => LedgerBatch::DECLARATION,
            Self::Stuck => LedgerStuck::DECLARATION,
            Self::Foreign => LedgerForeign::DECLARATION,
        }
    }

    /// Whether readers of committed records see each of its results once, without any rule.
    pub fn is_once(self) -> bool {
        self.declaration().lane == Lane::Batch
    }

    /// The partition of a key of its topic.
    pub fn partition(self, key: &str) -> i32 {
        partition::of_key(key.as_bytes(), self.declaration().partitions)
    }

    /// Its Restate service.
    pub fn service(self) -> &'static str {
        match self {
            Self::Main => super::service::LEDGER,
            Self::Batch => super::service::LEDGER_BATCH,
            Self::Stuck => super::service::LEDGER_STUCK,
            Self::Foreign => super::service::LEDGER_FOREIGN,
        }
    }

    /// Full name of its command.
    pub fn entry_name(self) -> &'static str {
        self.declaration().events[0].full_name
    }

    /// Full name of its result.
    pub fn booked_name(self) -> &'static str {
        self.declaration().events[0].results[0]
    }

    /// A command's body.
    pub fn entry(self, in_seq: i64, payload: Vec<u8>) -> Result<EncodedBody, Failure> {
        let payload = Bytes(payload);
        let body = match self {
            Self::Main => EncodedBody::of(&ledger::LedgerEntry { in_seq, payload }),
            Self::Batch => EncodedBody::of(&ledger_batch::LedgerEntry { in_seq, payload }),
            Self::Stuck => EncodedBody::of(&ledger_stuck::LedgerEntry { in_seq, payload }),
            Self::Foreign => EncodedBody::of(&ledger_foreign::LedgerEntry { in_seq, payload }),
        };
        body.unwrap_or_else(|| unreachable!("an event is no set of none"))
    }
}

/// A key of a run.
pub fn key(run: &str, index: usize) -> String {
    format!("{run}.{index}")
}

/// Whether bad input is sent to this partition. What happens to the others at the same time is what the
/// machine does by itself.
pub fn is_spoilt(partition: i32) -> bool {
    partition % 2 == 0
}

/// Whether a key belongs to a run.
pub fn is_of_run(key: &str, run: &str) -> bool {
    key.strip_prefix(run)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The id of the event numbered `in_seq` of a key.
pub fn id(key: &str, in_seq: i64) -> String {
    format!("{key}.{in_seq}")
}

/// Key and number that an id says.
pub fn parse_id(id: &str) -> Option<(&str, i64)> {
    let (key, number) = id.rsplit_once('.')?;
    Some((key, number.parse().ok()?))
}

/// The chain after the event with this id.
pub fn next_chain(chain: &str, id: &str) -> String {
    hex::<8>(&digest(&[chain.as_bytes(), id.as_bytes()]))
}
