//! One run of events with its faults. The ledger of the batch lane has half of the load of most.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use futures::try_join;
use millstream_control::{Settings, Status};
use millstream_pipeline::kafka::reader::From;
use tokio::task::JoinSet;

use super::harness::Harness;
use super::once::Once;
use super::outcome::Outcome;
use super::side::{Side, Waiting};
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::event::{Book, is_spoilt};
use crate::chaos::ledger::generator::Load;
use crate::chaos::ledger::watch::{once_of, results_of};

/// How long the last answers may take after the load has ended.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// The same where results are known to be lost.
const CARELESS_LIMIT: Duration = Duration::from_secs(15);
/// How long Restate may then take to have nothing left to do.
const QUIET_LIMIT: Duration = Duration::from_secs(120);
/// For how much longer than the others a partition with bad input may be held up. A record that is tried
/// again in its place holds it up for as long as that is done: minutes.
const HELD_UP_LIMIT: Duration = Duration::from_secs(1);
/// The same in the batch lane, where the other replica may take over a partition with bad input as well as
/// one without: a producer and the states are made anew, and a lease that fails begins again after 3 s and
/// more.
const TAKEN_OVER_LIMIT: Duration = Duration::from_secs(6);
/// How much longer a dead letter may take than the slowest answer: a second attempt, which Restate makes after 5 s at the latest,
/// and the same again for a busy machine.
const LETTER_LIMIT: Duration = Duration::from_secs(10);
/// How long the load of a scenario lasts at least.
const LOAD_TIME: Duration = Duration::from_secs(8);
/// Events that may wait for their answers: a machine that is slower than the load must not fall ever
/// further behind.
const OUTSTANDING: u64 = 5_000;
/// Events of a ledger that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// A run.
pub struct Trial<'h> {
    pub harness: &'h Harness,
    pub run: String,
    pub main: Side,
    /// The ledger of the batch lane: half of the load is its.
    pub beside: Option<Side>,
    once: Option<Once>,
    begun: Instant,
    faults: AtomicU64,
    recoveries: Mutex<JoinSet<(u64, f64)>>,
    failures: Mutex<Vec<String>>,
    figures: Mutex<BTreeMap<String, f64>>,
}

impl<'h> Trial<'h> {
    /// Begins to watch.
    pub async fn start(
        harness: &'h Harness,
        book: Book,
        beside: Option<Book>,
        run: &str,
    ) -> anyhow::Result<Self> {
        let main = Side::start(harness, book, run).await?;
        let beside = match beside {
            Some(book) => Some(Side::start(harness, book, run).await?),
            None => None,
        };
        let once = Once::begin(harness, book).await?;
        let trial = Self {
            harness,
            run: run.to_owned(),
            main,
            beside,
            once,
            begun: Instant::now(),
            faults: AtomicU64::new(0),
            recoveries: Mutex::default(),
            failures: Mutex::default(),
            figures: Mutex::default(),
        };
        // Those of the second ledger, and of what is beside it, are made and deleted on the way.
        if book != Book::Stuck {
            trial.follow_results(From::End).await?;
        }
        Ok(trial)
    }

    /// Begins to read the results.
    pub async fn follow_results(&self, from: From) -> anyhow::Result<()> {
        for side in self.sides() {
            side.watch.follow_results(from).await?;
        }
        Ok(())
    }

    /// The ledgers that have a share of the load.
    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        std::iter::once(&self.main).chain(&self.beside)
    }

    /// Events that were sent.
    pub fn sent(&self) -> u64 {
        self.sides().map(|side| side.generator.total()).sum()
    }

    /// The usual load.
    pub fn usual_load(&self) -> Load {
        let size = self.harness.size;
        Load {
            events: size.events,
            keys: size.keys,
            rate: Some(size.events as f64 / LOAD_TIME.as_secs_f64()),
            outstanding: OUTSTANDING,
            in_flight: IN_FLIGHT,
            poison_every: 0,
            twice_every: 0,
        }
    }

    /// Events that were sent and are not answered.
    pub fn outstanding(&self) -> u64 {
        let outstanding = |side: &Side| side.watch.checker().outstanding();
        self.sides().map(outstanding).sum()
    }

    /// Sends a load without faults.
    pub async fn send(&self, load: &Load) -> anyhow::Result<()> {
        self.send_until(load, || true).await
    }

    /// Sends a load, each of the ledgers its share, and on until `is_over`.
    async fn send_until(&self, load: &Load, is_over: impl Fn() -> bool) -> anyhow::Result<()> {
        let parts = self.sides().count() as u64;
        let share = Load {
            events: load.events.div_ceil(parts),
            rate: load.rate.map(|rate| rate / parts as f64),
            outstanding: load.outstanding.div_ceil(parts),
            ..load.clone()
        };
        let sends = self
            .sides()
            .map(|side| side.send(&share, self.harness.random(), &is_over));
        try_join_all(sends).await?;
        Ok(())
    }

    /// Sends the usual load while `faults` runs, and on until it is over.
    pub async fn under_load(
        &self,
        faults: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        self.under(&self.usual_load(), faults).await
    }

    /// Sends a load while `faults` runs, and on until it is over.
    pub async fn under(
        &self,
        load: &Load,
        faults: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let over = AtomicBool::new(false);
        let send = self.send_until(load, || over.load(Ordering::Relaxed));
        let faults = async {
            faults.await?;
            over.store(true, Ordering::Relaxed);
            Ok(())
        };
        // What went wrong between two faults may have left nobody who answers.
        tokio::try_join!(send, faults).map(|_| ())
    }

    /// Sends so many events a second until `is_over`.
    pub async fn trickle(&self, rate: f64, is_over: impl Fn() -> bool) -> anyhow::Result<()> {
        let load = Load {
            events: 0,
            rate: Some(rate),
            ..self.usual_load()
        };
        self.send_until(&load, is_over).await
    }

    /// Expects that bad input held up no partition, by comparison with those that had none, and became
    /// dead letters in time.
    pub fn expect_pace(&self) {
        for side in self.sides() {
            let pace = side.watch.pace();
            let now = Instant::now();
            let (spoilt, clean) = (
                pace.longest(now, is_spoilt),
                pace.longest(now, |partition| !is_spoilt(partition)),
            );
            drop(pace);
            self.figure_of(side, "held_up_seconds_without", clean.as_secs_f64());
            self.figure_of(side, "held_up_seconds", spoilt.as_secs_f64());
            let limit = match side.book {
                Book::Batch => TAKEN_OVER_LIMIT,
                _ => HELD_UP_LIMIT,
            };
            self.expect(
                spoilt <= clean + limit,
                format!("bad input holds up a partition of {}", side.book.service()),
            );
        }
        self.expect_letters();
    }

    /// Expects that dead letters came in time.
    pub fn expect_letters(&self) {
        for side in self.sides() {
            let (answer, letter) = {
                let pace = side.watch.pace();
                (pace.slowest_answer(), pace.slowest_letter())
            };
            self.figure_of(side, "slowest_answer_seconds", answer.as_secs_f64());
            self.figure_of(side, "slowest_letter_seconds", letter.as_secs_f64());
            // Both wait for their turn behind what the machine has not got to yet.
            self.expect(
                letter <= answer + LETTER_LIMIT,
                format!("dead letters of {} take too long", side.book.service()),
            );
        }
    }

    /// Counts a fault.
    pub fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// A fault is over: measures how long until what was acknowledged by now is answered.
    pub fn healed(&self) {
        let (mut pending, begun) = (self.waiting(), Instant::now());
        let number = self.faults.load(Ordering::Relaxed);
        let limit = self.answer_limit();
        let measure = async move {
            loop {
                pending.retain_mut(|waiting| !waiting.is_over());
                if pending.is_empty() || begun.elapsed() > limit {
                    return (number, begun.elapsed().as_secs_f64());
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        lock(&self.recoveries).spawn(measure);
    }

    /// The events of each ledger that are acknowledged and have no answer by now.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.sides().map(Side::waiting).collect()
    }

    /// An expectation of the scenario's own.
    pub fn expect(&self, holds: bool, what: impl Into<String>) {
        if !holds {
            lock(&self.failures).push(what.into());
        }
    }

    /// A figure for the report.
    pub fn figure(&self, name: impl Into<String>, value: f64) {
        lock(&self.figures).insert(name.into(), value);
    }

    /// The same of one of the ledgers.
    pub fn figure_of(&self, side: &Side, name: &str, value: f64) {
        match side.book {
            Book::Batch => self.figure(format!("batch_{name}"), value),
            _ => self.figure(name, value),
        }
    }

    /// How long answers may take.
    pub fn answer_limit(&self) -> Duration {
        let rules = self.harness.rules;
        match rules.awaited_publish && rules.every_result {
            true => ANSWER_LIMIT,
            false => CARELESS_LIMIT,
        }
    }

    /// Waits until what is acknowledged by now is answered; false when it takes too long.
    pub async fn goes_on(&self, limit: Duration) -> bool {
        let mut pending = self.waiting();
        until(limit, || {
            pending.retain_mut(|waiting| !waiting.is_over());
            std::future::ready(pending.is_empty())
        })
        .await
    }

    /// Waits until everything is answered; false when it takes too long.
    pub async fn answered(&self) -> bool {
        until(self.answer_limit(), || async {
            self.sides().all(Side::is_answered)
        })
        .await
    }

    /// Waits until Kafka has handed over everything and Restate has nothing left to do.
    async fn quiet(&self) -> bool {
        until(QUIET_LIMIT, || async {
            self.is_quiet().await.unwrap_or_default()
        })
        .await
    }

    /// Whether Kafka has handed over everything and nothing is under way.
    pub async fn is_quiet(&self) -> anyhow::Result<bool> {
        let endpoints = &self.harness.endpoints;
        let status =
            millstream_control::status(OWN_TOPICS, endpoints, &Settings::default()).await?;
        Ok(self.sides().all(|side| is_quiet(side.book, &status)))
    }

    /// Waits for the last answers and reports.
    pub async fn finish(mut self) -> anyhow::Result<Outcome> {
        let answered = self.answered().await;
        // Also where something is lost: late copies are to be seen.
        self.expect(self.quiet().await, "Restate has not come to rest");
        let once = self.once.take();
        // Beside each other: each waits for the ends of topics.
        let drained = try_join_all(self.sides().map(|side| side.watch.drain(QUIET_LIMIT)));
        let compared = async {
            match once {
                Some(once) => once.compare(self.harness, &self.run).await.map(Some),
                None => Ok(None),
            }
        };
        let (_, compared) = try_join!(drained, compared).context("at the end")?;
        let reports: Vec<_> = self
            .sides()
            .map(|side| side.watch.checker().finish())
            .collect();
        let mut each = self.sides().zip(&reports);
        let is_clean = each.all(|(side, report)| side.is_clean(report));
        if let (Some(compared), Some(report)) = (compared, reports.first()) {
            compared.judge(&self, report);
        }
        let mut reports = reports.into_iter();
        let mut recoveries = std::mem::take(&mut *lock(&self.recoveries));
        let mut times = BTreeMap::new();
        while let Some(done) = recoveries.join_next().await {
            let (number, seconds) = done?;
            times.insert(number, seconds);
        }
        let (scenario, seed) = self.harness.name();
        let failures = std::mem::take(&mut *lock(&self.failures));
        Ok(Outcome {
            scenario: scenario.into(),
            seed,
            faults: self.faults.load(Ordering::Relaxed),
            ok: answered && is_clean && failures.is_empty(),
            report: reports.next().unwrap_or_default(),
            batch: reports.next(),
            recovery_seconds: times.last_key_value().map(|(_, seconds)| *seconds),
            worst_recovery_seconds: times.values().copied().reduce(f64::max),
            seconds: self.begun.elapsed().as_secs_f64(),
            figures: std::mem::take(&mut *lock(&self.figures)),
            failures,
            skipped: None,
        })
    }
}

/// Whether everything that is on the ledger's topic was taken, and nothing of it is under way.
fn is_quiet(book: Book, status: &Status) -> bool {
    let declaration = book.declaration();
    let topic = declaration.subscribed_topic();
    // Restate does not commit the ends of transactions, which count as records.
    let ends = i64::from(if declaration.guard {
        declaration.partitions
    } else {
        0
    });
    let guards = status.guards.iter();
    let mut guards = guards.filter(|guard| guard.topic == declaration.name);
    let subscriptions = status.subscriptions.iter();
    let mut subscriptions = subscriptions.filter(|it| it.topic == topic);
    let mut lanes = status.lanes.iter().filter(|lane| lane.topic == topic);
    // Whoever publishes its results once reads its results.
    let mut publishers = status.lanes.iter();
    let is_published = once_of(book).is_none()
        || publishers.any(|lane| lane.topic == results_of(book) && lane.lag == Some(0));
    let mut unfinished = status.invocations.iter();
    guards.all(|guard| guard.lag == Some(0))
        && subscriptions.all(|it| it.lag.is_some_and(|lag| lag <= ends))
        && lanes.all(|lane| lane.lag == Some(0))
        && is_published
        && !unfinished.any(|service| service.service == book.service())
}

/// Waits until `check` holds; false when it does not within `limit`.
pub async fn until<F: Future<Output = bool>>(
    limit: Duration,
    mut check: impl FnMut() -> F,
) -> bool {
    let begun = Instant::now();
    while !check().await {
        if begun.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
