use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const SOURCES: [&str; 3] = ["Orders/1", "Orders/2", "Stock/1"];
const EPOCHS: [&str; 2] = ["first", "second"];
/// No test lasts so long.
const KEPT_MS: i64 = 1_000_000;

/// A result as its emitter sends it: whose it is, its number, and whether another value is sent in its
/// place.
type Sent = (usize, i64, bool);

fn said((numbering, seq, other): Sent) -> Said {
    let (source, epoch) = (SOURCES[numbering / 2], EPOCHS[numbering % 2]);
    Said::Numbered {
        source: source.into(),
        epoch: epoch.into(),
        seq,
        digest: if other { 1 } else { 2 },
    }
}

fn named(id: &str) -> Said {
    Said::Named(id.into())
}

/// As another process has it that has read it from the topic of states.
fn read_again(marks: &Marks) -> Marks {
    serde_json::from_slice(&serde_json::to_vec(marks).unwrap()).unwrap()
}

/// Several emitters, each with its numbers in order; sometimes one is late, or comes again after others,
/// or is another.
fn stream() -> impl Strategy<Value = Vec<Sent>> {
    let step = (0..6_usize, 0..10_u8, 1..20_usize);
    prop::collection::vec(step, 1..300).prop_map(|steps| {
        let (mut next, mut sent, mut held): ([i64; 6], Vec<Sent>, Vec<Sent>) =
            ([0; 6], Vec::new(), Vec::new());
        for (numbering, what, back) in steps {
            match what {
                // An attempt that was given up publishes what it had.
                0..=2 if !sent.is_empty() => {
                    let (numbering, seq, _) = sent[sent.len().saturating_sub(back)];
                    sent.push((numbering, seq, what == 0));
                }
                // What is missed, and comes later.
                3 => {
                    next[numbering] += 1;
                    held.push((numbering, next[numbering], false));
                }
                4 if !held.is_empty() => sent.push(held.remove(back % held.len())),
                _ => {
                    next[numbering] += 1;
                    sent.push((numbering, next[numbering], false));
                }
            }
        }
        sent.extend(held);
        sent
    })
}

proptest! {
    /// It takes what a client takes that keeps a reader for each source and epoch, as the rule says;
    /// also where each result is judged by another process.
    #[test]
    fn it_accepts_what_a_reader_of_the_raw_topic_accepts(sent in stream()) {
        let mut marks = Marks::default();
        let mut readers: HashMap<usize, Reader> = HashMap::new();
        for one in sent {
            marks.forget(0, KEPT_MS);
            let ours = marks.judge(said(one), 0);
            let (numbering, seq, other) = one;
            let theirs = readers.entry(numbering).or_default().see(seq, if other { 1 } else { 2 });
            match (ours, theirs) {
                // Which value an old number had is known for a shorter time.
                (Verdict::Duplicate, Verdict::Conflict) => {}
                _ => prop_assert_eq!(ours, theirs),
            }
            marks = read_again(&marks);
        }
    }

    /// Whatever comes again, in whatever order: each is taken once, and all are that came.
    #[test]
    fn each_is_accepted_exactly_once(sent in stream()) {
        let (mut marks, mut accepted) = (Marks::default(), HashSet::new());
        // Who begins at the first number knows what is missing.
        for numbering in 0..6 {
            marks.judge(said((numbering, 0, false)), 0);
        }
        for one in &sent {
            if marks.judge(said(*one), 0).is_accepted() {
                prop_assert!(accepted.insert((one.0, one.1)), "{one:?} twice");
            }
        }
        let came: HashSet<_> = sent.iter().map(|(numbering, seq, _)| (*numbering, *seq)).collect();
        prop_assert_eq!(accepted, came);
    }

    /// What has no number is told from copies by its id, among the last 64 of its key.
    #[test]
    fn what_has_no_number_is_taken_once_by_its_id(ids in prop::collection::vec(0..40_u8, 1..200)) {
        let (mut marks, mut known) = (Marks::default(), HashSet::new());
        for id in ids {
            let accepted = marks.judge(named(&id.to_string()), 0).is_accepted();
            prop_assert_eq!(accepted, known.insert(id));
            marks = read_again(&marks);
        }
    }
}

#[test]
fn what_is_known_of_a_key_has_a_limit() {
    let mut marks = Marks::default();
    for number in 0..1000_i64 {
        marks.judge(named(&number.to_string()), 0);
        let source = format!("Orders/{number}");
        for seq in [1, 100, 102] {
            let digest = 1;
            let (source, epoch) = (source.clone(), String::new());
            let said = Said::Numbered {
                source,
                epoch,
                seq,
                digest,
            };
            marks.judge(said, 0);
        }
    }
    for seq in 200..300 {
        marks.judge(said((0, seq, false)), 0);
    }
    assert_eq!(
        (marks.numberings.len(), marks.ids.len()),
        (MAX_NUMBERINGS, MAX_IDS)
    );
    let written = serde_json::to_vec(&marks).unwrap();
    assert!(written.len() < 16 * 1024, "{}", written.len());
    assert_eq!(marks.judge(named("999"), 0), Verdict::Duplicate);
    assert_eq!(marks.judge(named("1"), 0), Verdict::Accept, "long ago");
}

#[test]
fn marks_are_kept_as_long_as_is_declared_from_when_the_last_result_was_seen() {
    let mut marks = Marks::default();
    assert_eq!(marks.judge(said((0, 7, false)), 100), Verdict::Accept);
    assert_eq!(marks.judge(said((2, 1, false)), 900), Verdict::Accept);
    // A copy is a result, too.
    assert_eq!(marks.judge(said((0, 7, false)), 500), Verdict::Duplicate);
    let judged = |now| {
        let mut later = marks.clone();
        later.forget(now, 1000);
        later.judge(said((0, 7, false)), now)
    };
    assert_eq!(judged(1500), Verdict::Duplicate);
    assert_eq!(judged(1501), Verdict::Accept, "nobody knows it any more");
    assert!(!marks.is_over(1900, 1000) && marks.is_over(1901, 1000));
    assert!(!marks.is_over(i64::MAX, -1), "for ever");
    // A clock that was put back makes nothing older.
    let mut back = marks.clone();
    assert_eq!(back.judge(said((0, 7, false)), 3), Verdict::Duplicate);
    assert!(!back.is_over(1900, 1000));
}

#[test]
fn a_number_counts_before_an_id_and_an_id_that_is_empty_is_none() {
    let meta = |seq, id: &str| EventMeta {
        seq,
        id: id.into(),
        source: SOURCES[0].into(),
        epoch: Some(EPOCHS[0].into()),
        ..EventMeta::default()
    };
    assert!(matches!(
        Said::of(Some(meta(Some(3), "a")), b"value"),
        Said::Numbered { seq: 3, .. }
    ));
    assert_eq!(Said::of(Some(meta(None, "a")), b"value"), named("a"));
    assert_eq!(Said::of(Some(meta(None, "")), b"value"), Said::Nothing);
    assert_eq!(Said::of(None, b"value"), Said::Nothing);
    let mut marks = Marks::default();
    for _ in 0..2 {
        assert_eq!(marks.judge(Said::Nothing, 0), Verdict::Accept);
    }
}
