//! The fault suite: every part is killed, paused, cut off or taken away under load, and afterwards
//! nothing may be lost, doubled, swapped or made up.
//!
//! One stack serves many scenarios: each has keys of its own and reads from where the topics end
//! when it begins. Those of a cluster have a stack of another kind and are a list of their own.

mod bounced;
mod broker;
mod catalogue;
mod clients;
mod clock;
mod cluster;
mod database;
mod forged;
mod gateway;
mod guard;
mod handlers;
mod harness;
mod hostile;
mod input;
mod lease;
mod once;
mod outcome;
mod process;
mod proxy;
mod registry;
mod relay;
mod replica;
mod restate;
mod saga;
mod scenarios;
mod side;
mod soak;
mod trial;
mod trips;
mod two_gateways;
mod values;
mod views;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::try_join_all;
use tokio::sync::Semaphore;

use crate::random::Random;
use harness::{Harness, Needs, Rules, Size};
use outcome::Outcome;
use scenarios::{CLUSTER, SCENARIOS, Scenario};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run only this scenario; may be repeated
    #[arg(long, value_name = "NAME", value_parser = known)]
    scenario: Vec<String>,
    /// Events of each scenario, at least
    #[arg(long, default_value_t = 2000, value_name = "N")]
    events: u64,
    /// Keys that they are spread over
    #[arg(long, default_value_t = 100, value_name = "K")]
    keys: usize,
    /// Seed of keys, payloads and moments; none: a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object per scenario and nothing else
    #[arg(long)]
    json: bool,
    /// Stacks that scenarios are played on beside each other; those that compare times are played alone
    /// afterwards
    #[arg(long, default_value_t = 1, value_name = "N")]
    at_once: usize,
    /// List the scenarios
    #[arg(long)]
    list: bool,
    /// The scenarios of a cluster: three brokers, three Restate servers, two replicas of the handlers
    /// behind a balancer, two gateways
    #[arg(long, conflicts_with = "soak")]
    cluster: bool,
    /// One long run with a fault at least every 20 seconds instead of the scenarios
    #[arg(long)]
    soak: bool,
    /// With --soak: no faults, and production's time-outs
    #[arg(long, requires = "soak")]
    calm: bool,
    /// With --soak: all events in the batch lane, and not half of them
    #[arg(long, requires = "soak")]
    batch: bool,
    /// With --soak: how many events are on their way at once
    #[arg(long, requires = "soak", default_value_t = 2000, value_name = "N")]
    outstanding: u64,
    /// Faults as long as they are in life: a minute without Restate, half a minute without Kafka
    #[arg(long)]
    full: bool,
    /// Leave out what makes the guarantees hold; the suite must then fail
    #[arg(long, value_enum)]
    without: Vec<Without>,
    /// Check that the suite can fail: leave out each of these and expect to find it
    #[arg(long)]
    self_test: bool,
    /// Folder of the stack; none: a temporary one
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Without {
    /// Readers take every raw result
    SequenceRule,
    /// Handlers write their state without awaiting the result's acknowledgement
    AwaitedPublish,
    /// Restate's log has no copies on other servers (with --cluster)
    Copies,
    /// Some results of the batch lane, and some on the topic that has each result once, are published
    /// again, outside of their transactions
    Once,
    /// Some entries of the batch lane are not answered
    EveryResult,
}

impl Arguments {
    fn scenarios(&self) -> &'static [Scenario] {
        if self.cluster { CLUSTER } else { SCENARIOS }
    }
}

fn known(name: &str) -> Result<String, String> {
    let mut all = SCENARIOS.iter().chain(CLUSTER);
    let found = all.any(|scenario| scenario.name == name);
    found
        .then(|| name.to_owned())
        .ok_or_else(|| "there is no such scenario; --list shows them".to_owned())
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        for scenario in arguments.scenarios() {
            println!("{:28} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = arguments.seed.unwrap_or(now.as_millis() as u64);
    progress(&format!("seed {seed}"));
    let outcomes = match (arguments.self_test, arguments.soak) {
        (true, _) => return self_test(&arguments, seed).await,
        (false, true) => vec![soak(&arguments, seed).await?],
        (false, false) => run_scenarios(&arguments, seed).await?,
    };
    let ok = outcomes.iter().all(|outcome| outcome.ok);
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run_scenarios(arguments: &Arguments, seed: u64) -> anyhow::Result<Vec<Outcome>> {
    let mut random = Random::new(seed);
    let rules = Rules {
        sequence_rule: !arguments.without.contains(&Without::SequenceRule),
        awaited_publish: !arguments.without.contains(&Without::AwaitedPublish),
        copies: !arguments.without.contains(&Without::Copies),
        once: !arguments.without.contains(&Without::Once),
        every_result: !arguments.without.contains(&Without::EveryResult),
    };
    let scenarios = arguments.scenarios();
    for name in &arguments.scenario {
        anyhow::ensure!(
            scenarios.iter().any(|scenario| scenario.name == name),
            "{name} is no scenario of this kind of stack; `--list`, with or without `--cluster`, shows them"
        );
    }
    // Drawn for all, so that a scenario's seed does not depend on which others are run.
    let wanted: Vec<_> = scenarios
        .iter()
        .map(|scenario| (scenario, random.fork()))
        .filter(|(scenario, _)| {
            arguments.scenario.is_empty() || arguments.scenario.iter().any(|it| it == scenario.name)
        })
        .collect();
    let postgres = wanted.iter().any(|it| it.0.needs == Needs::Postgres);
    let (alone, beside): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|it| it.0.alone);
    let run = Suite {
        arguments,
        rules,
        seed,
        postgres,
    };
    let beside = Queue::new(beside);
    let stacks = (0..arguments.at_once.max(1)).map(|number| run.play_all(number, &beside, None));
    let mut outcomes = Vec::new();
    let mut last = None;
    for done in try_join_all(stacks).await? {
        outcomes.extend(done.outcomes);
        match (&last, done.stack) {
            (None, stack) => last = stack,
            (Some(_), Some(stack)) => stack.stop().await,
            (Some(_), None) => {}
        }
    }
    let done = run.play_all(0, &Queue::new(alone), last).await?;
    outcomes.extend(done.outcomes);
    if let Some(stack) = done.stack {
        stack.stop().await;
    }
    Ok(outcomes)
}

/// What all scenarios of one call share.
struct Suite<'a> {
    arguments: &'a Arguments,
    rules: Rules,
    seed: u64,
    postgres: bool,
}

/// Scenarios that nobody has begun yet.
struct Queue(RefCell<VecDeque<(&'static Scenario, Random)>>);

impl Queue {
    fn new(scenarios: Vec<(&'static Scenario, Random)>) -> Self {
        Self(RefCell::new(scenarios.into()))
    }

    fn next(&self) -> Option<(&'static Scenario, Random)> {
        self.0.borrow_mut().pop_front()
    }
}

/// What one stack has played, and the stack, if it can be used further.
struct Played {
    outcomes: Vec<Outcome>,
    stack: Option<Harness>,
}

impl Suite<'_> {
    /// Plays scenarios one after the other until none is left, on `stack` or one of its own; `number`
    /// is that of the stack.
    async fn play_all(
        &self,
        number: usize,
        queue: &Queue,
        stack: Option<Harness>,
    ) -> anyhow::Result<Played> {
        let (mut outcomes, mut usable) = (Vec::new(), stack);
        while let Some((scenario, random)) = queue.next() {
            let stack = match usable.take() {
                Some(stack) => stack,
                None => start(self.arguments, number, self.rules, self.postgres).await?,
            };
            progress(scenario.name);
            let outcome = match play(&stack, scenario, random, self.seed).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::failed(scenario.name, self.seed, &error),
            };
            // What failed may have left anything behind.
            let is_usable = outcome.ok && !scenario.spoils;
            if self.arguments.json && !outcome.ok {
                progress(&outcome.to_string());
            }
            outcomes.push(report(self.arguments, outcome)?);
            match is_usable {
                true => usable = Some(stack),
                false => stack.stop().await,
            }
        }
        Ok(Played {
            outcomes,
            stack: usable,
        })
    }
}

async fn play(
    harness: &Harness,
    scenario: &Scenario,
    random: Random,
    seed: u64,
) -> anyhow::Result<Outcome> {
    harness.begin(scenario.name, random, seed);
    harness.prepare(scenario.needs).await?;
    (scenario.run)(harness).await
}

/// The stack of this number.
async fn start(
    arguments: &Arguments,
    number: usize,
    rules: Rules,
    postgres: bool,
) -> anyhow::Result<Harness> {
    let size = Size {
        events: arguments.events,
        keys: arguments.keys,
        full: arguments.full,
        cluster: arguments.cluster,
    };
    let folder = arguments.folder.as_ref();
    let folder = folder.map(|folder| folder.join(number.to_string()));
    Harness::start(folder, size, rules, postgres).await
}

async fn soak(arguments: &Arguments, seed: u64) -> anyhow::Result<Outcome> {
    let rules = Rules::default();
    let harness = start(arguments, 0, rules, false).await?;
    harness.begin("soak", Random::new(seed), seed);
    if !arguments.calm {
        harness.prepare(Needs::ShortTimeouts).await?;
    }
    let course = soak::Course {
        outstanding: arguments.outstanding,
        calm: arguments.calm,
        batch: arguments.batch,
    };
    let outcome = soak::soak(&harness, course).await;
    harness.stop().await;
    report(arguments, outcome?)
}

/// What is left out, and how that must show.
struct Damage {
    scenario: &'static str,
    what: &'static str,
    rules: Rules,
    shows: fn(&Outcome) -> bool,
}

/// A check that cannot fail proves nothing.
async fn self_test(arguments: &Arguments, seed: u64) -> anyhow::Result<ExitCode> {
    let whole = Rules::default();
    // What is wrong with the batch ledger must show there, in spite of the other's damage.
    let careless = Damage {
        scenario: "kill9-handler-mid-event",
        what: "the awaited publish, and some results of the batch lane",
        rules: Rules {
            awaited_publish: false,
            every_result: false,
            ..whole
        },
        shows: |outcome| {
            let report = &outcome.report;
            let batch = outcome.batch.as_ref();
            report.loss > 0 && report.gaps > 0 && batch.is_some_and(|batch| batch.loss > 0)
        },
    };
    let damages = match arguments.cluster {
        false => [
            Damage {
                scenario: "two-replicas-partitioned",
                what: "the sequence rule, and the transactions in which results are published once",
                rules: Rules {
                    sequence_rule: false,
                    once: false,
                    ..whole
                },
                shows: |outcome| {
                    let batch = outcome.batch.as_ref();
                    outcome.report.visible_duplicates > 0
                        && batch.is_some_and(|batch| batch.raw_duplicates > 0 && batch.loss == 0)
                        && has_duplicates_once(outcome)
                },
            },
            careless,
        ],
        true => [
            Damage {
                scenario: "cluster-restate",
                what: "copies of Restate's log",
                rules: Rules {
                    copies: false,
                    ..whole
                },
                shows: |outcome| !outcome.failures.is_empty(),
            },
            Damage {
                scenario: "cluster-handlers",
                ..careless
            },
        ],
    };
    let places = Semaphore::new(arguments.at_once.max(1));
    let prove = |(number, damage): (usize, Damage)| {
        let places = &places;
        async move {
            let _place = places.acquire().await?;
            is_found(arguments, number, damage, seed).await
        }
    };
    let found = try_join_all(damages.into_iter().enumerate().map(prove)).await?;
    Ok(if found.into_iter().all(|found| found) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether results come again where each should be once, and nothing else is wrong there.
fn has_duplicates_once(outcome: &Outcome) -> bool {
    let figure = |name: &str| outcome.figures.get(name).copied();
    let others = [
        "once_missing",
        "once_altered",
        "once_inversions",
        "once_phantoms",
    ];
    figure("once_duplicates") > Some(0.0)
        && others.into_iter().all(|name| figure(name) == Some(0.0))
}

/// Whether the suite finds this damage, on the stack of this number.
async fn is_found(
    arguments: &Arguments,
    number: usize,
    damage: Damage,
    seed: u64,
) -> anyhow::Result<bool> {
    let mut scenarios = arguments.scenarios().iter();
    let Some(scenario) = scenarios.find(|scenario| scenario.name == damage.scenario) else {
        anyhow::bail!("there is no scenario {}", damage.scenario);
    };
    let harness = start(arguments, number, damage.rules, false).await?;
    let outcome = play(&harness, scenario, Random::new(seed), seed).await;
    harness.stop().await;
    let outcome = report(arguments, outcome?)?;
    let found = (damage.shows)(&outcome) && !outcome.ok;
    let word = if found { "found" } else { "NOT FOUND" };
    progress(&format!("without {}: the damage is {word}", damage.what));
    Ok(found)
}

fn report(arguments: &Arguments, outcome: Outcome) -> anyhow::Result<Outcome> {
    match arguments.json {
        true => println!("{}", serde_json::to_string(&outcome)?),
        false => println!("{outcome}"),
    }
    Ok(outcome)
}

pub fn progress(text: &str) {
    eprintln!("faults: {text}");
}
