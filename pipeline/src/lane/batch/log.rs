//! What the driver asks of Kafka, for one shard, and of whoever decides.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::memory::{Overlay, States, Unkept};
use super::notes::Notes;

/// The next offset of each topic of the service, in the order of the topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(pub Vec<i64>);

/// Records that were read.
#[derive(Debug)]
pub struct Read<R> {
    /// In the order of each topic; committed ones only.
    pub records: Vec<R>,
    /// Where reading goes on: behind them, and behind what was passed over. The same as before if
    /// nothing has come.
    pub next: Position,
}

/// What a shard has kept.
#[derive(Debug)]
pub struct Loaded<S> {
    /// The states of its keys.
    pub states: S,
    /// Up to where its topics are decided.
    pub position: Position,
    /// Who was about to decide more.
    pub notes: Notes,
}

/// What is kept by one transaction.
#[derive(Debug)]
pub struct Changes<O, K, V> {
    /// Results, emitted events, dead letters.
    pub outputs: Vec<O>,
    /// New states.
    pub states: Arc<HashMap<K, V>>,
    /// Up to where the topics are decided then.
    pub position: Position,
    /// Who is about to decide more.
    pub notes: Notes,
}

/// Where a shard stands, for whoever decides what comes next.
#[derive(Debug)]
pub struct Standing<K, V> {
    /// Where the next batch begins.
    pub position: Position,
    /// States that memory does not know yet: those of a batch that is about to be kept.
    pub states: Arc<HashMap<K, V>>,
}

impl<O, K, V> Changes<O, K, V> {
    /// Where the shard stands once this is kept.
    pub fn standing(&self) -> Standing<K, V> {
        Standing {
            position: self.position.clone(),
            states: Arc::clone(&self.states),
        }
    }
}

/// The topics of one shard.
pub trait Log {
    /// A record of one of the service's topics.
    type Record;
    /// A record to be produced.
    type Output;
    /// Key of an entity.
    type Key: Clone + Eq + Hash;
    /// State of an entity. Cheap to clone.
    type Value: Clone;
    /// Where the states of all its entities are kept.
    type States: States<Self::Key, Self::Value>;
    /// What went wrong. Every error ends the attempt, and Restate repeats it.
    type Error: std::fmt::Display + From<Unkept>;
    /// A producer of the shard's transactional id.
    type Producer: Transactions<Self>;

    /// Number of a record's topic, and its offset.
    fn at(record: &Self::Record) -> (usize, i64);

    /// How many records a batch has at most.
    fn most(&self) -> usize;

    /// A new producer. It shuts out all that were made before it, in any process, and has settled what
    /// they left open.
    fn producer(&self) -> impl Future<Output = Result<Self::Producer, Self::Error>>;

    /// Reads the state partition to its end.
    fn load(&self) -> impl Future<Output = Result<Loaded<Self::States>, Self::Error>>;

    /// Reads on from `position`, to the last stable offset at most. Where nothing is there it waits
    /// for some time; the first reading of a lease does not wait, as its work order has told of
    /// something that is there or is done already. A transaction may be open meanwhile, and whoever
    /// asked may be gone before the answer.
    fn read(
        &self,
        position: &Position,
        first: bool,
    ) -> impl Future<Output = Result<Read<Self::Record>, Self::Error>>;

    /// Whether what is committed is another position than this one, as far as Kafka tells without its
    /// states being read: the shard was rewound since.
    fn is_elsewhere(&self, position: &Position) -> impl Future<Output = Result<bool, Self::Error>>;
}

/// Transactions of one producer, one after another. After an error the producer is of no more use,
/// and it is open whether the transaction was committed.
pub trait Transactions<L: Log + ?Sized> {
    /// Begins one.
    fn begin(&self) -> impl Future<Output = Result<(), L::Error>>;

    /// Hands all of it over to be produced.
    fn send(
        &self,
        changes: Changes<L::Output, L::Key, L::Value>,
    ) -> impl Future<Output = Result<(), L::Error>>;

    /// Waits until all of it is acknowledged, and commits it with these offsets and notes.
    fn commit(
        &self,
        position: &Position,
        notes: &Notes,
    ) -> impl Future<Output = Result<(), L::Error>>;
}

/// What was decided about a batch: what is to be produced, and the note.
pub type Decided<L, N> = Result<(Vec<<L as Log>::Output>, N), <L as Log>::Error>;

/// Whoever decides about records.
pub trait Decide<L: Log> {
    /// What is to be counted and logged of a batch once it is committed.
    type Note;

    /// Decides about records one after another: changes states in the overlay, and returns what is to
    /// be produced. May be called again with the same records, or others from the same place on.
    fn decide(
        &self,
        states: &mut Overlay<'_, L::Key, L::Value>,
        records: Vec<L::Record>,
    ) -> impl Future<Output = Decided<L, Self::Note>>;

    /// Says what becomes of a record that so many processes `ended` over: it is not handled again.
    fn crashed(
        &self,
        states: &mut Overlay<'_, L::Key, L::Value>,
        record: L::Record,
        ended: usize,
    ) -> impl Future<Output = Decided<L, Self::Note>>;

    /// A batch is committed.
    fn committed(&self, note: Self::Note);
}
