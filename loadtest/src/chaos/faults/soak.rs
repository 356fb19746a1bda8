//! The long run: many events, half of them or all in the batch lane, and a random fault at least every
//! 20 seconds. Besides a few go through a guard relay and a gateway, whose memory is looked at as well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_devstack::Part;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use reqwest::StatusCode;
use tokio::time::sleep;

use super::broker::take_again;
use super::gateway::Gateway;
use super::harness::Harness;
use super::input::recreate;
use super::outcome::Outcome;
use super::process::memory;
use super::progress;
use super::relay::Relay;
use super::trial::Trial;
use crate::chaos::ledger::event::Book;
use crate::random::Random;

/// Between the end of one fault and the next, in milliseconds.
const BETWEEN: (u64, u64) = (5_000, 12_000);
/// Between two looks at the memory.
const SAMPLE: Duration = Duration::from_secs(10);
/// Between two requests to the gateway.
const REQUEST: Duration = Duration::from_millis(200);
/// Foreign events per second.
const FOREIGN_RATE: f64 = 20.0;
/// Requests that the gateway lets wait.
const MAX_WAITING: usize = 1000;

/// How it goes.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// How many events are on their way at once.
    pub outstanding: u64,
    /// No faults.
    pub calm: bool,
    /// All events are the batch ledger's.
    pub batch: bool,
}

/// Runs until all events are sent.
pub async fn soak(harness: &Harness, course: Course) -> anyhow::Result<Outcome> {
    let relay = Relay::start(harness, "soak").await?;
    let gateway = Gateway::start(harness, MAX_WAITING).await?;
    let trial = match course.batch {
        true => harness.trial_in(Book::Batch).await?,
        false => harness.trial().await?,
    };
    let foreign = harness.trial_in(Book::Foreign).await?;
    let mut load = trial.usual_load();
    (load.rate, load.outstanding) = (None, course.outstanding);
    load.in_flight = usize::try_from(course.outstanding)?;
    let (mut random, begun) = (harness.random(), Instant::now());
    let over = AtomicBool::new(false);
    let is_over = || over.load(Ordering::Relaxed);
    let mut sizes = Sizes::default();
    let faults = async {
        while trial.sent() < load.events {
            sleep(random.millis(BETWEEN.0, BETWEEN.1)).await;
            if course.calm {
                continue;
            }
            let name = inject(harness, &trial, &mut random).await?;
            let (sent, waiting) = (trial.sent(), trial.outstanding());
            let seconds = begun.elapsed().as_secs();
            progress(&format!(
                "{seconds} s: {name}; {sent} sent, {waiting} waiting"
            ));
        }
        Ok(())
    };
    let events = async {
        let result = trial.under(&load, faults).await;
        over.store(true, Ordering::Relaxed);
        result
    };
    let look = async {
        while !is_over() {
            sleep(SAMPLE).await;
            sizes.look(harness, &relay, &gateway).await;
            let (seconds, sent) = (begun.elapsed().as_secs(), trial.sent());
            progress(&format!("{seconds} s: {sent} sent; {}", sizes.last()));
        }
    };
    let guarded = foreign.trickle(FOREIGN_RATE, is_over);
    let requests = requests(&trial, &gateway, is_over);
    let (events, guarded, requests, ()) = tokio::join!(events, guarded, requests, look);
    events.and(guarded).and(requests)?;

    let answered = trial.answered().await;
    trial.expect(answered, "not everything is answered");
    let foreign = foreign.finish().await?;
    trial.figure("guarded_events", foreign.report.events as f64);
    trial.expect(foreign.ok, format!("behind the guard: {foreign}"));
    sizes.look(harness, &relay, &gateway).await;
    sizes.report(&trial);
    let mut outcome = trial.finish().await?;
    let events = outcome.report.events + outcome.batch.as_ref().map_or(0, |batch| batch.events);
    let rate = events as f64 / outcome.seconds;
    outcome.figures.insert("events_per_second".into(), rate);
    relay.process.end(Signal::SIGTERM).await?;
    gateway.process.end(Signal::SIGTERM).await?;
    Ok(outcome)
}

/// One request after the other. While something is away the gateway may ask to come again, or say
/// that the result is not there yet; when all is well it answers.
async fn requests(
    trial: &Trial<'_>,
    gateway: &Gateway,
    is_over: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let (mut answered, mut later) = (0, 0);
    for number in 0.. {
        let last = is_over();
        let key = format!("http-{number}");
        match gateway.book(trial.main.book, &key, 60).await?.0 {
            StatusCode::OK => answered += 1,
            StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE if !last => later += 1,
            status => trial.expect(false, format!("the gateway answers {status}")),
        }
        if last {
            break;
        }
        sleep(REQUEST).await;
    }
    trial.figure("http_answered", f64::from(answered));
    trial.figure("http_later", f64::from(later));
    Ok(())
}

/// What the processes hold, in megabytes.
#[derive(Default)]
struct Sizes(BTreeMap<&'static str, Vec<f64>>);

impl Sizes {
    async fn look(&mut self, harness: &Harness, relay: &Relay, gateway: &Gateway) {
        let mb = |bytes: Option<u64>| bytes.unwrap_or_default() as f64 / 1e6;
        for (name, size) in [
            ("handlers", harness.fleet_mb().await),
            ("relay", mb(relay.process.memory())),
            ("gateway", mb(gateway.process.memory())),
            ("checker", mb(memory(std::process::id()))),
        ] {
            self.0.entry(name).or_default().push(size);
        }
    }

    fn last(&self) -> String {
        let last = |(name, sizes): (&&str, &Vec<f64>)| {
            format!("{name} {:.1} MB", sizes.last().copied().unwrap_or_default())
        };
        self.0.iter().map(last).collect::<Vec<_>>().join(", ")
    }

    fn report(&self, trial: &Trial<'_>) {
        for (name, sizes) in &self.0 {
            let at = |index: usize| sizes.get(index).copied().unwrap_or_default();
            let most = sizes.iter().copied().fold(0.0, f64::max);
            trial.figure(format!("{name}_mb_at_first"), at(0));
            trial.figure(format!("{name}_mb_at_half"), at(sizes.len() / 2));
            trial.figure(format!("{name}_mb_at_most"), most);
            trial.figure(
                format!("{name}_mb_at_end"),
                at(sizes.len().saturating_sub(1)),
            );
        }
    }
}

/// One fault from its beginning to its end; answers its name.
async fn inject(
    harness: &Harness,
    trial: &Trial<'_>,
    random: &mut Random,
) -> anyhow::Result<&'static str> {
    trial.fault();
    let stack = &harness.stack;
    let name = match random.below(8) {
        0 | 1 => {
            let mut fleet = harness.fleet().await;
            let at = random.below(fleet.replicas.len() as u64) as usize;
            fleet.replicas[at].kill().await?;
            sleep(random.millis(0, 1000)).await;
            fleet.replicas[at].restart().await?;
            "handler killed"
        }
        2 => {
            let fleet = harness.fleet().await;
            let at = random.below(fleet.replicas.len() as u64) as usize;
            fleet.replicas[at].pause()?;
            sleep(random.millis(3000, 6000)).await;
            fleet.replicas[at].resume()?;
            "handler paused"
        }
        3 => {
            let fleet = harness.fleet().await;
            let at = random.below(fleet.replicas.len() as u64) as usize;
            let port = fleet.replicas[at].port();
            fleet.proxy.cut(port);
            sleep(random.millis(1000, 4000)).await;
            fleet.proxy.heal(port);
            "handler cut off"
        }
        4 => {
            stack.kill_part(Part::Restate).await?;
            sleep(random.millis(0, 2000)).await;
            stack.start_part(Part::Restate).await?;
            "Restate killed"
        }
        5 => {
            stack.kill_part(Part::Kafka).await?;
            stack.start_part(Part::Kafka).await?;
            "Kafka killed"
        }
        6 => {
            let pid = stack.endpoints().pids.get(Part::Kafka.name()).copied();
            let group = Pid::from_raw(i32::try_from(pid.unwrap_or_default())?);
            killpg(group, Signal::SIGSTOP)?;
            sleep(random.millis(3000, 8000)).await;
            killpg(group, Signal::SIGCONT)?;
            match take_again(&[trial]).await? {
                0 => "Kafka paused",
                _ => "Kafka paused, and Restate restarted",
            }
        }
        _ => {
            recreate(harness, None).await?;
            "subscription made anew"
        }
    };
    trial.healed();
    Ok(name)
}
