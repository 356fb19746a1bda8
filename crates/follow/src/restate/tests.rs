use std::collections::BTreeMap;

use millstream_pipeline::record::digest::derived_id;
use millstream_topics::TOPICS;
use serde_json::json;

use super::*;
use crate::found::{Found, Place};
use crate::tree::{build, unanswered};

fn roles() -> Roles {
    Roles::of(TOPICS)
}

fn command(offset: i64, time: i64) -> Found {
    let place = Place {
        topic: "machine-commands".into(),
        partition: 2,
        offset,
    };
    Found {
        place,
        time,
        key: Some("m'1".into()),
        id: Some(format!("e{offset}")),
        correlation_id: Some("c".into()),
        causation_id: None,
        source: None,
        full_name: Some("millstream.machine_commands.SetUp".into()),
        trace_id: None,
        letter: None,
        replay_of: None,
        relayed_from: None,
        failure: None,
        due: None,
        content: None,
    }
}

fn journey(found: Vec<Found>) -> Journey {
    build("c", found, Vec::new(), &BTreeMap::new(), &roles())
}

fn invocation(id: &str, status: &str, created: &str) -> Invocation {
    let row = json!({
        "id": id, "target": "MachineOperator/m'1/onEvent", "service": "MachineOperator", "key": "m'1",
        "handler": "onEvent", "status": status, "subscription": "sub_1", "created_at": created, "retry_count": 7,
        "last_failure": if status == "backing-off" { "no answer" } else { "" },
    });
    serde_json::from_value(row).unwrap()
}

#[test]
fn keys_are_quoted_and_only_handled_events_are_asked_about() {
    let handlers = Handlers::of(&journey(vec![command(1, 0)]), &roles());
    let condition = handlers.condition().unwrap();
    assert_eq!(
        condition,
        "(target_service_name = 'MachineOperator' AND (target_service_key IN ('m''1') OR target_service_key IS NULL))"
    );
    assert_eq!(
        Handlers::of(&journey(Vec::new()), &roles()).condition(),
        None
    );
}

fn deliveries(topic: &str) -> HashMap<String, String> {
    HashMap::from([("sub_1".to_owned(), topic.to_owned())])
}

fn begun_with(id: &str, offset: i64) -> Command {
    let text = format!(
        r#"{{"Command":{{"Input":{{"headers":[{{"name":"kafka.topic","value":"machine-commands"}},{{"name":"kafka.partition","value":"2"}},{{"name":"kafka.offset","value":"{offset}"}}]"#
    );
    Command {
        id: id.into(),
        text,
        ..Command::default()
    }
}

/// One of the record at offset 1 fails, and one waits behind it.
fn held() -> Held {
    let invocations = vec![
        invocation("waits", "pending", "1970-01-01T00:00:10.020Z"),
        invocation("first", "backing-off", "1970-01-01T00:00:05.010Z"),
    ];
    Held::new(invocations, vec![begun_with("first", 1)])
        .queued(&deliveries("machine-commands"), None)
}

/// As if so many delivered records were behind each event that may wait.
fn told(journey: &mut Journey, held: &Held, behind: impl Fn(i64) -> usize) {
    begun(journey, held);
    let open: Vec<usize> = unanswered(journey).collect();
    for turn in turns(journey, &open, &roles(), held) {
        tell(journey, held, &turn, behind(turn.place.offset));
    }
}

#[test]
fn an_invocation_that_has_begun_names_its_event_and_the_last_ones_of_a_key_wait() {
    let mut journey = journey(vec![command(1, 5_000), command(2, 10_000)]);
    told(&mut journey, &held(), |offset| usize::from(offset < 2));
    let first = &journey.nodes[0].waits[0];
    assert_eq!(
        (first.invocation.as_deref(), first.attempts),
        (Some("first"), Some(7))
    );
    let second = &journey.nodes[1].waits[0];
    assert_eq!(
        (second.invocation.as_deref(), second.ahead),
        (Some("waits"), Some(1))
    );
    assert_eq!(
        second.behind.as_ref().unwrap().failure.as_deref(),
        Some("no answer")
    );
}

#[test]
fn an_event_that_was_handled_long_ago_does_not_wait_behind_what_its_key_does_now() {
    // Nothing has come of it, and two later records of its key are not done.
    let mut handled = journey(vec![command(0, 1_000)]);
    told(&mut handled, &held(), |_| 2);
    assert!(handled.nodes[0].waits.is_empty(), "{handled:?}");
    // That of another topic's delivery is none of it.
    let mut elsewhere = journey(vec![command(2, 10_000)]);
    let other = Held::new(
        vec![invocation("waits", "pending", "1970-01-01T00:00:10.020Z")],
        Vec::new(),
    );
    let other = other.queued(&deliveries("another"), None);
    told(&mut elsewhere, &other, |_| 0);
    assert!(elsewhere.nodes[0].waits.is_empty(), "{elsewhere:?}");
}

#[test]
fn a_queue_may_be_longer_than_what_is_listed_of_it() {
    let mut journey = journey(vec![command(2, 10_000)]);
    let count = json!({ "service": "MachineOperator", "key": "m'1", "handler": "onEvent",
        "subscription": "sub_1", "count": 700 });
    let invocations = vec![
        invocation("first", "backing-off", "1970-01-01T00:00:05.010Z"),
        invocation("waits", "pending", "1970-01-01T00:00:10.020Z"),
    ];
    let held = Held::new(invocations, vec![begun_with("first", 1)]).queued(
        &deliveries("machine-commands"),
        Some(vec![serde_json::from_value(count).unwrap()]),
    );
    told(&mut journey, &held, |_| 100);
    let wait = &journey.nodes[0].waits[0];
    assert_eq!(
        (wait.target.as_str(), wait.status.as_str(), wait.ahead),
        ("MachineOperator/m'1/onEvent", "pending", Some(599))
    );
    assert_eq!(wait.behind.as_ref().unwrap().attempts, Some(7));
}

#[test]
fn a_timer_is_of_the_request_that_set_it() {
    let journey = journey(vec![command(1, 0)]);
    assert_eq!(
        timers::conditions(&journey),
        ["value_utf8 LIKE '%[\"ce_correlationid\",\"c\"]%'"]
    );
    let state = |correlation_id: &str| -> timers::State {
        let timer = json!({ "timer": {
            "token": "t", "due": 61_000_000, "topic": "payments", "key": "p",
            "headers": [["ce_id", "t"], ["ce_type", "x.ExpirePayment"], ["ce_source", "Payments/p"],
                ["ce_correlationid", correlation_id], ["ce_causationid", "e1"]],
        } });
        serde_json::from_value(json!({ "key": "Payments/p/expiry", "state": timer.to_string() }))
            .unwrap()
    };
    let timer = state("c").timer(&journey).unwrap();
    assert_eq!((timer.name.as_deref(), timer.due), (Some("expiry"), 61_000));
    assert_eq!(timer.causation_id.as_deref(), Some("e1"));
    assert_eq!(state("another").timer(&journey), None);

    let expected = timers::Expected::of(&journey, &roles());
    let once = |id: &str| -> timers::Once {
        let key = format!("MachineOperator/m'1/{id}");
        serde_json::from_value(json!({ "key": key, "due": "1970-01-01T00:01:01Z" })).unwrap()
    };
    let id = derived_id("e1", "MachineOperator/onEvent", 3);
    let timer = expected.timer(&once(&id)).unwrap();
    assert_eq!(
        (timer.causation_id.as_deref(), timer.due),
        (Some("e1"), 61_000)
    );
    assert_eq!(expected.timer(&once("another")), None);
}
