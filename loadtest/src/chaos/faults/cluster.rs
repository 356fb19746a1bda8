//! Faults of a cluster: each of a kind is killed in turn and stays away for some seconds. The others
//! must carry on meanwhile; then it comes back and catches up.

use std::time::{Duration, Instant};

use millstream_devstack::Part;
use millstream_pipeline::kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::time::sleep;

use super::harness::{BROKERS, Harness, SERVERS};
use super::outcome::Outcome;
use super::trial::{Trial, until};
use super::two_gateways::Gateways;
use crate::chaos::ledger::generator::Load;
use crate::probe::log_records::{metrics, sum};
use crate::random::Random;

/// How long a killed one stays away at least.
const AWAY: Duration = Duration::from_secs(6);
/// The same with `--full`.
const AWAY_FULL: Duration = Duration::from_secs(60);
/// How long the others may take until all partitions have events and answers again.
const CARRY_ON_LIMIT: Duration = Duration::from_secs(60);
/// How long the killed one may take until it is as far as the others.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);
const METADATA_LIMIT: Duration = Duration::from_secs(5);
/// How many events may wait for their answers.
const OUTSTANDING: u64 = 1000;
/// Log records by which a Restate server that is up to date may lag under load.
const LAG: f64 = 100.0;
/// Beginning of the lines with the lag of its partitions, by quantiles.
const LAGS: &str = "restate_partition_applied_lsn_lag{";
/// How long an entry takes in the gateways' scenario: long enough that some wait at any moment.
const THINK: Duration = Duration::from_millis(150);

/// Each broker in turn.
pub async fn broker(harness: &Harness) -> anyhow::Result<Outcome> {
    let caught_up = async || in_sync(&harness.endpoints.kafka).await.unwrap_or(false);
    nodes(harness, BROKERS, caught_up).await
}

/// Each Restate server in turn.
pub async fn restate(harness: &Harness) -> anyhow::Result<Outcome> {
    let before = Servers::look(harness).await;
    let caught_up = async || {
        let now = Servers::look(harness).await;
        now.zip(before).is_some_and(|(now, before)| {
            now.lag <= LAG && (now.copies, now.leaders) == (before.copies, before.leaders)
        })
    };
    nodes(harness, SERVERS, caught_up).await
}

async fn nodes(
    harness: &Harness,
    mut parts: [Part; 3],
    caught_up: impl AsyncFn() -> bool,
) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    parts.rotate_left(random.below(3) as usize);
    let faults = async {
        for part in parts {
            begin(&trial, part.name(), &mut random).await;
            harness.stack.kill_part(part).await?;
            let carries_on = carry_on(&trial, part.name()).await;
            let begun = Instant::now();
            harness.stack.start_part(part).await?;
            trial.healed();
            let is_back = until(CATCH_UP_LIMIT, || caught_up()).await;
            trial.expect(is_back, format!("{part} does not catch up"));
            back(&trial, part.name(), begun);
            if !carries_on || !is_back {
                break;
            }
        }
        Ok(())
    };
    trial.under(&load(&trial), faults).await?;
    trial.finish().await
}

/// Each replica of the handlers in turn.
pub async fn handlers(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let mut random = harness.random();
    let mut fleet = harness.fleet().await;
    let faults = async {
        for (at, replica) in fleet.replicas.iter_mut().enumerate() {
            let name = format!("handlers-{}", at + 1);
            begin(&trial, &name, &mut random).await;
            replica.kill().await?;
            carry_on(&trial, &name).await;
            let begun = Instant::now();
            replica.restart().await?;
            trial.healed();
            back(&trial, &name, begun);
        }
        Ok(())
    };
    trial.under(&load(&trial), faults).await?;
    trial.finish().await
}

/// Each gateway in turn, while clients wait at both.
pub async fn gateway(harness: &Harness) -> anyhow::Result<Outcome> {
    let slow = super::replica::Settings {
        think: THINK,
        ..harness.replica_settings()
    };
    super::handlers::restart_all(harness, &slow).await?;
    let mut gateways = Gateways::start(harness).await?;
    let trial = harness.trial().await?;
    let mut random = harness.random();
    let clients = gateways.clients(&trial);
    let faults = async {
        for at in [0, 1] {
            let name = format!("gateway-{}", at + 1);
            begin(&trial, &name, &mut random).await;
            let asked = gateways.ask(&trial.run, at).await?;
            gateways.kill(at).await?;
            gateways.expect_answers(&trial, asked, 1 - at).await;
            carry_on(&trial, &name).await;
            let begun = Instant::now();
            gateways.start_again(harness, at).await?;
            trial.healed();
            back(&trial, &name, begun);
        }
        clients.finish(&trial).await
    };
    trial.under(&load(&trial), faults).await?;
    gateways.stop().await?;
    let outcome = trial.finish().await?;
    super::handlers::restart_all(harness, &harness.replica_settings()).await?;
    Ok(outcome)
}

/// The usual load, with room for what is sent while something is away and no more: where one machine
/// does the work of several, a backlog would grow from one fault to the next, and how long it takes to
/// work it off would be all that is measured.
fn load(trial: &Trial<'_>) -> Load {
    Load {
        outstanding: OUTSTANDING,
        ..trial.usual_load()
    }
}

/// Something is about to be killed.
async fn begin(trial: &Trial<'_>, name: &str, random: &mut Random) {
    sleep(random.millis(2000, 3000)).await;
    slowest(trial, &format!("{name}_before"));
    trial.fault();
}

/// Stays for as long as `name` is away: some seconds, and until what was acknowledged by then is
/// answered and every partition has had new events and answers. False if that does not come.
async fn carry_on(trial: &Trial<'_>, name: &str) -> bool {
    let killed = Instant::now();
    let full = trial.harness.size.full;
    sleep(if full { AWAY_FULL } else { AWAY }).await;
    let (mut waiting, moment) = (trial.waiting(), Instant::now());
    let limit = CARRY_ON_LIMIT.min(trial.answer_limit());
    let carries_on = until(limit, || {
        waiting.retain_mut(|waiting| !waiting.is_over());
        let mut sides = trial.sides();
        let go_on = sides.all(|side| side.watch.pace().goes_on_since(moment));
        std::future::ready(waiting.is_empty() && go_on)
    });
    let carries_on = carries_on.await;
    trial.expect(carries_on, format!("the rest stands still without {name}"));
    let away = killed.elapsed();
    trial.figure(format!("{name}_away_seconds"), away.as_secs_f64());
    slowest(trial, &format!("{name}_away"));
    carries_on
}

/// `name`, which was started at `begun`, is as far as the others.
fn back(trial: &Trial<'_>, name: &str, begun: Instant) {
    trial.figure(
        format!("{name}_catch_up_seconds"),
        begun.elapsed().as_secs_f64(),
    );
    slowest(trial, &format!("{name}_back"));
}

/// Notes the longest time until an event was answered, of the answers since the last time.
fn slowest(trial: &Trial<'_>, when: &str) {
    for side in trial.sides() {
        let mut pace = side.watch.pace();
        let slowest = pace.slowest_answer().as_secs_f64();
        pace.begin(Instant::now());
        drop(pace);
        trial.figure_of(side, &format!("{when}_slowest_answer_seconds"), slowest);
    }
}

/// Whether all copies of all partitions are in sync.
async fn in_sync(bootstrap: &str) -> anyhow::Result<bool> {
    let config = kafka::client(bootstrap);
    tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = config.create()?;
        let metadata = client.fetch_metadata(None, METADATA_LIMIT)?;
        let mut partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        Ok(partitions.all(|partition| partition.isr().len() == partition.replicas().len()))
    })
    .await?
}

/// What all Restate servers say together.
#[derive(Debug, Clone, Copy)]
struct Servers {
    /// Copies of partitions that are kept up.
    copies: f64,
    /// Those that lead.
    leaders: f64,
    /// The most records by which one lags.
    lag: f64,
}

impl Servers {
    /// `None` while one of them does not answer, keeps up no partition or does not know its lag.
    async fn look(harness: &Harness) -> Option<Self> {
        let mut all = Self {
            copies: 0.0,
            leaders: 0.0,
            lag: 0.0,
        };
        for ports in harness.stack.nodes() {
            let url = format!("http://127.0.0.1:{}/metrics", ports.restate_node);
            let text = metrics(&url).await?;
            let of = |name| sum(&text, name).unwrap_or_default();
            let copies = of("restate_num_active_partitions");
            let unknown = of("restate_partition_num_unknown_applied_lsn_lag");
            if copies == 0.0 || unknown > 0.0 {
                return None;
            }
            all.copies += copies;
            all.leaders += of("restate_num_active_partition_leaders");
            let lag = text.lines().filter(|line| line.starts_with(LAGS));
            let lag = lag.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
            all.lag = lag.fold(all.lag, f64::max);
        }
        Some(all)
    }
}
