//! Kafka as a process reaches it: every request takes a while, may fail before or after it has an
//! effect, and its answer may be lost.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::kafka::{Data, INPUTS, Kafka, Noted, Partition, Producer};
use super::random::Random;
use crate::lane::batch::log::{Changes, Decide, Loaded, Log, Position, Read, Transactions};
use crate::lane::batch::memory::{Overlay, Unkept};
use crate::lane::batch::notes::{Note, Notes};

/// Records in a batch.
const MOST: usize = 6;

/// What the model's Kafka side does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    /// Each producer has a transactional id of its own, and shuts nobody out.
    OwnIds,
    /// What is not committed is read.
    Uncommitted,
    /// The position has a transaction of its own.
    PositionApart,
    /// A commit that nobody answered counts as one.
    CommitBelieved,
}

pub struct Shared {
    pub kafka: Kafka,
    pub random: Random,
    /// Whether requests fail.
    pub faulty: bool,
    pub wrong: Wrong,
    /// The lane's transactional id.
    pub id: usize,
    /// How many offsets retention has taken away unread.
    pub lost: i64,
    /// Whether deciding often fails, and nothing else happens to processes.
    pub unwell: bool,
    /// The attempt whose process ends now.
    pub ends: Option<usize>,
    /// How often a process was killed, stood still or lost its attempt by no fault of an event.
    pub interrupted: usize,
    /// How many requests to Kafka have failed.
    pub faults: usize,
    /// Of each attempt, once another one has taken its place: how many batches it has decided since.
    pub replaced: Vec<Option<u32>>,
}

/// An event that was read.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    topic: usize,
    offset: i64,
    key: u8,
    ends: bool,
}

/// One attempt's view.
#[derive(Clone)]
pub struct World {
    pub shared: Rc<RefCell<Shared>>,
    pub attempt: usize,
}

pub struct Transacting {
    world: Rc<RefCell<Shared>>,
    producer: Producer,
    apart: Cell<Option<Data>>,
}

#[derive(Debug)]
pub struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a request failed")
    }
}

impl From<Unkept> for Failed {
    fn from(_: Unkept) -> Self {
        Self
    }
}

/// Lets anything else happen.
async fn elsewhere() {
    let mut been = false;
    poll_fn(|_| match std::mem::replace(&mut been, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

impl Shared {
    fn fails(&mut self, once_in: usize) -> Result<(), Failed> {
        match self.faulty && self.random.once_in(once_in) {
            true => {
                self.faults += 1;
                Err(Failed)
            }
            false => Ok(()),
        }
    }
}

impl Log for World {
    type Record = Event;
    type Output = Data;
    type Key = u8;
    /// `seq` and sum.
    type Value = (u32, u64);
    type States = HashMap<u8, (u32, u64)>;
    type Error = Failed;
    type Producer = Transacting;

    fn at(record: &Event) -> (usize, i64) {
        (record.topic, record.offset)
    }

    fn most(&self) -> usize {
        MOST
    }

    async fn producer(&self) -> Result<Transacting, Failed> {
        elsewhere().await;
        let mut world = self.shared.borrow_mut();
        let id = match world.wrong {
            Wrong::OwnIds => world.kafka.new_id(),
            _ => world.id,
        };
        let producer = world.kafka.init(id);
        world.fails(12)?;
        Ok(Transacting {
            world: Rc::clone(&self.shared),
            producer,
            apart: Cell::default(),
        })
    }

    async fn load(&self) -> Result<Loaded<Self::States>, Failed> {
        elsewhere().await;
        let end = self.shared.borrow().kafka.stable(Partition::State);
        let mut states = HashMap::new();
        let (mut next, mut noted) = ([0; INPUTS], [Noted::default(); INPUTS]);
        for offset in 0..end {
            if offset == end / 2 {
                elsewhere().await;
                self.shared.borrow_mut().fails(20)?;
            }
            match self
                .shared
                .borrow()
                .kafka
                .committed(Partition::State, offset)
            {
                Some(Data::State { key, seq, sum }) => drop(states.insert(key, (seq, sum))),
                Some(Data::Position(position, notes)) => (next, noted) = (position, notes),
                _ => {}
            }
        }
        let position = Position(next.into());
        let notes = noted.map(|Noted(until, by)| {
            let by: Vec<_> = by.into_iter().filter(|by| *by > 0).collect();
            (!by.is_empty()).then_some(Note { until, by })
        });
        let notes = Notes::new(notes.into(), &position);
        Ok(Loaded {
            states,
            position,
            notes,
        })
    }

    /// Takes longer or shorter than what is kept meanwhile.
    async fn read(&self, position: &Position, _: bool) -> Result<Read<Self::Record>, Failed> {
        let steps = 1 + self.shared.borrow_mut().random.below(4);
        for _ in 0..steps {
            elsewhere().await;
        }
        let mut world = self.shared.borrow_mut();
        let world = &mut *world;
        world.fails(25)?;
        let mut most = 1 + world.random.below(MOST);
        let (mut records, mut next) = (Vec::new(), position.0.clone());
        for turn in 0..INPUTS {
            let topic = (turn + most) % INPUTS;
            let input = Partition::Input(topic);
            let all = world.wrong == Wrong::Uncommitted;
            let end = match all {
                true => world.kafka.end_of(input),
                false => world.kafka.stable(input),
            };
            let start = world.kafka.start(input);
            world.lost += (start - next[topic]).max(0);
            next[topic] = next[topic].max(start);
            while next[topic] < end && most > 0 {
                let offset = next[topic];
                let data = match all {
                    true => world.kafka.any(input, offset),
                    false => world.kafka.committed(input, offset),
                };
                if let Some(Data::Event { key, ends }) = data {
                    records.push(Event {
                        topic,
                        offset,
                        key,
                        ends,
                    });
                    most -= 1;
                }
                next[topic] += 1;
            }
        }
        let next = Position(next);
        Ok(Read { records, next })
    }

    /// Nobody rewinds here.
    async fn is_elsewhere(&self, _: &Position) -> Result<bool, Failed> {
        Ok(false)
    }
}

impl Transactions<World> for Transacting {
    /// What the producer has left open it aborts, as far as it can.
    async fn begin(&self) -> Result<(), Failed> {
        elsewhere().await;
        let mut world = self.world.borrow_mut();
        let _ = world.kafka.end(self.producer, false);
        world.fails(60)
    }

    async fn send(&self, changes: Changes<Data, u8, (u32, u64)>) -> Result<(), Failed> {
        let states = changes.states.iter();
        let states = states.map(|(&key, &(seq, sum))| Data::State { key, seq, sum });
        let mut kept: Vec<Data> = states.collect();
        let apart = self.world.borrow().wrong == Wrong::PositionApart;
        let position = Data::Position(numbers(&changes.position), noted(&changes.notes));
        match apart {
            true => self.apart.set(Some(position)),
            false => kept.push(position),
        }
        for (partition, records) in [
            (Partition::Results, changes.outputs),
            (Partition::State, kept),
        ] {
            // A request holds a part of them.
            let (one, other) = records.split_at(records.len() / 2);
            for records in [one, other].into_iter().filter(|it| !it.is_empty()) {
                elsewhere().await;
                let mut world = self.world.borrow_mut();
                world.fails(30)?;
                let produced = world.kafka.produce(self.producer, partition, records);
                produced.map_err(|_| Failed)?;
                world.fails(40)?;
            }
        }
        Ok(())
    }

    /// Acknowledgements are awaited first.
    async fn commit(&self, _: &Position, _: &Notes) -> Result<(), Failed> {
        let steps = self.world.borrow_mut().random.below(4);
        for _ in 0..steps {
            elsewhere().await;
        }
        self.end().await?;
        if let Some(position) = self.apart.take() {
            elsewhere().await;
            let produced = (self.world.borrow_mut().kafka).produce(
                self.producer,
                Partition::State,
                &[position],
            );
            produced.map_err(|_| Failed)?;
            self.end().await?;
        }
        Ok(())
    }
}

impl Transacting {
    async fn end(&self) -> Result<(), Failed> {
        elsewhere().await;
        let mut world = self.world.borrow_mut();
        let believed = world.wrong == Wrong::CommitBelieved;
        let unknown = if believed { Ok(()) } else { Err(Failed) };
        let fate = match world.faulty {
            true => world.random.below(12),
            false => 12,
        };
        world.faults += usize::from(fate < 3);
        match fate {
            // The request is lost.
            0 => unknown,
            // The request comes later, or never.
            1 => {
                world.kafka.end_late(self.producer);
                unknown
            }
            // The answer is lost.
            2 => {
                let _ = world.kafka.end(self.producer, true);
                unknown
            }
            _ => {
                let ended = world.kafka.end(self.producer, true);
                ended.map_err(|_| Failed)
            }
        }
    }
}

/// Decides as a service does: each key has a number and a sum of all that came before.
pub struct Summing;

impl Decide<World> for (World, Summing) {
    type Note = ();

    async fn decide(
        &self,
        states: &mut Overlay<'_, u8, (u32, u64)>,
        records: Vec<Event>,
    ) -> Result<(Vec<Data>, ()), Failed> {
        if let Some(batches) = &mut self.0.shared.borrow_mut().replaced[self.0.attempt] {
            *batches += 1;
        }
        let mut results = Vec::with_capacity(records.len());
        for event in records {
            let Event {
                topic, offset, key, ..
            } = event;
            if event.ends {
                self.0.shared.borrow_mut().ends = Some(self.0.attempt);
                std::future::pending::<()>().await;
            }
            let (seq, sum) = states.get(&key)?.unwrap_or_default();
            let (seq, sum) = (seq + 1, added(sum, topic, offset));
            states.set(key, (seq, sum));
            results.push(Data::Result {
                key,
                seq,
                sum,
                topic,
                offset,
            });
            // The registry may be asked, and not answer.
            if self.0.shared.borrow_mut().random.once_in(3) {
                elsewhere().await;
                let once_in = if self.0.shared.borrow().unwell { 2 } else { 12 };
                let mut shared = self.0.shared.borrow_mut();
                if shared.faulty && shared.random.once_in(once_in) {
                    return Err(Failed);
                }
            }
        }
        Ok((results, ()))
    }

    async fn crashed(
        &self,
        _: &mut Overlay<'_, u8, (u32, u64)>,
        Event { topic, offset, .. }: Event,
        _: usize,
    ) -> Result<(Vec<Data>, ()), Failed> {
        Ok((vec![Data::Crashed { topic, offset }], ()))
    }

    fn committed(&self, (): ()) {}
}

/// What a sum becomes with one more event.
pub fn added(sum: u64, topic: usize, offset: i64) -> u64 {
    (sum.rotate_left(5) ^ (topic as u64 + 1)).wrapping_mul(0x0100_0000_01B3) ^ offset as u64
}

fn numbers(position: &Position) -> [i64; INPUTS] {
    let mut numbers = [0; INPUTS];
    numbers.copy_from_slice(&position.0);
    numbers
}

fn noted(notes: &Notes) -> [Noted; INPUTS] {
    std::array::from_fn(|topic| match notes.of(topic) {
        Some(Note { until, by }) => {
            let mut all = [0; 8];
            all[..by.len()].copy_from_slice(by);
            Noted(*until, all)
        }
        None => Noted::default(),
    })
}
