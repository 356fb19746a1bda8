//! Kafka in memory: partitions with transactions, control records and retention, and a coordinator
//! that shuts out old producers.

/// A partition of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// One of the service's topics.
    Input(usize),
    Results,
    State,
}

/// How many topics the service has.
pub const INPUTS: usize = 2;
const PARTITIONS: usize = INPUTS + 2;

impl Partition {
    fn index(self) -> usize {
        match self {
            Self::Input(topic) => topic,
            Self::Results => INPUTS,
            Self::State => INPUTS + 1,
        }
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Marks the end of a transaction.
    Control,
    Event {
        key: u8,
        /// Whoever decides about it ends.
        ends: bool,
    },
    Result {
        key: u8,
        seq: u32,
        /// Of everything decided of its key, in order.
        sum: u64,
        topic: usize,
        offset: i64,
    },
    State {
        key: u8,
        seq: u32,
        sum: u64,
    },
    /// An event that ended too many processes.
    Crashed {
        topic: usize,
        offset: i64,
    },
    Position([i64; INPUTS], [Noted; INPUTS]),
}

/// A note: up to which offset, and by whom; 0 is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noted(pub i64, pub [u64; 8]);

#[derive(Debug, Clone, Copy)]
struct Record {
    data: Data,
    transaction: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    status: Status,
    /// The first record in each partition, until the partition has its marker.
    unmarked: [Option<usize>; PARTITIONS],
}

/// What the coordinator knows of a transactional id.
#[derive(Debug, Default)]
struct Coordinated {
    epoch: u32,
    open: Option<usize>,
}

/// Whoever makes a producer of an id shuts out those with a lower epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub id: usize,
    pub epoch: u32,
}

/// The producer is shut out, or has no transaction to end.
#[derive(Debug)]
pub struct Refused;

#[derive(Default)]
pub struct Kafka {
    logs: [Vec<Record>; PARTITIONS],
    starts: [usize; PARTITIONS],
    transactions: Vec<Transaction>,
    /// All transactions before this one have their markers.
    marked: usize,
    ids: Vec<Coordinated>,
    /// Ends of transactions that are on their way, and that nobody waits for any more.
    late: Vec<Producer>,
}

impl Kafka {
    /// A transactional id that was not used before.
    pub fn new_id(&mut self) -> usize {
        self.ids.push(Coordinated::default());
        self.ids.len() - 1
    }

    /// `InitProducerId`: comes back when what was open is settled.
    pub fn init(&mut self, id: usize) -> Producer {
        self.abort(id);
        self.mark_all();
        let epoch = self.ids[id].epoch;
        Producer { id, epoch }
    }

    /// The broker's time-out: aborts what is open and shuts its producer out.
    pub fn abort(&mut self, id: usize) {
        if let Some(open) = self.ids[id].open.take() {
            self.transactions[open].status = Status::Aborted;
        }
        self.ids[id].epoch += 1;
    }

    /// Records without a transaction.
    pub fn append(&mut self, partition: Partition, data: Data) {
        let transaction = None;
        self.logs[partition.index()].push(Record { data, transaction });
    }

    /// Records in the open transaction of a producer, or in a new one.
    pub fn produce(
        &mut self,
        by: Producer,
        partition: Partition,
        data: &[Data],
    ) -> Result<(), Refused> {
        if self.ids[by.id].epoch != by.epoch {
            return Err(Refused);
        }
        let transaction = self.ids[by.id].open.unwrap_or_else(|| {
            self.mark_all();
            self.transactions.push(Transaction {
                status: Status::Open,
                unmarked: [None; PARTITIONS],
            });
            self.transactions.len() - 1
        });
        self.ids[by.id].open = Some(transaction);
        let log = &mut self.logs[partition.index()];
        self.transactions[transaction].unmarked[partition.index()].get_or_insert(log.len());
        log.extend(data.iter().map(|data| Record {
            data: *data,
            transaction: Some(transaction),
        }));
        Ok(())
    }

    /// `EndTxn`: from now on it is decided. Its markers come afterwards.
    pub fn end(&mut self, by: Producer, commit: bool) -> Result<(), Refused> {
        if self.ids[by.id].epoch != by.epoch {
            return Err(Refused);
        }
        let open = self.ids[by.id].open.take().ok_or(Refused)?;
        self.transactions[open].status = match commit {
            true => Status::Committed,
            false => Status::Aborted,
        };
        Ok(())
    }

    /// A commit that its producer has given up waiting for, and that may come yet.
    pub fn end_late(&mut self, by: Producer) {
        self.late.push(by);
    }

    /// One of the late commits comes, or is lost.
    pub fn late(&mut self, comes: bool) {
        if let Some(by) = self.late.pop()
            && comes
        {
            let _ = self.end(by, true);
        }
    }

    /// Writes one marker that is due.
    pub fn mark_one(&mut self) {
        for number in self.unmarked() {
            let transaction = &mut self.transactions[number];
            if transaction.status == Status::Open {
                continue;
            }
            let mut unmarked = transaction.unmarked.iter_mut().enumerate();
            if let Some((partition, first)) = unmarked.find(|(_, first)| first.is_some()) {
                *first = None;
                self.logs[partition].push(Record {
                    data: Data::Control,
                    transaction: Some(number),
                });
                return;
            }
        }
    }

    /// Writes all markers that are due: a new transaction of an id begins after those of its last one,
    /// and others may come as well.
    fn mark_all(&mut self) {
        for number in self.unmarked() {
            let transaction = &mut self.transactions[number];
            if transaction.status == Status::Open {
                continue;
            }
            for (partition, first) in transaction.unmarked.iter_mut().enumerate() {
                if first.take().is_some() {
                    self.logs[partition].push(Record {
                        data: Data::Control,
                        transaction: Some(number),
                    });
                }
            }
        }
    }

    /// Transactions that may lack a marker.
    fn unmarked(&mut self) -> std::ops::Range<usize> {
        let rest = &self.transactions[self.marked..];
        let done =
            |it: &&Transaction| it.status != Status::Open && it.unmarked == [None; PARTITIONS];
        self.marked += rest.iter().take_while(done).count();
        self.marked..self.transactions.len()
    }

    /// Writes all markers, loses what is late and aborts what is open.
    pub fn settle(&mut self) {
        self.late.clear();
        for id in 0..self.ids.len() {
            if self.ids[id].open.is_some() {
                self.abort(id);
            }
        }
        self.mark_all();
    }

    /// Everything before the last stable offset is decided.
    pub fn stable(&self, partition: Partition) -> i64 {
        let index = partition.index();
        let open = self.transactions[self.marked..]
            .iter()
            .filter_map(|it| it.unmarked[index]);
        open.min().unwrap_or(self.logs[index].len()) as i64
    }

    pub fn end_of(&self, partition: Partition) -> i64 {
        self.logs[partition.index()].len() as i64
    }

    pub fn start(&self, partition: Partition) -> i64 {
        self.starts[partition.index()] as i64
    }

    /// Retention: nothing before this offset can be read any more.
    pub fn delete(&mut self, partition: Partition, before: i64) {
        let start = &mut self.starts[partition.index()];
        *start = (*start).max(before as usize);
    }

    /// A record; `None`: it is of no transaction that was committed, or no record.
    pub fn committed(&self, partition: Partition, offset: i64) -> Option<Data> {
        let record = self.logs[partition.index()][offset as usize];
        let committed = record
            .transaction
            .is_none_or(|it| self.transactions[it].status == Status::Committed);
        (committed && record.data != Data::Control).then_some(record.data)
    }

    /// A record, whatever became of its transaction.
    pub fn any(&self, partition: Partition, offset: i64) -> Option<Data> {
        let record = self.logs[partition.index()][offset as usize];
        (record.data != Data::Control).then_some(record.data)
    }
}
