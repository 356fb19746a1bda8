//! Each kind of difference is found, wherever it is, and no other kind with it.

use super::*;

const KEYS: [&str; 2] = ["run.0", "run.1"];
const NOTHING: [u64; 5] = [0; 5];

fn result(key: &str, seq: i64) -> Found {
    let id = format!("id-{key}-{seq}");
    Found {
        partition: 3,
        record: Record {
            topic: "results".into(),
            key: Some(key.into()),
            value: Some(format!("{key} has {seq}").into_bytes()),
            headers: vec![
                (ID.into(), Some(id.clone().into())),
                ("own".into(), Some(vec![0xff].into())),
                ("null".into(), None),
            ],
        },
        meta: Some(EventMeta {
            id,
            source: format!("Ledger/{key}"),
            seq: Some(seq),
            epoch: Some("e".into()),
            ..EventMeta::default()
        }),
    }
}

/// Four of each key, in turn.
fn results() -> Vec<Found> {
    let numbers = 1..=4;
    numbers
        .flat_map(|seq| KEYS.map(|key| result(key, seq)))
        .collect()
}

fn of_one_key(numbers: [i64; 4]) -> [Found; 4] {
    numbers.map(|seq| result(KEYS[0], seq))
}

fn marked(mut found: Found) -> Found {
    let headers = &mut found.record.headers;
    headers.push((LATE.into(), Some(b"true"[..].into())));
    found
}

fn compared(raw: &[Found], once: &[Found]) -> Differences {
    let mut comparison = Comparison::default();
    for found in raw {
        comparison.raw(found);
    }
    for found in once {
        comparison.once(found);
    }
    comparison.finish()
}

/// Duplicates, missing, altered, inversions, phantoms.
fn counts(differences: &Differences) -> [u64; 5] {
    differences.kinds().map(|(_, _, finding)| finding.count)
}

#[test]
fn what_the_rule_accepts_is_no_difference() {
    let once = results();
    let mut raw = once.clone();
    raw.insert(5, once[1].clone());
    raw.push(once[0].clone());
    let differences = compared(&raw, &once);
    assert_eq!(counts(&differences), NOTHING);
    assert_eq!(differences.accepted, 8);
    assert_eq!(differences.sentences("topic"), [""; 0]);
}

#[test]
fn a_result_that_is_missing_is_found() {
    let raw = results();
    for at in 0..raw.len() {
        let mut once = raw.clone();
        let id = once.remove(at).id().to_owned();
        let differences = compared(&raw, &once);
        assert_eq!(counts(&differences), [0, 1, 0, 0, 0]);
        assert_eq!(differences.missing.first, id);
        let sentence = format!("topic: results that are missing: 1, the first is {id}");
        assert_eq!(differences.sentences("topic"), [sentence]);
    }
    let differences = compared(&raw, &[]);
    assert_eq!(counts(&differences), [0, 8, 0, 0, 0]);
    assert_eq!(differences.missing.first, raw[0].id());
}

#[test]
fn a_result_that_comes_again_is_found() {
    let raw = results();
    for at in 0..raw.len() {
        for to in at + 1..=raw.len() {
            let mut once = raw.clone();
            once.insert(to, raw[at].clone());
            let differences = compared(&raw, &once);
            assert_eq!(counts(&differences), [1, 0, 0, 0, 0]);
            assert_eq!(differences.duplicates.first, raw[at].id());
        }
    }
    // A copy on the raw topic is no excuse.
    let both = [raw.clone(), vec![raw[7].clone()]].concat();
    assert_eq!(counts(&compared(&both, &both)), [1, 0, 0, 0, 0]);
}

#[test]
fn a_result_that_is_altered_is_found() {
    type Case = (fn(&mut Found), &'static str);
    let cases: [Case; 10] = [
        (|it| it.record.value = None, "value"),
        (|it| it.record.value = Some(Vec::new()), "value"),
        (
            |it| it.record.headers[1].1 = Some(vec![0xfe].into()),
            "headers",
        ),
        (
            |it| it.record.headers[2].1 = Some(Vec::new().into()),
            "headers",
        ),
        (|it| it.record.headers[0].1 = None, "headers"),
        (|it| it.record.headers[1].0 = "other".into(), "headers"),
        (|it| it.record.headers.truncate(2), "headers"),
        (|it| it.record.headers.swap(1, 2), "headers"),
        (|it| *it = marked(it.clone()), "headers"),
        (|it| it.partition = 4, "partition"),
    ];
    let raw = results();
    for (alter, part) in cases {
        for at in 0..raw.len() {
            let mut once = raw.clone();
            alter(&mut once[at]);
            let differences = compared(&raw, &once);
            assert_eq!(counts(&differences), [0, 0, 1, 0, 0], "{part}");
            let told = format!("{} ({part})", raw[at].id());
            assert_eq!(differences.altered.first, told);
        }
    }
    // Its bytes may be such that they say nothing of it any more; its headers do.
    let mut once = raw.clone();
    once[2].record.value = Some(b"text".to_vec());
    once[2].record.key = Some(b"run.7".to_vec());
    once[2].meta = None;
    let differences = compared(&raw, &once);
    assert_eq!(counts(&differences), [0, 0, 1, 0, 0]);
    assert_eq!(differences.altered.first, "id-run.0-2 (key, value)");
}

#[test]
fn results_of_a_key_in_another_order_are_found() {
    let raw = results();
    for at in 0..raw.len() - 2 {
        let mut once = raw.clone();
        once.swap(at, at + 2);
        let differences = compared(&raw, &once);
        assert_eq!(counts(&differences), [0, 0, 0, 1, 0]);
        assert_eq!(differences.inversions.first, raw[at].id());
    }
    // Keys have no order among each other.
    for at in (0..raw.len()).step_by(2) {
        let mut once = raw.clone();
        once.swap(at, at + 1);
        assert_eq!(counts(&compared(&raw, &once)), NOTHING);
    }
}

#[test]
fn a_result_that_is_late_says_so() {
    let raw = of_one_key([1, 3, 2, 4]);
    let [one, three, two, four] = raw.clone();
    let two_late = marked(two);
    let once = [one.clone(), three.clone(), two_late.clone(), four.clone()];
    assert_eq!(counts(&compared(&raw, &once)), NOTHING);
    assert_eq!(counts(&compared(&raw, &raw)), [0, 0, 1, 0, 0]);
    let ordered = [one, two_late, three, four];
    assert_eq!(counts(&compared(&raw, &ordered)), [0, 0, 0, 1, 0]);
}

#[test]
fn what_the_rule_does_not_accept_is_found() {
    let raw = results();
    let never = [raw.clone(), vec![result(KEYS[0], 5)]].concat();
    let differences = compared(&raw, &never);
    assert_eq!(counts(&differences), [0, 0, 0, 0, 1]);
    assert_eq!(differences.phantoms.first, "id-run.0-5");
    // Another value under a known number.
    let mut conflict = result(KEYS[0], 4);
    conflict.record.value = Some(b"another".to_vec());
    conflict.meta = conflict.meta.map(|meta| EventMeta {
        id: "another".into(),
        ..meta
    });
    let both = [raw.clone(), vec![conflict]].concat();
    assert_eq!(counts(&compared(&both, &raw)), NOTHING);
    assert_eq!(counts(&compared(&both, &both)), [0, 0, 0, 0, 1]);
}

#[test]
fn results_without_a_number_are_told_by_their_ids() {
    let unnumbered = |seq| {
        let mut found = result(KEYS[0], seq);
        found.meta = found.meta.map(|meta| EventMeta { seq: None, ..meta });
        found
    };
    let (one, two) = (unnumbered(1), unnumbered(2));
    let raw = [one.clone(), two.clone(), one.clone()];
    assert_eq!(counts(&compared(&raw, &raw[..2])), NOTHING);
    assert_eq!(counts(&compared(&raw, &raw)), [1, 0, 0, 0, 0]);
    let swapped = [two, one];
    assert_eq!(counts(&compared(&raw, &swapped)), [0, 0, 0, 1, 0]);
}

#[test]
fn each_epoch_has_numbers_of_its_own() {
    let again = |mut found: Found| {
        found.meta = found.meta.map(|meta| EventMeta {
            epoch: Some("another".into()),
            ..meta
        });
        found.record.value = Some(b"decided anew".to_vec());
        found
    };
    let first = of_one_key([1, 2, 3, 4]);
    // With the same ids.
    let second = first.clone().map(again);
    let raw = [first.clone(), second.clone()].concat();
    assert_eq!(counts(&compared(&raw, &raw)), NOTHING);
    let [one, rest @ ..] = second.clone();
    let less = [&first[..], &rest].concat();
    assert_eq!(counts(&compared(&raw, &less)), [0, 1, 0, 0, 0]);
    let swapped = [&first[..3], &[one], &first[3..], &rest].concat();
    assert_eq!(counts(&compared(&raw, &swapped)), [0, 0, 0, 1, 0]);
}
