use millstream_pipeline::events::EventMeta;
use proptest::prelude::*;

use super::*;

fn outputs() -> Outputs {
    Outputs::new("customer1", EventMeta::default(), 1_000)
}

fn used(resource: &str, units: i64, record_id: Option<&str>) -> RecordUsage {
    RecordUsage {
        resource: resource.into(),
        units,
        record_id: record_id.map(Into::into),
    }
}

fn quota(resource: &str, limit: i64) -> SetQuota {
    let resource = resource.into();
    SetQuota { resource, limit }
}

/// How many alerts came of it: nothing else is emitted.
fn alerts(outputs: &Outputs) -> usize {
    outputs.emitted().count()
}

#[test]
fn a_record_counts_once_and_is_answered_whenever_it_comes() {
    let mut customer = Customer::default();
    for (id, total) in [("a", 3), ("b", 6), ("a", 6), ("b", 6)] {
        let event = used("calls", 3, Some(id));
        let answer = record(&mut customer, event, &mut outputs());
        assert_eq!(answer.unwrap().unwrap().total, total);
    }
    for total in [9, 12] {
        let event = used("calls", 3, None);
        let answer = record(&mut customer, event, &mut outputs());
        assert_eq!(answer.unwrap().unwrap().total, total, "without an id");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mut customer = Customer::default();
    for event in [
        used("calls", 0, None),
        used("calls", -1, None),
        used("", 1, None),
        used(&"c".repeat(MAX_NAME + 1), 1, None),
    ] {
        let refused = record(&mut customer, event, &mut outputs()).unwrap_err();
        assert_eq!(refused.code, "invalid-request");
    }
    assert!(set_quota(&mut customer, quota("calls", -1), &mut outputs()).is_err());
    record(&mut customer, used("calls", i64::MAX, None), &mut outputs()).unwrap();
    let refused = record(&mut customer, used("calls", 1, None), &mut outputs());
    assert!(refused.unwrap_err().message.contains("larger units"));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut customer = Customer::default();
    for number in 0..2 * MAX_RECORDS {
        let id = number.to_string();
        record(&mut customer, used("calls", 1, Some(&id)), &mut outputs()).unwrap();
    }
    assert_eq!(customer.records.len(), MAX_RECORDS);
    for number in 1..MAX_RESOURCES {
        set_quota(&mut customer, quota(&number.to_string(), 1), &mut outputs()).unwrap();
    }
    let refused = set_quota(&mut customer, quota("one more", 1), &mut outputs());
    assert_eq!(refused.unwrap_err().code, TOO_MANY_RESOURCES);
    record(&mut customer, used("calls", 1, None), &mut outputs()).unwrap();
}

#[derive(Debug, Clone)]
enum Change {
    Used(i64),
    Quota(i64),
}

proptest! {
    /// However use and quotas go up and down: totals are exact, and there is an alert whenever usage is
    /// beyond its quota after it was not, and never otherwise.
    #[test]
    fn there_is_one_alert_for_each_crossing(changes in prop::collection::vec(prop_oneof![
        (1i64..50).prop_map(Change::Used),
        (0i64..500).prop_map(Change::Quota),
    ], 0..60)) {
        let mut customer = Customer::default();
        let (mut total, mut limit) = (0, None);
        for change in changes {
            let was_beyond = limit.is_some_and(|limit| total > limit);
            let mut outputs = outputs();
            match change {
                Change::Used(units) => {
                    total += units;
                    let answer = record(&mut customer, used("calls", units, None), &mut outputs);
                    let answer = answer.unwrap().unwrap();
                    prop_assert_eq!(answer.total, total);
                    let left = limit.map(|limit: i64| (limit - total).max(0));
                    prop_assert_eq!(answer.remaining, left);
                }
                Change::Quota(to) => {
                    limit = Some(to);
                    set_quota(&mut customer, quota("calls", to), &mut outputs).unwrap();
                }
            }
            let is_beyond = limit.is_some_and(|limit| total > limit);
            prop_assert_eq!(alerts(&outputs), usize::from(is_beyond && !was_beyond));
        }
    }
}
