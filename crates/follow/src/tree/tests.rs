use millstream_pipeline::events::{Declaration, Replies, Topic};
use millstream_topics::ProductReservations;
use proptest::prelude::*;

use super::*;
use crate::found::{Letter, Place};
use crate::journey::{State, Wait};

fn record(topic: &str, offset: i64, id: &str, cause: Option<&str>) -> Found {
    let place = Place {
        topic: topic.into(),
        partition: 0,
        offset,
    };
    Found {
        place,
        time: 1_000 + offset,
        key: Some("k".into()),
        id: Some(id.into()),
        correlation_id: Some("c".into()),
        causation_id: cause.map(Into::into),
        source: None,
        full_name: None,
        trace_id: None,
        letter: None,
        replay_of: None,
        relayed_from: None,
        failure: None,
        due: None,
        content: None,
    }
}

fn letter(topic: &str, offset: i64, original: &str) -> Found {
    let letter = Letter {
        original: original.into(),
        code: "undecodable".into(),
        message: "why".into(),
        handler: "S/h".into(),
    };
    Found {
        letter: Some(letter),
        ..record(topic, offset, "x", None)
    }
}

fn tree(found: Vec<Found>) -> Journey {
    let mut journey = build("c", found, Vec::new(), &BTreeMap::new(), &Roles::default());
    judge(&mut journey);
    journey
}

/// `id<cause id` of each node, in order.
fn shape(journey: &Journey) -> Vec<String> {
    let nodes = &journey.nodes;
    let name = |node: &Node| match (&node.dead_letter, &node.replay_of) {
        (Some(_), _) => format!("letter of {}", node.id),
        (_, Some(_)) => format!("replay of {}", node.id),
        _ => node.id.clone(),
    };
    let each = nodes.iter().map(|node| match node.parent {
        Some(parent) => format!("{}<{}", name(node), name(&nodes[parent])),
        None => name(node),
    });
    each.collect()
}

#[test]
fn a_saga_is_a_tree_by_causes_and_times() {
    let found = vec![
        record("replies", 5, "answer", Some("step")),
        record("trips", 1, "c", None),
        record("trips-results", 9, "end", Some("c")),
        record("flights", 3, "step", Some("c")),
    ];
    let journey = tree(found);
    assert_eq!(shape(&journey), ["c", "step<c", "answer<step", "end<c"]);
    let depths: Vec<usize> = journey.nodes.iter().map(|node| node.depth).collect();
    assert_eq!(depths, [0, 1, 2, 1]);
    let after: Vec<Option<i64>> = journey.nodes.iter().map(|node| node.after_ms).collect();
    assert_eq!(after, [Some(0), Some(2), Some(4), Some(8)]);
    assert_eq!(journey.state, State::Done);
}

#[test]
fn a_cause_that_was_not_found_is_shown_once() {
    let found = vec![
        record("a", 2, "x", Some("gone")),
        record("a", 1, "y", Some("gone")),
    ];
    let journey = tree(found);
    assert_eq!(shape(&journey), ["gone", "y<gone", "x<gone"]);
    assert_eq!(
        (journey.nodes[0].kind, journey.nodes[0].after_ms),
        (Kind::Missing, None)
    );
}

#[test]
fn a_copy_is_counted_and_not_shown() {
    let found = vec![
        record("a", 1, "x", None),
        record("a", 2, "x", None),
        record("b", 3, "x", None),
    ];
    let journey = tree(found);
    let copies: Vec<usize> = journey.nodes.iter().map(|node| node.copies).collect();
    assert_eq!(copies, [2, 1], "another topic is no copy");
}

#[test]
fn a_replay_hangs_below_its_dead_letter_and_what_comes_of_it_below_the_replay() {
    let replay = Found {
        replay_of: Some("a/0/1".into()),
        ..record("a", 7, "x", None)
    };
    let found = vec![
        record("a-results", 9, "end", Some("x")),
        replay,
        letter("a-dlq", 3, "a/0/1"),
        record("a", 1, "x", None),
    ];
    let mut journey = build(
        "c",
        found,
        Vec::new(),
        &BTreeMap::from([("a/0/1".to_owned(), "REPLAYED".to_owned())]),
        &Roles::default(),
    );
    assert_eq!(
        shape(&journey),
        [
            "x",
            "letter of x<x",
            "replay of x<letter of x",
            "end<replay of x"
        ]
    );
    judge(&mut journey);
    assert_eq!(journey.state, State::Done);
    journey.nodes[1].marked = None;
    judge(&mut journey);
    assert_eq!(journey.state, State::Failed);
}

#[test]
fn a_timer_that_is_not_due_is_waited_for() {
    let timer = |cause: &str| PendingTimer {
        id: "later".into(),
        causation_id: Some(cause.into()),
        due: 61_001,
        ..PendingTimer::default()
    };
    for (cause, expected) in [("c", "later<c"), ("gone", "later<gone")] {
        let found = vec![record("a", 1, "c", None)];
        let mut journey = build(
            "c",
            found,
            vec![timer(cause)],
            &BTreeMap::new(),
            &Roles::default(),
        );
        assert!(
            shape(&journey).contains(&expected.to_owned()),
            "{:?}",
            shape(&journey)
        );
        judge(&mut journey);
        assert_eq!(journey.state, State::Waiting);
        assert_eq!(journey.nodes.iter().find_map(|node| node.due), Some(61_001));
    }
}

#[test]
fn what_is_tried_again_is_stuck_also_for_those_behind_it() {
    let stuck = |status: &str| Wait {
        status: status.into(),
        ..Wait::default()
    };
    let behind = Wait {
        behind: Some(Box::new(stuck("backing-off"))),
        ..stuck("pending")
    };
    let again = |status: &str| Wait {
        failure: Some("no answer".into()),
        ..stuck(status)
    };
    for (wait, state) in [
        (stuck("running"), State::Running),
        (again("running"), State::Stuck),
        // It has got over it, and waits for something.
        (again("suspended"), State::Running),
        (stuck("not-delivered"), State::Running),
        (stuck("paused"), State::Stuck),
        (behind, State::Stuck),
    ] {
        let mut journey = tree(vec![record("a", 1, "c", None)]);
        journey.nodes[0].waits.push(wait);
        assert!(!is_settled(&journey));
        judge(&mut journey);
        assert_eq!(journey.state, state);
    }
}

#[test]
fn what_the_guard_let_through_ends_the_record_that_it_came_from() {
    let guarded: &'static Declaration = Box::leak(Box::new(Declaration {
        guard: true,
        ..ProductReservations::DECLARATION.clone()
    }));
    let copy = Found {
        relayed_from: Some("product-reservations/0/1".into()),
        ..record("product-reservations-guarded", 2, "c", None)
    };
    let found = vec![
        record("product-reservations-results", 5, "end", Some("c")),
        copy.clone(),
        record("product-reservations", 1, "c", None),
    ];
    let judged = |found| {
        let roles = Roles::of(&[guarded]);
        let mut journey = build("c", found, Vec::new(), &BTreeMap::new(), &roles);
        judge(&mut journey);
        journey
    };
    let mut journey = judged(found.clone());
    assert_eq!(shape(&journey), ["c", "c<c", "end<c"]);
    let kinds: Vec<Kind> = journey.nodes.iter().map(|node| node.kind).collect();
    assert_eq!(kinds, [Kind::Command, Kind::Command, Kind::Result]);
    assert_eq!(journey.nodes[2].parent, Some(1));
    assert_eq!(journey.state, State::Done);
    // The answer to the copy is that to the first command.
    journey.nodes[2].code = Some("invalid-request".into());
    judge(&mut journey);
    assert_eq!(journey.state, State::Failed);

    let journey = judged(found[1..].to_vec());
    assert_eq!(unanswered(&journey).collect::<Vec<_>>(), [1]);
    assert_eq!(journey.state, State::Running);
    let journey = judged(vec![copy]);
    assert_eq!(journey.nodes[0].relayed_from, None, "that was not found");
}

#[test]
fn the_key_of_a_reply_is_shown_nowhere() {
    let timer = |topic: &str| PendingTimer {
        topic: Some(topic.into()),
        key: Some("k".into()),
        id: "later".into(),
        ..PendingTimer::default()
    };
    let replies = Replies::DECLARATION.name;
    let found = vec![
        record(replies, 1, "reply", None),
        letter(&format!("{replies}-dlq"), 2, &format!("{replies}/0/7")),
        letter("another-dlq", 3, &format!("{replies}/-1/8")),
        letter("another-dlq", 4, "another/0/9"),
    ];
    let roles = Roles::of(&[Replies::DECLARATION]);
    let timers = vec![timer(replies), timer("another")];
    let journey = build("c", found, timers, &BTreeMap::new(), &roles);
    let shown: Vec<&str> = journey
        .nodes
        .iter()
        .filter(|node| node.key.is_some())
        .filter_map(|node| node.topic.as_deref())
        .collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown.contains(&"another") && shown.contains(&"another-dlq"));
}

#[test]
fn causes_in_a_circle_make_a_tree_that_says_so() {
    let found = vec![
        record("a", 3, "z", Some("y")),
        record("a", 1, "x", Some("z")),
        record("a", 2, "y", Some("x")),
        record("a", 4, "own", Some("own")),
    ];
    let journey = tree(found);
    assert_eq!(shape(&journey), ["x", "y<x", "z<y", "own"]);
    assert!(
        journey.problems[0].contains("circle"),
        "{:?}",
        journey.problems
    );
}

#[test]
fn a_flood_is_cut_and_a_deep_chain_is_no_trouble() {
    let chain = |count: usize| {
        (0..count).map(|number| {
            let cause = number.checked_sub(1).map(|before| format!("i{before}"));
            let offset = i64::try_from(number).unwrap();
            record("a", offset, &format!("i{number}"), cause.as_deref())
        })
    };
    let journey = tree(chain(MAX_NODES + 5).collect());
    assert_eq!((journey.nodes.len(), journey.left_out), (MAX_NODES, 5));
    assert_eq!(journey.nodes[MAX_NODES - 1].depth, MAX_NODES - 1);
    let text = serde_json::to_string(&journey).unwrap();
    assert_eq!(serde_json::from_str::<Journey>(&text).unwrap(), journey);
}

/// Records whose ids and causes are of a few names, so that there are copies, circles and gaps.
fn records() -> impl Strategy<Value = Vec<Found>> {
    let name = || (0..8_u8).prop_map(|number| format!("i{number}"));
    let one = (
        0..3_u8,
        name(),
        proptest::option::of(name()),
        0..4_i64,
        0..6_u8,
        any::<bool>(),
    );
    let some = proptest::collection::vec(one, 0..24);
    some.prop_map(|some| {
        let numbered = some.into_iter().zip(0_i64..);
        numbered
            .map(|((topic, id, cause, time, what, has_meta), offset)| {
                let mut found = record(&format!("t{topic}"), offset, &id, cause.as_deref());
                found.time = time;
                match what {
                    0 => {
                        found = Found {
                            time,
                            ..letter("t0-dlq", offset, &format!("t{topic}/0/{time}"))
                        }
                    }
                    1 => found.replay_of = Some(format!("t{topic}/0/{time}")),
                    _ => {}
                }
                if !has_meta {
                    found.id = None;
                }
                found
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn whatever_records_claim_it_is_a_tree_and_always_the_same((found, shuffled) in records().prop_flat_map(|found| {
        (Just(found.clone()), Just(found).prop_shuffle())
    })) {
        let count = found.len();
        let journey = tree(found);
        prop_assert_eq!(&journey, &tree(shuffled));
        let copies: usize = journey.nodes.iter().map(|node| node.copies).sum();
        prop_assert_eq!(copies, count, "each record is in it once");
        for (at, node) in journey.nodes.iter().enumerate() {
            match node.parent {
                Some(parent) => {
                    prop_assert!(parent < at);
                    prop_assert_eq!(node.depth, journey.nodes[parent].depth + 1);
                }
                None => prop_assert_eq!(node.depth, 0),
            }
        }
        // What is below a node follows it at once.
        for (at, node) in journey.nodes.iter().enumerate().skip(1) {
            let before = &journey.nodes[at - 1];
            prop_assert!(node.depth <= before.depth + 1);
        }
    }
}
