use std::collections::BTreeSet;

use millstream_pipeline::events::{Event, EventMeta, RequestFailed};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const RULES: Rules = Rules {
    slots: 2,
    hold: Duration::from_secs(60),
    select: lowest_first,
};

fn address(ticket: &str) -> ReturnAddress {
    serde_json::from_value(json!({"t": "replies", "k": ticket, "c": ticket, "r": ticket})).unwrap()
}

fn ask(ticket: &str, priority: i32, hold_ms: Option<i64>) -> Enqueue {
    Enqueue {
        ticket: ticket.into(),
        priority,
        hold_ms,
    }
}

fn try_enqueue(queue: &mut Queue, rules: Rules, event: Enqueue) -> Result<Outputs, Failure> {
    let address = address(&event.ticket);
    let mut outputs = Outputs::new("q", EventMeta::default(), 1_000).answering(address);
    decide(queue, event.into(), rules, &mut outputs)?;
    Ok(outputs)
}

fn enqueue(queue: &mut Queue, ticket: &str, priority: i32) -> Vec<String> {
    granted(&try_enqueue(queue, RULES, ask(ticket, priority, None)).unwrap())
}

fn release(queue: &mut Queue, ticket: &str) -> Outputs {
    let mut outputs = Outputs::new("q", EventMeta::default(), 1_000);
    let ticket = ticket.to_owned();
    decide(queue, Release { ticket }.into(), RULES, &mut outputs).unwrap();
    outputs
}

/// Tickets that are granted a slot, in order.
fn granted(outputs: &Outputs) -> Vec<String> {
    let granted = outputs
        .answers()
        .filter(|(_, name)| *name == Some(SlotGranted::FULL_NAME));
    granted
        .map(|(address, _)| {
            let address = serde_json::to_value(address).unwrap();
            address["k"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn the_most_urgent_first_and_among_equals_the_first_come() {
    let mut queue = Queue::default();
    assert_eq!(enqueue(&mut queue, "a", 9), ["a"]);
    assert_eq!(enqueue(&mut queue, "b", 9), ["b"]);
    for (ticket, priority) in [("c", 5), ("d", 1), ("e", 5), ("f", 1)] {
        assert_eq!(enqueue(&mut queue, ticket, priority), [""; 0]);
    }
    for (gone, next) in [("b", "d"), ("a", "f"), ("d", "c"), ("f", "e")] {
        let freed = release(&mut queue, gone);
        assert_eq!(granted(&freed), [next]);
        let timer = format!("slot/{gone}");
        assert_eq!(freed.cancelled().collect::<Vec<_>>(), [timer.as_str()]);
        let ticket = next.to_owned();
        let deadline = freed.emitted().next().unwrap();
        assert!(deadline.is::<Topic>("q", Release { ticket }, Some(61_000_000)));
    }
    assert!(granted(&release(&mut queue, "e")).is_empty());
    assert!(
        granted(&release(&mut queue, "e")).is_empty(),
        "twice is harmless"
    );
    assert_eq!(queue.in_flight, ["c"]);
    assert_eq!(queue.granted, 6);
}

#[test]
fn who_gives_up_is_answered_and_no_longer_waits() {
    let mut queue = Queue::default();
    for ticket in ["a", "b", "c"] {
        enqueue(&mut queue, ticket, 1);
    }
    let freed = release(&mut queue, "c");
    let answers: Vec<_> = freed.answers().collect();
    assert_eq!(answers, [(&address("c"), Some(RequestFailed::FULL_NAME))]);
    assert!(granted(&release(&mut queue, "a")).is_empty());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut queue = Queue::default();
    enqueue(&mut queue, "known", 1);
    let before = queue.clone();
    for event in [
        ask("t", 0, None),
        ask("t", 101, None),
        ask("t", i32::MIN, None),
        ask("", 1, None),
        ask(&"t".repeat(MAX_TICKET_BYTES + 1), 1, None),
        ask("t", 1, Some(0)),
        ask("t", 1, Some(-1)),
        ask("t", 1, Some(60_001)),
        ask("known", 1, None),
    ] {
        let refused = try_enqueue(&mut queue, RULES, event).unwrap_err();
        assert_eq!(refused.code, failure::INVALID_REQUEST);
        assert_eq!(queue, before);
    }
}

#[test]
fn a_full_queue_takes_nobody() {
    let nobody = Rules {
        select: |_| None,
        ..RULES
    };
    let mut queue = Queue::default();
    for n in 0..MAX_WAITING {
        try_enqueue(&mut queue, nobody, ask(&n.to_string(), 1, None)).unwrap();
    }
    let refused = try_enqueue(&mut queue, nobody, ask("one more", 1, None)).unwrap_err();
    assert_eq!(refused.code, QUEUE_FULL);
}

#[test]
fn a_rule_of_ones_own_is_followed_and_cannot_do_harm() {
    let last_come: Select = |waiting| waiting.len().checked_sub(1);
    let absurd: Select = |waiting| Some(waiting.len() + 7);
    for (select, expected) in [(last_come, vec!["c"]), (absurd, vec![])] {
        let mut queue = Queue::default();
        let rules = Rules {
            slots: 0,
            select,
            ..RULES
        };
        for ticket in ["a", "b", "c"] {
            try_enqueue(&mut queue, rules, ask(ticket, 1, None)).unwrap();
        }
        let mut outputs = Outputs::new("q", EventMeta::default(), 0);
        let (rules, ticket) = (Rules { slots: 1, ..rules }, "nobody".to_owned());
        decide(&mut queue, Release { ticket }.into(), rules, &mut outputs).unwrap();
        assert_eq!(granted(&outputs), expected);
    }
}

proptest! {
    /// However calls come and go: never more in flight than there are slots, a free slot only if
    /// nobody waits, the most urgent first, and each granted once.
    #[test]
    fn slots_are_shared_by_the_rule(steps in prop::collection::vec((any::<bool>(), 1..=4i32, 0..20usize), 1..120)) {
        let mut queue = Queue::default();
        let mut seen = BTreeSet::new();
        for (n, (comes, priority, place)) in steps.into_iter().enumerate() {
            let before = queue.waiting.clone();
            let outputs = if comes || queue.in_flight.is_empty() {
                try_enqueue(&mut queue, RULES, ask(&n.to_string(), priority, None)).unwrap()
            } else {
                let gone = queue.in_flight[place % queue.in_flight.len()].clone();
                release(&mut queue, &gone)
            };
            for ticket in granted(&outputs) {
                let place = before.iter().position(|it| it.ticket == ticket);
                if let Some(place) = place {
                    let chosen = (before[place].priority, place);
                    let best = before.iter().enumerate().map(|(place, it)| (it.priority, place)).min();
                    prop_assert_eq!(Some(chosen), best);
                }
                prop_assert!(seen.insert(ticket));
            }
            prop_assert!(queue.in_flight.len() <= RULES.slots);
            prop_assert!(queue.waiting.is_empty() || queue.in_flight.len() == RULES.slots);
        }
        prop_assert_eq!(i64::try_from(seen.len()).unwrap(), queue.granted);
    }
}
