//! What must hold of the topics at the end of a history.

use super::kafka::{Data, INPUTS, Kafka, Partition};
use super::world::{Shared, added};
use crate::lane::batch::notes::ENOUGH;

/// Says what must not be.
pub fn check(shared: &Shared) -> Result<(), String> {
    let kafka = &shared.kafka;
    for partition in [Partition::Results, Partition::State] {
        ensure(kafka.stable(partition) == kafka.end_of(partition), || {
            format!("{partition:?}: an open transaction holds its readers up")
        })?;
    }
    let decided = decided(kafka)?;
    let mut missing = 0;
    for (topic, decided) in decided.iter().enumerate() {
        missing += undecided(kafka, topic, decided)?;
    }
    ensure(missing == 0 || shared.lost > 0, || {
        format!("{missing} records were deleted unread, and nobody noticed")
    })?;
    let blamed = blamed(kafka);
    ensure(blamed == 0 || shared.interrupted >= ENOUGH, || {
        format!("{blamed} events were not handled, and have ended nothing")
    })?;
    let went_on = shared.replaced.iter().flatten().max().copied();
    ensure(went_on.unwrap_or(0) <= 1, || {
        format!("an attempt that was replaced decided {went_on:?} batches after that")
    })
}

/// How many events were given up that end no process.
pub fn blamed(kafka: &Kafka) -> usize {
    let crashed = (0..kafka.end_of(Partition::Results)).filter(|at| {
        match kafka.committed(Partition::Results, *at) {
            Some(Data::Crashed { topic, offset }) => {
                let event = kafka.committed(Partition::Input(topic), offset);
                matches!(event, Some(Data::Event { ends: false, .. }))
            }
            _ => false,
        }
    });
    crashed.count()
}

/// The position that is committed.
pub fn position(kafka: &Kafka) -> [i64; INPUTS] {
    let offsets = (0..kafka.stable(Partition::State)).rev();
    let mut kept = offsets.filter_map(|offset| kafka.committed(Partition::State, offset));
    kept.find_map(|data| match data {
        Data::Position(position, _) => Some(position),
        _ => None,
    })
    .unwrap_or_default()
}

/// Reads the results as a plain reader of committed records does: each once and in order, with
/// numbers without gaps, and made from a state that has all before it. Returns what was decided.
fn decided(kafka: &Kafka) -> Result<[Vec<i64>; INPUTS], String> {
    let mut decided: [Vec<i64>; INPUTS] = Default::default();
    let mut folded = [(0_u32, 0_u64); 256];
    for at in 0..kafka.end_of(Partition::Results) {
        let Some(data) = kafka.committed(Partition::Results, at) else {
            continue;
        };
        let (Data::Result { topic, offset, .. } | Data::Crashed { topic, offset }) = data else {
            return Err(format!("{data:?} among the results"));
        };
        ensure(
            decided[topic].last().is_none_or(|last| *last < offset),
            || format!("topic {topic}: {offset} is decided again or out of order, at {at}"),
        )?;
        decided[topic].push(offset);
        let Data::Result { key, seq, sum, .. } = data else {
            continue;
        };
        let state = &mut folded[usize::from(key)];
        *state = (state.0 + 1, added(state.1, topic, offset));
        ensure((seq, sum) == *state, || {
            format!("key {key}: result {seq} with sum {sum:x} at {at}, expected {state:?}")
        })?;
    }
    let mut states = [(0_u32, 0_u64); 256];
    for at in 0..kafka.end_of(Partition::State) {
        if let Some(Data::State { key, seq, sum }) = kafka.committed(Partition::State, at) {
            states[usize::from(key)] = (seq, sum);
        }
    }
    ensure(states == folded, || {
        "the states are not the fold of what was decided".to_owned()
    })?;
    Ok(decided)
}

/// Every committed record is decided, but those that retention took; nothing else is.
fn undecided(kafka: &Kafka, topic: usize, decided: &[i64]) -> Result<usize, String> {
    let input = Partition::Input(topic);
    let mut decided = decided.iter().peekable();
    let mut missing = 0;
    for offset in 0..kafka.end_of(input) {
        let is_decided = decided.next_if_eq(&&offset).is_some();
        let is_event = kafka.committed(input, offset).is_some();
        ensure(is_event || !is_decided, || {
            format!("topic {topic}: {offset} is decided, and was never committed")
        })?;
        if is_event && !is_decided {
            ensure(offset < kafka.start(input), || {
                format!("topic {topic}: {offset} is not decided")
            })?;
            missing += 1;
        }
    }
    let end = kafka.end_of(input);
    ensure(position(kafka)[topic] == end, || {
        format!("topic {topic}: the position is not its end, {end}")
    })?;
    Ok(missing)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
