//! One run of events with its generator, its checker and its faults.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_control::Settings;
use millstream_pipeline::kafka::reader::From;
use tokio::task::JoinSet;

use super::harness::Harness;
use super::once::{self, Once};
use super::outcome::Outcome;
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::checker::Checker;
use crate::chaos::ledger::event::{Book, is_spoilt};
use crate::chaos::ledger::generator::{Generator, Load};
use crate::chaos::ledger::watch::Watch;

/// How long the last answers may take after the load has ended.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// The same where results are known to be lost.
const CARELESS_LIMIT: Duration = Duration::from_secs(15);
/// How long Restate may then take to have nothing left to do.
const QUIET_LIMIT: Duration = Duration::from_secs(120);
/// For how much longer than the others a partition with bad input may be held up. A record that is tried
/// again in its place holds it up for as long as that is done: minutes.
const HELD_UP_LIMIT: Duration = Duration::from_secs(1);
/// How much longer a dead letter may take than the slowest answer: a second attempt, which Restate makes after 5 s at the latest,
/// and the same again for a busy machine.
const LETTER_LIMIT: Duration = Duration::from_secs(10);
/// How long the load of a scenario lasts at least.
const LOAD_TIME: Duration = Duration::from_secs(8);
/// Events that may wait for their answers: a machine that is slower than the load must not fall ever
/// further behind.
const OUTSTANDING: u64 = 5_000;
const PAUSE: Duration = Duration::from_millis(50);

/// A run.
pub struct Trial<'h> {
    pub harness: &'h Harness,
    pub book: Book,
    pub run: String,
    pub watch: Arc<Watch>,
    pub generator: Arc<Generator>,
    once: Option<Once>,
    begun: Instant,
    faults: AtomicU64,
    recoveries: Mutex<JoinSet<(u64, f64)>>,
    failures: Mutex<Vec<String>>,
    figures: Mutex<BTreeMap<String, f64>>,
}

impl<'h> Trial<'h> {
    /// Begins to watch.
    pub async fn start(harness: &'h Harness, book: Book, run: &str) -> anyhow::Result<Self> {
        let codec = Arc::clone(&harness.codec);
        let checker = Checker::new(harness.rules.sequence_rule);
        let kafka = &harness.endpoints.kafka;
        let watch = Watch::start(kafka, Arc::clone(&codec), book, run, checker).await?;
        // That of the second ledger is made and deleted on the way.
        if book != Book::Stuck {
            watch.follow_results(From::End).await?;
        }
        let once = Once::begin(harness, book).await?;
        let publisher = Arc::clone(&harness.publisher);
        Ok(Self {
            harness,
            book,
            run: run.to_owned(),
            watch: Arc::new(watch),
            generator: Arc::new(Generator::new(book, run, codec, publisher)),
            once,
            begun: Instant::now(),
            faults: AtomicU64::new(0),
            recoveries: Mutex::default(),
            failures: Mutex::default(),
            figures: Mutex::default(),
        })
    }

    /// The usual load.
    pub fn usual_load(&self) -> Load {
        let size = self.harness.size;
        Load {
            events: size.events,
            keys: size.keys,
            rate: Some(size.events as f64 / LOAD_TIME.as_secs_f64()),
            outstanding: OUTSTANDING,
            poison_every: 0,
            twice_every: 0,
        }
    }

    /// Sends a load without faults.
    pub async fn send(&self, load: &Load) -> anyhow::Result<()> {
        let random = self.harness.random();
        self.generator
            .send(load, &self.watch, random, || true)
            .await
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
        let random = self.harness.random();
        let is_over = || over.load(Ordering::Relaxed);
        let send = self.generator.send(load, &self.watch, random, is_over);
        let faults = async {
            let result = faults.await;
            over.store(true, Ordering::Relaxed);
            result
        };
        let (sent, faults) = tokio::join!(send, faults);
        faults.and(sent)
    }

    /// Sends so many events a second until `is_over`.
    pub async fn trickle(&self, rate: f64, is_over: impl Fn() -> bool) -> anyhow::Result<()> {
        let load = Load {
            events: 0,
            rate: Some(rate),
            ..self.usual_load()
        };
        let random = self.harness.random();
        self.generator
            .send(&load, &self.watch, random, is_over)
            .await
    }

    /// Expects that bad input held up no partition, by comparison with those that had none, and became
    /// dead letters in time.
    pub fn expect_pace(&self) {
        let pace = self.watch.pace();
        let now = Instant::now();
        let (spoilt, clean) = (
            pace.longest(now, is_spoilt),
            pace.longest(now, |partition| !is_spoilt(partition)),
        );
        drop(pace);
        self.figure("held_up_seconds_without", clean.as_secs_f64());
        self.figure("held_up_seconds", spoilt.as_secs_f64());
        self.expect(
            spoilt <= clean + HELD_UP_LIMIT,
            "bad input holds up a partition",
        );
        self.expect_letters();
    }

    /// Expects that dead letters came in time.
    pub fn expect_letters(&self) {
        let (answer, letter) = {
            let pace = self.watch.pace();
            (pace.slowest_answer(), pace.slowest_letter())
        };
        self.figure("slowest_answer_seconds", answer.as_secs_f64());
        self.figure("slowest_letter_seconds", letter.as_secs_f64());
        // Both wait for their turn behind what the machine has not got to yet.
        self.expect(
            letter <= answer + LETTER_LIMIT,
            "dead letters take too long",
        );
    }

    /// Counts a fault.
    pub fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// A fault is over: measures how long until what was acknowledged by now is answered.
    pub fn healed(&self) {
        let mut pending = self.watch.checker().unanswered();
        let (watch, begun) = (Arc::clone(&self.watch), Instant::now());
        let number = self.faults.load(Ordering::Relaxed);
        let limit = self.answer_limit();
        let measure = async move {
            loop {
                {
                    let checker = watch.checker();
                    pending.retain(|(key, in_seq)| !checker.is_answered(key, *in_seq));
                }
                if pending.is_empty() || begun.elapsed() > limit {
                    return (number, begun.elapsed().as_secs_f64());
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        lock(&self.recoveries).spawn(measure);
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

    /// How long answers may take.
    pub fn answer_limit(&self) -> Duration {
        match self.harness.rules.awaited_publish {
            true => ANSWER_LIMIT,
            false => CARELESS_LIMIT,
        }
    }

    /// Waits until what is acknowledged by now is answered; false when it takes too long.
    pub async fn goes_on(&self, limit: Duration) -> bool {
        let known = self.watch.checker().unanswered();
        until(limit, || async {
            let checker = self.watch.checker();
            known
                .iter()
                .all(|(key, in_seq)| checker.is_answered(key, *in_seq))
        })
        .await
    }

    /// Waits until everything is answered; false when it takes too long.
    pub async fn answered(&self) -> bool {
        until(self.answer_limit(), || async {
            let checker = self.watch.checker();
            checker.outstanding() == 0 && checker.letters_due() == 0
        })
        .await
    }

    /// Waits until Kafka has handed over everything and Restate has nothing left to do.
    async fn quiet(&self) -> bool {
        until(QUIET_LIMIT, || async {
            self.is_quiet().await.unwrap_or(false)
        })
        .await
    }

    async fn is_quiet(&self) -> anyhow::Result<bool> {
        let endpoints = &self.harness.endpoints;
        let status =
            millstream_control::status(OWN_TOPICS, endpoints, &Settings::default()).await?;
        let declaration = self.book.declaration();
        let topic = declaration.subscribed_topic();
        // Restate does not commit the ends of transactions, which count as records.
        let ends = i64::from(if declaration.guard {
            declaration.partitions
        } else {
            0
        });
        let guarded = status
            .guards
            .iter()
            .filter(|guard| guard.topic == declaration.name)
            .all(|guard| guard.lag == Some(0));
        let lag = guarded
            && status
                .subscriptions
                .iter()
                .filter(|subscription| subscription.topic == topic)
                .all(|subscription| subscription.lag.is_some_and(|lag| lag <= ends));
        let unfinished = status
            .invocations
            .iter()
            .any(|service| service.service == self.book.service());
        Ok(lag && !unfinished)
    }

    /// Waits for the last answers and reports.
    pub async fn finish(mut self) -> anyhow::Result<Outcome> {
        let answered = self.answered().await;
        // Also where something is lost: late copies are to be seen.
        self.expect(self.quiet().await, "Restate has not come to rest");
        self.watch.drain(QUIET_LIMIT).await.context("at the end")?;
        let report = self.watch.checker().finish();
        if let Some(once) = self.once.take() {
            let counted = once.count(self.harness, &self.run).await?;
            let distinct = counted.records - counted.duplicates;
            self.figure("once_duplicates", counted.duplicates as f64);
            self.figure(
                "once_missing",
                once::accepted(&report) as f64 - distinct as f64,
            );
            self.expect(
                counted.duplicates == 0 && distinct == once::accepted(&report),
                format!("{counted:?} instead of each result once"),
            );
        }
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
            ok: answered && report.is_clean() && failures.is_empty(),
            report,
            recovery_seconds: times.last_key_value().map(|(_, seconds)| *seconds),
            worst_recovery_seconds: times.values().copied().reduce(f64::max),
            seconds: self.begun.elapsed().as_secs_f64(),
            figures: std::mem::take(&mut *lock(&self.figures)),
            failures,
            skipped: None,
        })
    }
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
