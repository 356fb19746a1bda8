//! The next batch is decided while one is kept, on top of it.

use tokio::sync::Notify;

use super::*;

/// Two records, a batch each.
#[derive(Default)]
struct TwoRecords(Arc<Kept>);

#[derive(Default)]
struct Kept {
    /// The second batch is decided.
    decided: Notify,
    /// Whether the first commit fails.
    fails: bool,
    outputs: Mutex<Vec<u8>>,
}

struct WaitsToCommit(Arc<Kept>);

impl Transactions<TwoRecords> for WaitsToCommit {
    async fn begin(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, changes: Changes<u8, u8, u8>) -> Result<(), String> {
        self.0.outputs.lock().unwrap().extend(changes.outputs);
        Ok(())
    }

    /// The first is not over before the second batch is decided.
    async fn commit(&self, _: &Position, _: &Notes) -> Result<(), String> {
        let sent = self.0.outputs.lock().unwrap().len();
        if sent == 1 {
            self.0.decided.notified().await;
        }
        match self.0.fails {
            true => Err("no answer".to_owned()),
            false => Ok(()),
        }
    }
}

impl Log for TwoRecords {
    type Record = i64;
    type Output = u8;
    type Key = u8;
    type Value = u8;
    type States = HashMap<u8, u8>;
    type Error = String;
    type Producer = WaitsToCommit;

    fn at(record: &i64) -> (usize, i64) {
        (0, *record)
    }

    fn most(&self) -> usize {
        1
    }

    async fn producer(&self) -> Result<WaitsToCommit, String> {
        Ok(WaitsToCommit(Arc::clone(&self.0)))
    }

    async fn load(&self) -> Result<Loaded<HashMap<u8, u8>>, String> {
        Ok(Loaded {
            states: HashMap::new(),
            position: Position(vec![0]),
            notes: Notes::default(),
        })
    }

    async fn read(&self, position: &Position, _: bool) -> Result<Read<i64>, String> {
        let next = (position.0[0] + 1).min(2);
        let records = (position.0[0]..next).collect();
        let next = Position(vec![next]);
        Ok(Read { records, next })
    }

    async fn is_elsewhere(&self, _: &Position) -> Result<bool, String> {
        Ok(false)
    }
}

/// Answers how many records of the one key there were.
struct Counting(Arc<Kept>);

impl Decide<TwoRecords> for Counting {
    type Note = ();

    async fn decide(
        &self,
        states: &mut Overlay<'_, u8, u8>,
        records: Vec<i64>,
    ) -> Decided<TwoRecords, ()> {
        let count = states.get(&1)?.unwrap_or(0) + 1;
        states.set(1, count);
        if records == [1] {
            self.0.decided.notify_one();
        }
        Ok((vec![count], ()))
    }

    async fn crashed(
        &self,
        _: &mut Overlay<'_, u8, u8>,
        _: i64,
        _: usize,
    ) -> Decided<TwoRecords, ()> {
        Err("nothing has crashed".to_owned())
    }

    fn committed(&self, (): ()) {}
}

#[tokio::test]
async fn while_a_batch_is_kept_the_next_is_decided_on_top_of_it() {
    let (log, shard) = (TwoRecords::default(), Shard::default());
    let decide = Counting(Arc::clone(&log.0));
    let lease = shard.lease(&log, &decide, 0, || false);
    let ended = tokio::time::timeout(LIMIT, lease).await;
    assert_eq!(ended, Ok(Ok(Ended::Idle)));
    assert_eq!(*log.0.outputs.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn what_is_decided_on_a_batch_that_is_not_kept_is_forgotten() {
    let kept = Arc::new(Kept {
        fails: true,
        ..Kept::default()
    });
    let (log, shard) = (TwoRecords(Arc::clone(&kept)), Shard::default());
    let decide = Counting(Arc::clone(&kept));
    let lease = shard.lease(&log, &decide, 0, || false);
    let ended = tokio::time::timeout(LIMIT, lease).await;
    assert_eq!(ended, Ok(Err("no answer".to_owned())));
    assert_eq!(*kept.outputs.lock().unwrap(), [1]);
    assert_eq!(
        shard.held().as_ref().map(|it| it.memory.position()),
        Some(Position(vec![0]))
    );
}
