//! The lane's driver against Kafka and Restate in memory, over random histories: at every step a
//! process may be killed or stand still, an attempt be given up while it goes on, a request fail, be
//! late or lose its answer.
//!
//! A history is its seed. `BATCH_MODEL_SEED=7 cargo test --lib batch::model -- --nocapture` tells the
//! one history.

mod check;
mod history;
mod kafka;
mod random;
mod turns;
mod world;

use history::{Flaw, History};
use world::Wrong;

use super::rules::{Rule, Rules};

const HISTORIES: u64 = 100_000;
const THREADS: u64 = 4;
const SEED: &str = "BATCH_MODEL_SEED";

const WHOLE: Flaw = Flaw {
    rules: Rules::ALL,
    wrong: Wrong::Nothing,
};

/// The first of these histories in which something must not be, with what it is.
fn first(seeds: impl Iterator<Item = u64>, flaw: Flaw) -> Option<(u64, String)> {
    seeds
        .map(|seed| (seed, History::new(seed, flaw).run()))
        .find_map(|(seed, ran)| Some((seed, ran.err()?)))
}

#[test]
fn every_event_is_decided_once_whatever_happens() {
    if let Some(seed) = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()) {
        let mut history = History::new(seed, WHOLE);
        history.says = true;
        let ran = history.run();
        history.said.iter().for_each(|line| println!("{line}"));
        ran.unwrap();
        return;
    }
    let share = |thread| (thread..HISTORIES).step_by(THREADS as usize);
    let found = std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|it| scope.spawn(move || first(share(it), WHOLE)));
        let threads: Vec<_> = threads.collect();
        let found = threads.into_iter().filter_map(|it| it.join().unwrap());
        found.min()
    });
    if let Some((seed, what)) = found {
        panic!("{what}; see it with {SEED}={seed}");
    }
}

#[test]
fn every_rule_that_is_left_out_is_found() {
    let rules: [&[Rule]; 10] = [
        &[Rule::Fence],
        &[Rule::Settled],
        &[Rule::KnownCommit],
        &[Rule::Overlay],
        &[Rule::OnTop],
        &[Rule::Newest],
        &[Rule::Lock, Rule::Newest],
        &[Rule::Noted],
        &[Rule::Singly],
        &[Rule::Alive],
    ];
    let rules = rules.map(|left_out| {
        let rules = Rules::without(left_out);
        (format!("{left_out:?}"), Flaw { rules, ..WHOLE })
    });
    let wrong = [
        Wrong::OwnIds,
        Wrong::Uncommitted,
        Wrong::PositionApart,
        Wrong::CommitBelieved,
    ];
    let wrong = wrong.map(|wrong| (format!("{wrong:?}"), Flaw { wrong, ..WHOLE }));
    for (left_out, flaw) in rules.into_iter().chain(wrong) {
        match first(0..5000, flaw) {
            Some((seed, what)) => println!("{left_out}: history {seed}: {what}"),
            None => panic!("{left_out} can be left out, and nothing comes of it"),
        }
    }
}
