//! One history: records come, Restate hands the shard about, and anything goes wrong at any step; then
//! all of it is quiet, and what came of it is checked.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::kafka::{Data, INPUTS, Kafka, Noted, Partition, Producer};
use super::random::Random;
use super::world::{Failed, Shared, Summing, World, Wrong};
use crate::lane::batch::notes;
use crate::lane::batch::rules::Rules;
use crate::lane::batch::shard::{Ended, Shard};
use crate::lane::batch::watch::Watched;

/// So many processes have the service, or two.
const PROCESSES: usize = 5;
const KEYS: usize = 3;
/// After so many steps without a fault all must be decided.
const PATIENCE: u32 = 4000;

type Lease = Pin<Box<dyn Future<Output = Result<Ended, Failed>>>>;

/// An attempt that runs, whatever Restate thinks of it.
struct Attempt {
    process: usize,
    number: usize,
    /// How many attempts of its invocation did not end.
    unended: u32,
    /// How many requests had failed before it.
    faults: usize,
    lease: Lease,
}

struct Process {
    id: u64,
    shard: Rc<Shard<World>>,
    paused: bool,
}

/// What is left out of the lane.
#[derive(Debug, Clone, Copy)]
pub struct Flaw {
    pub rules: Rules,
    pub wrong: Wrong,
}

pub struct History {
    pub shared: Rc<RefCell<Shared>>,
    rules: Rules,
    processes: Vec<Process>,
    attempts: Vec<Attempt>,
    /// Work orders that Restate has.
    orders: u32,
    /// How many attempts of the one that comes next did not end.
    unended: u32,
    /// The attempt that has the shard, as Restate believes.
    leased: Option<usize>,
    watched: Watched,
    now: Duration,
    /// Somebody else's producer, which writes the service's topics.
    other: Producer,
    pub said: Vec<String>,
    pub says: bool,
}

impl History {
    pub fn new(seed: u64, flaw: Flaw) -> Self {
        let mut kafka = Kafka::default();
        let (id, other) = (kafka.new_id(), kafka.new_id());
        let other = kafka.init(other);
        let shared = Shared {
            kafka,
            random: Random::new(seed),
            faulty: true,
            wrong: flaw.wrong,
            id,
            lost: 0,
            unwell: false,
            ends: None,
            interrupted: 0,
            faults: 0,
            replaced: Vec::new(),
        };
        let mut new = Self {
            shared: Rc::new(RefCell::new(shared)),
            rules: flaw.rules,
            processes: Vec::new(),
            attempts: Vec::new(),
            orders: 0,
            unended: 0,
            leased: None,
            watched: Watched::default(),
            now: Duration::from_secs(1),
            other,
            said: Vec::new(),
            says: false,
        };
        let count = if new.below(2) == 0 { 2 } else { PROCESSES };
        new.shared.borrow_mut().unwell = new.below(4) == 0;
        new.processes = (0..count).map(|_| new.process()).collect();
        new
    }

    fn process(&self) -> Process {
        let id = self.shared.borrow_mut().random.next() | 1;
        Process {
            id,
            shard: Rc::new(Shard::new(self.rules, Arc::new(notes::Process::new(id)))),
            paused: false,
        }
    }

    /// All of it; an error says what must not be.
    pub fn run(&mut self) -> Result<(), String> {
        let steps = 40 + self.below(100);
        let anything = if self.shared.borrow().unwell { 88 } else { 100 };
        for _ in 0..steps {
            self.now += Duration::from_millis(self.below(40) as u64);
            match self.below(anything) {
                0..62 => self.poll(),
                62..74 => self.produce(),
                74..79 => self.produce_other(),
                79..85 => self.dispatch(),
                85..88 => self.kafka(),
                88..97 => self.restate(),
                97 => self.pause(),
                98 => self.kill(),
                _ => self.delete(),
            }
        }
        self.calm()?;
        super::check::check(&self.shared.borrow())
    }

    fn below(&self, limit: usize) -> usize {
        self.shared.borrow_mut().random.below(limit)
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.says {
            self.said.push(what());
        }
    }

    /// Lets one attempt go one step further.
    fn poll(&mut self) {
        if self.orders > 0 && self.leased.is_none() {
            self.lease();
        }
        if self.attempts.is_empty() {
            return;
        }
        let index = self.below(self.attempts.len());
        if self.processes[self.attempts[index].process].paused {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = self.attempts[index].lease.as_mut().poll(&mut context);
        let ends = self.shared.borrow_mut().ends.take();
        if let Some(number) = ends {
            let process = self.attempts.iter().find(|it| it.number == number);
            let process = process.map_or(0, |attempt| attempt.process);
            return self.end(process);
        }
        let Poll::Ready(ended) = polled else {
            return;
        };
        let attempt = self.attempts.swap_remove(index);
        self.say(|| format!("attempt {} ended: {ended:?}", attempt.number));
        let faulty = self.shared.borrow().faults > attempt.faults;
        let process = self.processes[attempt.process].id;
        if ended.is_err() && faulty && self.may_be_noted(process) {
            // What it could not strike out counts once, as if it had ended its process.
            self.shared.borrow_mut().interrupted += 1;
        }
        if self.leased == Some(attempt.number) {
            self.leased = None;
            if ended.is_err() {
                // Restate repeats it.
                self.orders += 1;
                self.unended = attempt.unended + 1;
            }
        }
    }

    /// Restate gives the shard to a process.
    fn lease(&mut self) {
        let process = self.below(self.processes.len());
        if self.processes[process].paused {
            return;
        }
        let number = self.shared.borrow().replaced.len();
        self.shared.borrow_mut().replaced.push(None);
        self.orders -= 1;
        self.leased = Some(number);
        let unended = std::mem::take(&mut self.unended);
        self.say(|| format!("attempt {number} in process {process}, after {unended}"));
        let world = World {
            shared: Rc::clone(&self.shared),
            attempt: number,
        };
        let shard = Rc::clone(&self.processes[process].shard);
        let lease: Lease = Box::pin(async move {
            let over = || {
                let mut shared = world.shared.borrow_mut();
                shared.faulty && shared.random.once_in(20)
            };
            let decide = (world.clone(), Summing);
            shard.lease(&world, &decide, unended, over).await
        });
        self.attempts.push(Attempt {
            process,
            number,
            unended,
            faults: self.shared.borrow().faults,
            lease,
        });
        // It takes the place of others once it has begun.
        let last = self.attempts.len() - 1;
        let mut context = Context::from_waker(Waker::noop());
        if self.attempts[last]
            .lease
            .as_mut()
            .poll(&mut context)
            .is_ready()
        {
            self.attempts.pop();
            self.leased = None;
        }
        for older in &self.attempts[..last] {
            if older.process == process {
                self.shared.borrow_mut().replaced[older.number].get_or_insert(0);
            }
        }
    }

    /// Records of plain producers.
    fn produce(&mut self) {
        for _ in 0..=self.below(3) {
            let input = Partition::Input(self.below(INPUTS));
            let key = self.below(KEYS) as u8;
            let mut shared = self.shared.borrow_mut();
            let ends = shared.random.once_in(24);
            shared.kafka.append(input, Data::Event { key, ends });
        }
    }

    /// Transactions of somebody else in the service's topics.
    fn produce_other(&mut self) {
        let (what, topic, key) = (self.below(5), self.below(INPUTS), self.below(KEYS) as u8);
        let mut shared = self.shared.borrow_mut();
        let event = [Data::Event { key, ends: false }];
        let _ = match what {
            0..3 => (shared.kafka).produce(self.other, Partition::Input(topic), &event),
            _ => shared.kafka.end(self.other, what == 3),
        };
    }

    fn dispatch(&mut self) {
        let (ends, position) = self.standing();
        if !self.watched.look(self.now, &ends, &position) {
            return;
        }
        let orders = match self.shared.borrow().faulty {
            false => 1,
            // Lost, one, or more than that.
            true => [0, 1, 1, 1, 2][(self.now.as_millis() % 5) as usize],
        };
        self.orders += orders;
        self.say(|| format!("{orders} work orders at {ends:?} behind {position:?}"));
    }

    /// Ends of the topics, and what is committed of the position.
    fn standing(&self) -> (Vec<i64>, Vec<i64>) {
        let shared = self.shared.borrow();
        let ends = (0..INPUTS).map(|topic| shared.kafka.stable(Partition::Input(topic)));
        let position = super::check::position(&shared.kafka);
        (ends.collect(), position.to_vec())
    }

    /// Whether a note of this process is committed, or something is that nobody knows the end of.
    fn may_be_noted(&self, process: u64) -> bool {
        let shared = self.shared.borrow();
        let (kafka, end) = (&shared.kafka, shared.kafka.end_of(Partition::State));
        if kafka.stable(Partition::State) < end {
            return true;
        }
        let mut kept = (0..end)
            .rev()
            .filter_map(|at| kafka.committed(Partition::State, at));
        let notes = kept.find_map(|data| match data {
            Data::Position(_, notes) => Some(notes),
            _ => None,
        });
        let mut notes = notes.iter().flatten();
        notes.any(|Noted(_, by)| by.contains(&process))
    }

    /// What happens in Kafka of itself.
    fn kafka(&mut self) {
        let what = self.below(8);
        let mut shared = self.shared.borrow_mut();
        let id = shared.id;
        match what {
            0 => shared.kafka.abort(id),
            1 | 2 => shared.kafka.late(what == 1),
            _ => shared.kafka.mark_one(),
        }
    }

    fn restate(&mut self) {
        match self.below(10) {
            // An old work order, or one too many.
            0..2 => self.orders += 1,
            // All that Restate knew is lost. What runs goes on.
            2 => (self.orders, self.unended, self.leased) = (0, 0, None),
            // It gives the attempt up, and makes another one.
            3..6 => self.give_up(false),
            // The same, and the attempt's process hears of it.
            6..9 => self.give_up(true),
            _ => (self.orders, self.unended) = (0, 0),
        }
    }

    /// Restate repeats an attempt that has not ended.
    fn again(&mut self, number: usize) {
        let attempt = self.attempts.iter().find(|it| it.number == number);
        self.orders += 1;
        self.unended = attempt.map_or(0, |attempt| attempt.unended) + 1;
    }

    fn give_up(&mut self, cancelled: bool) {
        let Some(number) = self.leased.take() else {
            return;
        };
        self.again(number);
        self.shared.borrow_mut().interrupted += 1;
        self.say(|| format!("attempt {number} is given up, cancelled: {cancelled}"));
        if cancelled {
            self.attempts.retain(|attempt| attempt.number != number);
        }
    }

    fn pause(&mut self) {
        let process = self.below(self.processes.len());
        let paused = !self.processes[process].paused;
        self.processes[process].paused = paused;
        self.shared.borrow_mut().interrupted += 1;
        self.say(|| format!("process {process} paused: {paused}"));
    }

    fn kill(&mut self) {
        let process = self.below(self.processes.len());
        self.shared.borrow_mut().interrupted += 1;
        self.end(process);
    }

    /// A process ends, and another one takes its place.
    fn end(&mut self, process: usize) {
        self.say(|| format!("process {process} ends"));
        let of_it = |attempt: &&Attempt| attempt.process == process;
        let leased = self.attempts.iter().filter(of_it);
        let leased = leased
            .map(|attempt| attempt.number)
            .find(|number| self.leased == Some(*number));
        if let Some(number) = leased {
            self.leased = None;
            self.again(number);
        }
        self.attempts.retain(|attempt| attempt.process != process);
        self.processes[process] = self.process();
    }

    fn delete(&mut self) {
        let input = Partition::Input(self.below(INPUTS));
        if !self.shared.borrow_mut().random.once_in(4) {
            return;
        }
        let stable = self.shared.borrow().kafka.stable(input);
        let before = self.below(stable as usize + 1) as i64;
        self.shared.borrow_mut().kafka.delete(input, before);
        self.say(|| format!("{input:?} begins at {before}"));
    }

    /// Nothing goes wrong any more, and everything that waits is decided.
    fn calm(&mut self) -> Result<(), String> {
        self.shared.borrow_mut().faulty = false;
        self.processes.iter_mut().for_each(|it| it.paused = false);
        self.shared.borrow_mut().kafka.settle();
        for _ in 0..PATIENCE {
            self.now += Duration::from_secs(1);
            self.shared.borrow_mut().kafka.mark_one();
            if self.attempts.is_empty() {
                self.dispatch();
            }
            self.poll();
            if self.attempts.is_empty() && self.orders == 0 {
                let (ends, position) = self.standing();
                if ends == position {
                    return Ok(());
                }
            }
        }
        let (ends, position) = self.standing();
        Err(format!(
            "nothing moves: topics end at {ends:?} and are decided up to {position:?}"
        ))
    }
}
