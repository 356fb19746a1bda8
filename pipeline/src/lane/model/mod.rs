//! The event lane against models of Kafka and Restate: whatever the history, wherever an attempt ends,
//! and however late a paused one goes on, a reader of the results sees each event once and in order,
//! and the object is as if nothing had happened. Rules that are left out are found.

mod history;
mod reader;
mod world;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use millstream_events::{Event, RequestFailed};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::{ProductReservations, TOPICS};
use proptest::prelude::*;
use restate_sdk::prelude::*;
use serde_json::{Value, json};

use super::Handling;
use crate::config::Endpoints;
use crate::lane::keyed::{Journals, begin};
use crate::lane::protocol::EagerState;
use crate::process::Received;
use crate::service::{Pipeline, Shared};
use history::{ALL, BEGIN, EVENTS, KINDS, Kind, Product, RESULTS, decide, history, reservation};
use reader::read;
use world::{Attempt, Command, Invocation, Kafka, Rule, lock};

/// What happens at one of the places where an attempt waits.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The process ends; whether Restate has heard what was said before.
    Crash { heard: bool },
    /// Restate begins another attempt, and this one goes on after so many more invocations.
    Pause { invocations: usize, heard: bool },
}

/// An installation without any process.
struct World {
    shared: Arc<Shared>,
    kafka: Arc<Kafka>,
}

impl World {
    fn new() -> Self {
        let pipeline = Pipeline::new(&Endpoints::default(), TOPICS, "test").unwrap();
        let mut shared = pipeline.shared;
        let kafka = Arc::new(Kafka::default());
        let parts = Arc::get_mut(&mut shared).unwrap();
        parts.publisher = parts.publisher.clone().with_model(Arc::new(kafka.clone()));
        parts.originals = parts.originals.clone().gone();
        let (asked, told) = (ReserveProduct::schema(), ProductReserved::schema());
        for (id, schema) in (1..).zip([asked, told, RequestFailed::schema()]) {
            shared.codec.insert(schema, id).unwrap();
        }
        Self { shared, kafka }
    }
}

type Running = Pin<Box<dyn Future<Output = HandlerResult<()>> + Send>>;

/// Handles a record as a handler does that journals as little or as much as this record needs.
fn handle(
    world: &World,
    kind: Kind,
    received: Received,
    attempt: Attempt,
    begun: EagerState,
) -> Running {
    let shared = Arc::clone(&world.shared);
    Box::pin(async move {
        let handling = Handling::begin(&shared);
        let journals = match kind {
            Kind::Emits | Kind::Steps => Journals::Steps,
            _ => Journals::State,
        };
        let turn = begin::<ProductReservations, Product>(
            handling,
            &attempt,
            begun,
            || Ok(received),
            journals,
        );
        let Some(turn) = turn.await? else {
            return Ok(());
        };
        if kind == Kind::Steps {
            let steps = turn.steps();
            for name in ["first", "second"] {
                let emitted = steps.emit::<ProductReservations>("p", reservation(name));
                if let Err(crate::steps::StepError::Attempt(error)) = emitted.await {
                    return Err(error);
                }
            }
        }
        turn.decide_with(decide).await
    })
}

/// What is there after a history.
#[derive(Debug, PartialEq)]
struct Seen {
    /// By topic, key and source: what a reader takes.
    events: BTreeMap<String, Vec<String>>,
    alarms: Vec<String>,
    state: Value,
    messages: Vec<String>,
    /// How often an attempt could have been stopped.
    waits: usize,
}

/// Whether the time goes on between the attempts of an invocation, so that another one may come to
/// another verdict if the first was not journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Stands,
    GoesOn,
}

/// How a history is played.
struct Play<'w> {
    world: &'w World,
    missing: Option<Rule>,
    clock: Clock,
}

impl Play<'_> {
    fn begin(
        &self,
        kind: Kind,
        received: &Received,
        state: &Option<Bytes>,
        invocation: &Arc<Mutex<Invocation>>,
        clock: &Arc<Mutex<i64>>,
    ) -> Running {
        if self.clock == Clock::GoesOn {
            *lock(clock) += 400_000;
        }
        let attempt = Attempt::new(invocation, state.clone(), clock, self.missing);
        let written = lock(invocation).state().cloned();
        let begun = match (kind, written) {
            (Kind::Emits | Kind::Steps, _) => EagerState::FromJournal,
            (_, Some(entry)) => EagerState::AlreadySet(entry),
            (_, None) if attempt.has_run() => EagerState::FromJournal,
            (_, None) => EagerState::Eager(state.clone()),
        };
        handle(self.world, kind, received.clone(), attempt, begun)
    }

    /// Delivers a history with faults at these waits, counted over all of it.
    fn play(&self, kinds: &[Kind], faults: &BTreeMap<usize, Fault>) -> Seen {
        let kafka = &self.world.kafka;
        lock(&kafka.log).clear();
        let acknowledges_first = (self.missing == Some(Rule::PublishFirst)).then(Vec::new);
        *lock(&kafka.unwritten) = acknowledges_first;
        let (mut state, mut messages) = (None::<Bytes>, Vec::new());
        let mut paused: Vec<(usize, Running)> = Vec::new();
        let mut waits = 0;
        for (number, (kind, received)) in history(kinds).into_iter().enumerate() {
            let invocation = Arc::new(Mutex::new(Invocation::default()));
            let clock = Arc::new(Mutex::new(BEGIN * 1000));
            let begin = || self.begin(kind, &received, &state, &invocation, &clock);
            let mut running = begin();
            loop {
                let is_over = poll(&mut running).map(Result::unwrap).is_ready();
                waits += 1;
                let fault = faults.get(&waits);
                if fault.is_none() && !is_over {
                    written(kafka, false);
                    continue;
                }
                if fault.is_none() {
                    break;
                }
                // The last words may be lost on the way, too.
                let Some(Fault::Crash { heard } | Fault::Pause { heard, .. }) = fault else {
                    break;
                };
                ended(kafka, &invocation, *heard);
                let before = std::mem::replace(&mut running, begin());
                if let (Some(Fault::Pause { invocations, .. }), false) = (fault, is_over) {
                    paused.push((number + invocations, before));
                }
            }
            written(kafka, true);
            let mut known = lock(&invocation);
            known.hear();
            // Nobody listens to its other attempts any more.
            known.attempt += 1;
            for command in std::mem::take(&mut known.heard) {
                match command {
                    Command::State(entry) => state = Some(without(entry, self.missing)),
                    Command::Send(message) => messages.push(message),
                }
            }
            drop(known);
            paused.retain_mut(|(until, running)| {
                let is_due = *until == number;
                if is_due {
                    finish(running);
                    written(kafka, true);
                }
                !is_due
            });
        }
        for (_, mut running) in paused {
            finish(&mut running);
        }
        written(kafka, true);
        let state = state.map_or(Value::Null, |state| serde_json::from_slice(&state).unwrap());
        let (events, alarms) = read(&lock(&kafka.log));
        Seen {
            events,
            alarms,
            state,
            messages,
            waits,
        }
    }
}

fn poll(running: &mut Running) -> Poll<HandlerResult<()>> {
    running
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Goes on to the end, or to where nothing goes on any more: a hundred waits are more than any has.
fn finish(running: &mut Running) {
    let _ = (0..100).find(|_| poll(running).is_ready());
}

/// The process goes on: of what it was acknowledged, the last record may still be on its way.
fn written(kafka: &Kafka, all: bool) {
    if let Some(unwritten) = &mut *lock(&kafka.unwritten) {
        let arrived = unwritten.len().saturating_sub(usize::from(!all));
        lock(&kafka.log).extend(unwritten.drain(..arrived));
    }
}

/// The process has ended, or is not listened to any more.
fn ended(kafka: &Kafka, invocation: &Mutex<Invocation>, heard: bool) {
    if let Some(unwritten) = &mut *lock(&kafka.unwritten) {
        unwritten.clear();
    }
    let mut invocation = lock(invocation);
    match heard {
        true => invocation.hear(),
        false => invocation.said.clear(),
    }
}

/// The entry as it is where a rule is not kept.
fn without(entry: Bytes, missing: Option<Rule>) -> Bytes {
    let field = match missing {
        Some(Rule::Offsets) => "o",
        Some(Rule::Ids) => "w",
        Some(Rule::Numbers) => "s",
        _ => return entry,
    };
    let mut state: Value = serde_json::from_slice(&entry).unwrap();
    state["_m"][field] = match field {
        "w" => json!(""),
        _ => json!({}),
    };
    serde_json::to_vec(&state).unwrap().into()
}

/// What is different from a history without faults, if anything is.
fn difference(ideal: &Seen, seen: &Seen) -> Option<String> {
    let same = (&ideal.events, &ideal.state, &ideal.messages)
        == (&seen.events, &seen.state, &seen.messages);
    match same && seen.alarms.is_empty() {
        true => None,
        false => Some(format!("{ideal:#?}\n{seen:#?}")),
    }
}

const FAULTS: [Fault; 7] = [
    Fault::Crash { heard: false },
    Fault::Crash { heard: true },
    Fault::Pause {
        invocations: 0,
        heard: false,
    },
    Fault::Pause {
        invocations: 0,
        heard: true,
    },
    Fault::Pause {
        invocations: 1,
        heard: false,
    },
    Fault::Pause {
        invocations: 1,
        heard: true,
    },
    Fault::Pause {
        invocations: 3,
        heard: true,
    },
];

/// One fault at every wait of a history; the first difference from one without. Where time goes on, a
/// verdict may be another one, but it is one.
fn search(play: &Play<'_>) -> Option<String> {
    let ideal = Play {
        missing: None,
        ..*play
    }
    .play(&ALL, &BTreeMap::new());
    for at in 1..=ideal.waits + 10 {
        for fault in FAULTS {
            let seen = play.play(&ALL, &BTreeMap::from([(at, fault)]));
            let found = match play.clock {
                Clock::Stands => difference(&ideal, &seen),
                Clock::GoesOn => seen.alarms.first().cloned(),
            };
            if let Some(found) = found {
                return Some(format!("{fault:?} at {at}: {found}"));
            }
        }
    }
    None
}

#[test]
fn no_crash_and_no_late_twin_is_seen() {
    let world = &World::new();
    for clock in [Clock::Stands, Clock::GoesOn] {
        let missing = None;
        let play = Play {
            world,
            missing,
            clock,
        };
        let ideal = play.play(&ALL, &BTreeMap::new());
        assert_eq!(ideal.alarms, Vec::<String>::new());
        let results = &ideal.events[&format!("{RESULTS} p")];
        assert_eq!(results.len(), 11, "{results:#?}");
        assert_eq!(ideal.events[&format!("{EVENTS}-dlq p")].len(), 2);
        assert_eq!(ideal.messages.len(), 2);
        assert_eq!(search(&play), None, "{clock:?}");
    }
}

#[test]
fn a_rule_that_is_left_out_is_found() {
    let world = &World::new();
    for (rule, clock) in [
        (Rule::Offsets, Clock::Stands),
        (Rule::Ids, Clock::Stands),
        (Rule::Numbers, Clock::Stands),
        (Rule::PublishFirst, Clock::Stands),
        (Rule::JournaledTime, Clock::GoesOn),
    ] {
        let missing = Some(rule);
        assert!(
            search(&Play {
                world,
                missing,
                clock
            })
            .is_some(),
            "{rule:?}"
        );
    }
}

fn faults() -> impl Strategy<Value = BTreeMap<usize, Fault>> {
    let fault = prop::sample::select(FAULTS.to_vec());
    prop::collection::btree_map(1_usize..150, fault, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nor_are_many_of_them(
        kinds in prop::collection::vec(prop::sample::select(KINDS.to_vec()), 1..25),
        faults in faults(),
    ) {
        thread_local! {
            static WORLD: World = World::new();
        }
        let (ideal, seen) = WORLD.with(|world| {
            let play = Play { world, missing: None, clock: Clock::Stands };
            (play.play(&kinds, &BTreeMap::new()), play.play(&kinds, &faults))
        });
        prop_assert_eq!(&ideal.alarms, &Vec::<String>::new());
        let difference = difference(&ideal, &seen);
        prop_assert_eq!(difference, None);
    }
}
