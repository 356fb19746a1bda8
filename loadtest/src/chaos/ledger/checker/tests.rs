//! The checker finds what is planted, and nothing in a clean run.

use proptest::prelude::*;

use super::*;

/// A result of a perfect ledger, to be spoilt.
#[derive(Debug, Clone)]
struct Made {
    key: String,
    seq: i64,
    digest: u64,
    cause: String,
    in_seq: i64,
    count: i64,
    chain: String,
}

/// The results of `keys` keys with `events` events each, and a checker that knows the events.
fn perfect(keys: usize, events: i64, sequence_rule: bool) -> (Checker, Vec<Made>) {
    let (mut checker, mut made) = (Checker::new(sequence_rule), Vec::new());
    for key in (0..keys).map(|index| format!("run.{index}")) {
        let mut chain = String::new();
        for in_seq in 1..=events {
            let cause = id(&key, in_seq);
            chain = next_chain(&chain, &cause);
            checker.acknowledged(&key, in_seq);
            checker.input(&Input {
                key: &key,
                in_seq,
                place: (0, in_seq),
                expects_letter: false,
            });
            made.push(Made {
                key: key.clone(),
                seq: in_seq,
                digest: in_seq.unsigned_abs(),
                cause,
                in_seq,
                count: in_seq,
                chain: chain.clone(),
            });
        }
    }
    (checker, made)
}

fn feed(checker: &mut Checker, made: &[Made]) -> Report {
    for made in made {
        checker.answer(&Answer {
            key: &made.key,
            seq: Some(made.seq),
            epoch: "epoch",
            digest: made.digest,
            cause: &made.cause,
            booked: Some(Booked {
                in_seq: made.in_seq,
                count: made.count,
                chain: &made.chain,
            }),
            crashed: false,
        });
    }
    checker.finish()
}

proptest! {
    /// Clean in any order between keys, with any copies in between.
    #[test]
    fn a_clean_run_has_zeros(keys in 1usize..6, events in 1i64..40, picks: Vec<prop::sample::Index>, copies: Vec<prop::sample::Index>) {
        let (mut checker, made) = perfect(keys, events, true);
        let mut queues: Vec<_> = made.chunks(usize::try_from(events).unwrap()).map(|chunk| chunk.iter().cloned()).collect();
        let mut stream = Vec::new();
        for pick in picks {
            stream.extend(queues[pick.index(keys)].next());
        }
        stream.extend(queues.into_iter().flatten());
        for copy in &copies {
            let at = copy.index(stream.len());
            let copied = stream[at].clone();
            stream.push(copied);
        }
        let report = feed(&mut checker, &stream);
        prop_assert!(report.is_clean(), "{report:?}");
        prop_assert_eq!(report.raw_duplicates, copies.len() as u64);
        prop_assert_eq!(report.events, made.len() as u64);
        prop_assert_eq!(checker.outstanding(), 0);
    }

    /// Each lost result is counted, and the hole is reported unless nothing of the key follows.
    #[test]
    fn loss_is_found(events in 2i64..60, lost: prop::sample::Index) {
        let (mut checker, mut made) = perfect(1, events, true);
        let at = lost.index(made.len());
        made.remove(at);
        let report = feed(&mut checker, &made);
        prop_assert_eq!(report.loss, 1);
        prop_assert_eq!(report.gaps, u64::from(at + 1 < usize::try_from(events).unwrap()));
        prop_assert_eq!(checker.outstanding(), 1);
        prop_assert_eq!(checker.unanswered().len(), 1);
    }

    /// Without the sequence rule every copy is seen.
    #[test]
    fn duplicates_are_found(events in 1i64..60, copy: prop::sample::Index, to: prop::sample::Index) {
        let (mut checker, mut made) = perfect(1, events, false);
        let at = copy.index(made.len());
        let copied = made[at].clone();
        made.insert(at + 1 + to.index(made.len() - at), copied);
        prop_assert_eq!(feed(&mut checker, &made).visible_duplicates, 1);
    }

    /// A swap is an inversion, whether the ledger or the topic made it.
    #[test]
    fn swaps_are_found(events in 2i64..60, first: prop::sample::Index) {
        let (mut checker, mut made) = perfect(1, events, true);
        let at = first.index(made.len() - 1);
        made.swap(at, at + 1);
        let report = feed(&mut checker, &made);
        prop_assert_eq!((report.inversions, report.gaps, report.loss), (1, 1, 0));
    }

    /// The ledger handled two events in the wrong order and numbered its results in that order.
    #[test]
    fn a_swap_before_numbering_is_found(events in 2i64..60, first: prop::sample::Index) {
        let (mut checker, mut made) = perfect(1, events, true);
        let at = first.index(made.len() - 1);
        let (a, b) = (made[at].cause.clone(), made[at + 1].cause.clone());
        (made[at].cause, made[at + 1].cause) = (b, a);
        let report = feed(&mut checker, &made);
        prop_assert_eq!(report.inversions, 1);
        prop_assert!(report.chain_mismatches > 0);
    }

    /// Another value under a known number.
    #[test]
    fn conflicts_are_found(events in 1i64..60, which: prop::sample::Index) {
        let (mut checker, mut made) = perfect(1, events, true);
        let mut other = made[which.index(made.len())].clone();
        other.digest += 1000;
        made.push(other);
        let report = feed(&mut checker, &made);
        prop_assert_eq!(report.conflicts, 1);
        prop_assert_eq!(report.visible_duplicates, 0);
    }

    /// A wrong chain is counted once, at its place.
    #[test]
    fn a_wrong_chain_is_found(events in 1i64..60, which: prop::sample::Index) {
        let (mut checker, mut made) = perfect(1, events, true);
        let at = which.index(made.len());
        made[at].chain = "0000000000000000".into();
        let report = feed(&mut checker, &made);
        prop_assert!((1..=2).contains(&report.chain_mismatches), "{report:?}");
    }
}

#[test]
fn phantoms_are_found() {
    let (mut checker, mut made) = perfect(1, 3, true);
    // The fourth event was never sent.
    let mut phantom = made[2].clone();
    (phantom.seq, phantom.in_seq, phantom.count) = (4, 4, 4);
    phantom.cause = id(&phantom.key, 4);
    phantom.chain = next_chain(&made[2].chain, &phantom.cause);
    made.push(phantom.clone());
    // And what caused the fifth is nothing of ours.
    (phantom.seq, phantom.cause) = (5, "somebody".into());
    made.push(phantom);
    assert_eq!(feed(&mut checker, &made).phantoms, 2);
}

#[test]
fn an_event_that_was_acknowledged_and_vanished_is_lost() {
    let mut checker = Checker::new(true);
    checker.acknowledged("run.0", 1);
    assert_eq!(checker.outstanding(), 1);
    assert_eq!(checker.finish().loss, 1);
}

#[test]
fn a_reader_that_starts_late_misses_nothing() {
    let (mut checker, made) = perfect(1, 5, true);
    let report = feed(&mut checker, &made[1..]);
    assert_eq!((report.loss, report.gaps), (1, 1), "numbers begin with 1");
}

#[test]
fn dead_letters_are_checked_both_ways() {
    let mut checker = Checker::new(true);
    checker.bad_input((0, 7));
    checker.bad_input((0, 8));
    assert_eq!(checker.letters_due(), 2);
    checker.letter((0, 7));
    checker.letter((0, 7));
    checker.letter((3, 9));
    let report = checker.finish();
    assert_eq!((report.loss, report.phantoms), (1, 1));
    assert_eq!((report.dead_letters, report.dead_letter_copies), (3, 1));
}

#[test]
fn an_answer_without_a_number_is_that_of_a_crash() {
    let mut checker = Checker::new(true);
    for crashed in [true, true, false] {
        checker.acknowledged("k", 1);
        checker.answer(&Answer {
            key: "k",
            seq: None,
            epoch: "",
            digest: 7,
            cause: "k.1",
            booked: None,
            crashed,
        });
    }
    let report = checker.finish();
    assert_eq!((report.raw_duplicates, report.phantoms), (1, 1));
    assert_eq!((report.loss, report.visible_duplicates), (0, 0));
}
