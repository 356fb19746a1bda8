use std::collections::BTreeMap;

use millstream_pipeline::record::digest::derived_id;
use millstream_topics::TOPICS;
use serde_json::json;

use super::*;
use crate::found::{Found, Place};
use crate::tree::build;

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
        "handler": "onEvent", "status": status, "created_at": created, "retry_count": 7,
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

#[test]
fn an_invocation_that_has_begun_names_its_event_and_one_that_waits_is_of_the_event_before_it() {
    // At 5 s and at 10 s; of the third nobody knows yet.
    let mut journey = journey(vec![
        command(1, 5_000),
        command(2, 10_000),
        command(3, 99_000),
    ]);
    let invocations = vec![
        invocation("waits", "pending", "1970-01-01T00:00:10.020Z"),
        invocation("first", "backing-off", "1970-01-01T00:00:05.010Z"),
    ];
    let input = Command {
        id: "first".into(),
        text: r#"{"Command":{"Input":{"headers":[{"name":"kafka.topic","value":"machine-commands"},{"name":"kafka.partition","value":"2"},{"name":"kafka.offset","value":"1"}]"#.into(),
        ..Command::default()
    };
    let open: Vec<usize> = unanswered(&journey).collect();
    assert_eq!(open, [0, 1, 2]);
    waits::assign(&mut journey, &open, &roles(), invocations, &[input]);
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
    assert!(journey.nodes[2].waits.is_empty());
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
