//! The queue: what is decided about slots, without Restate.

use std::ops::RangeInclusive;
use std::time::Duration;

use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::process::outputs::{Outputs, ReturnAddress};
use millstream_schemas::priority_queue::{Enqueue, Release, SlotGranted};
use millstream_topics::PriorityQueue as Topic;
use millstream_topics::PriorityQueueEvent;
use serde::{Deserialize, Serialize};

/// As many wait as the queue can remember.
pub const QUEUE_FULL: &str = "queue-full";

/// Priorities, the most urgent first.
pub const PRIORITIES: RangeInclusive<i32> = 1..=100;
/// Who waits lies in the state, which is read and written with every event.
pub const MAX_WAITING: usize = 5000;
/// A ticket is part of a timer's name.
const MAX_TICKET_BYTES: usize = 200;

/// A queue.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// How many slots were granted so far.
    #[serde(default)]
    granted: i64,
    /// Tickets of the slots that are held.
    #[serde(default)]
    in_flight: Vec<String>,
    /// In the order in which they came.
    #[serde(default)]
    waiting: Vec<Waiting>,
}

/// Somebody who waits for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Names the slot.
    pub ticket: String,
    /// One of [`PRIORITIES`].
    pub priority: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_ms: Option<u64>,
    address: ReturnAddress,
}

/// Picks who is next among those who wait, who stand in the order in which they came: the place, or
/// `None` if nobody is to go now. It is asked again at every event.
pub type Select = fn(&[Waiting]) -> Option<usize>;

/// The lowest number first; among equals the first come.
pub fn lowest_first(waiting: &[Waiting]) -> Option<usize> {
    let places = 0..waiting.len();
    places.min_by_key(|place| waiting.get(*place).map(|it| it.priority))
}

/// How a queue is set.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Slots that may be held at once.
    pub slots: usize,
    /// How long one may be held at most.
    pub hold: Duration,
    /// Who is next.
    pub select: Select,
}

/// Whether a command may have this priority.
pub fn check_priority(priority: i32) -> Result<(), Failure> {
    match PRIORITIES.contains(&priority) {
        true => Ok(()),
        false => Err(Failure::invalid_request(format!(
            "priority must lie between {} and {}",
            PRIORITIES.start(),
            PRIORITIES.end()
        ))),
    }
}

/// Takes somebody in or a slot back, and grants what is free.
pub fn decide(
    queue: &mut Queue,
    event: PriorityQueueEvent,
    rules: Rules,
    outputs: &mut Outputs,
) -> Result<Option<SlotGranted>, Failure> {
    match event {
        PriorityQueueEvent::Enqueue(event) => enqueue(queue, event, rules, outputs)?,
        PriorityQueueEvent::Release(event) => release(queue, &event.ticket, outputs),
    }
    while queue.in_flight.len() < rules.slots
        && let Some(place) = (rules.select)(&queue.waiting)
        && place < queue.waiting.len()
    {
        let next = queue.waiting.remove(place);
        grant(queue, next, rules.hold, outputs);
    }
    Ok(None)
}

fn enqueue(
    queue: &mut Queue,
    event: Enqueue,
    rules: Rules,
    outputs: &Outputs,
) -> Result<(), Failure> {
    check_priority(event.priority)?;
    if !(1..=MAX_TICKET_BYTES).contains(&event.ticket.len()) {
        return Err(Failure::invalid_request(format!(
            "ticket must have 1 to {MAX_TICKET_BYTES} bytes"
        )));
    }
    let hold_ms = event.hold_ms.map(u64::try_from).transpose();
    let hold_ms = hold_ms
        .ok()
        .filter(|ms| ms.is_none_or(in_range(rules.hold)));
    let Some(hold_ms) = hold_ms else {
        return Err(Failure::invalid_request(format!(
            "hold_ms must lie between 1 and {}",
            rules.hold.as_millis()
        )));
    };
    let mut known = queue.waiting.iter().map(|it| &it.ticket);
    if queue.in_flight.contains(&event.ticket) || known.any(|ticket| *ticket == event.ticket) {
        return Err(Failure::invalid_request(
            "this ticket waits already or has its slot; use a new one",
        ));
    }
    if queue.waiting.len() >= MAX_WAITING {
        let message = format!("{MAX_WAITING} wait already; ask again later");
        return Err(Failure::passing(QUEUE_FULL, message));
    }
    queue
        .waiting
        .extend(outputs.return_address().map(|address| Waiting {
            ticket: event.ticket,
            priority: event.priority,
            hold_ms,
            address,
        }));
    Ok(())
}

fn in_range(hold: Duration) -> impl Fn(u64) -> bool {
    move |ms| ms > 0 && u128::from(ms) <= hold.as_millis()
}

/// A slot that was freed by its deadline may be released later too: then nothing is left to do.
fn release(queue: &mut Queue, ticket: &str, outputs: &mut Outputs) {
    if let Some(place) = queue.in_flight.iter().position(|held| held == ticket) {
        queue.in_flight.remove(place);
        outputs.cancel(timer(ticket));
    } else if let Some(place) = queue.waiting.iter().position(|it| it.ticket == ticket) {
        let Waiting { address, .. } = queue.waiting.remove(place);
        let message = "the slot was released before it was granted";
        outputs.refuse(address, &Failure::new(failure::CANCELLED, message));
    }
}

fn grant(queue: &mut Queue, next: Waiting, hold: Duration, outputs: &mut Outputs) {
    queue.granted += 1;
    queue.in_flight.push(next.ticket.clone());
    let granted = SlotGranted {
        number: queue.granted,
        in_flight: i32::try_from(queue.in_flight.len()).unwrap_or(i32::MAX),
    };
    outputs.answer(next.address, &granted);
    let (key, ticket) = (outputs.key().to_owned(), next.ticket);
    let name = timer(&ticket);
    outputs
        .emit::<Topic>(key, Release { ticket })
        .after(next.hold_ms.map_or(hold, Duration::from_millis))
        .cancellable(name);
}

/// Name of the timer that frees a slot at its deadline.
fn timer(ticket: &str) -> String {
    format!("slot/{ticket}")
}

#[cfg(test)]
mod tests;
