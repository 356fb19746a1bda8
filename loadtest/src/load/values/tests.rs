use apache_avro::types::Value;
use millstream_pipeline::codec::{Payload, WriterSchema, join};
use millstream_pipeline::events::EventSchema;
use millstream_pipeline::record::wire;
use millstream_topics::TOPICS;
use serde_json::json;

use super::{Event, Fields, Make, compile};
use crate::random::Random;

const EVENT: Event<'static> = Event {
    number: 7,
    key: "key-1",
    run: "run",
};

fn schemas() -> impl Iterator<Item = &'static EventSchema> {
    let events = TOPICS.iter().flat_map(|topic| topic.events);
    events.map(|event| (event.schema)())
}

fn schema(name: &str) -> &'static EventSchema {
    let found = schemas().find(|schema| schema.full_name.ends_with(name));
    found.unwrap()
}

fn made(
    name: &str,
    fields: &serde_json::Value,
    payload: Option<usize>,
) -> Result<Make, Vec<String>> {
    let (schema, fields) = (schema(name), fields.as_object().unwrap());
    let payload = payload.map(|length| (length, None));
    compile(&schema.body, schema.example, fields, payload)
}

fn json_of(make: &Make, random: &mut Random) -> serde_json::Value {
    make.value(random, EVENT).try_into().unwrap()
}

/// Whatever is declared can be driven: each instance fits its schema after a way through bytes.
#[test]
fn instances_of_every_declared_event_are_encoded_and_decoded() {
    let mut random = Random::new(1);
    for schema in schemas() {
        let make = compile(&schema.body, schema.example, &Fields::new(), None).unwrap();
        let writer = WriterSchema::parse(1, schema.json).unwrap();
        for _ in 0..20 {
            let value = make.value(&mut random, EVENT);
            let body = schema.body_writer().write_value_to_vec(value.clone());
            let body = body.unwrap_or_else(|error| panic!("{}: {error}", schema.full_name));
            let bytes = join(1, &body, None);
            let payload = Payload::new(&writer, wire::split(&bytes).unwrap().1).unwrap();
            payload.fits(schema).unwrap();
            let (decoded, meta) = payload.generic().unwrap();
            assert_eq!((decoded, meta), (value, None), "{}", schema.full_name);
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_values() {
    let make = made("BookTrip", &json!({}), None).unwrap();
    let value = |seed| json_of(&make, &mut Random::new(seed));
    assert_eq!(value(1), value(1));
    assert_ne!(value(1), value(2));
    // Formats are the example's; ids and amounts vary.
    assert_eq!(value(1)["car"]["rental_date"], "2024-12-16");
    assert_ne!(
        value(1)["flight"]["flight_id"],
        value(2)["flight"]["flight_id"]
    );
}

#[test]
fn a_workload_says_what_fields_are() {
    let fields = json!({
        "flight": { "flight_id": "F{number}-{key}-{run}-{{x}}" },
        "car": { "pickup_location": { "one-of": ["here", "there"] } },
        "payment": { "amount_cents": { "range": [5, 6] }, "card_number": { "random": 30 } },
    });
    let make = made("BookTrip", &fields, None).unwrap();
    let mut random = Random::new(1);
    let mut amounts = Vec::new();
    for _ in 0..50 {
        let value = json_of(&make, &mut random);
        assert_eq!(value["flight"]["flight_id"], "F7-key-1-run-{x}");
        assert!(["here", "there"].contains(&value["car"]["pickup_location"].as_str().unwrap()));
        assert_eq!(value["payment"]["card_number"].as_str().unwrap().len(), 30);
        amounts.push(value["payment"]["amount_cents"].as_i64().unwrap());
    }
    amounts.sort_unstable();
    amounts.dedup();
    assert_eq!(amounts, [5, 6]);
}

#[test]
fn optional_fields_are_given_or_follow_the_example() {
    let make = made(
        "SubmitTask",
        &json!({ "delay_ms": { "range": [3, 3] } }),
        None,
    )
    .unwrap();
    assert_eq!(json_of(&make, &mut Random::new(1))["delay_ms"], 3);
    let Make::Record(fields) = made("SubmitTask", &json!({}), None).unwrap() else {
        panic!("a record")
    };
    assert!(matches!(&fields[1].1, Make::Branch(..)));
}

#[test]
fn the_payload_fills_the_first_text_that_is_free() {
    let make = made("UserUpdate", &json!({ "profile": "p" }), Some(1000)).unwrap();
    let value = json_of(&make, &mut Random::new(1));
    assert_eq!(value["profile"], "p");
    assert_eq!(value["permissions"].as_str().unwrap().len(), 1000);
    let make = made("SetTimer", &json!({ "topic": "t", "key": "k" }), Some(64)).unwrap();
    let Value::Record(fields) = make.value(&mut Random::new(1), EVENT) else {
        panic!("a record")
    };
    assert!(matches!(&fields[2].1, Value::Bytes(bytes) if bytes.len() == 64));
}

#[test]
fn every_problem_is_told_at_once() {
    let fields = json!({
        "flight": { "flight_no": "x" },
        "car": { "pickup_location": "{nothing}" },
        "payment": { "amount_cents": "much", "card_number": { "range": [1, 2] } },
    });
    let problems = made("BookTrip", &fields, None).unwrap_err();
    let expected = [
        "`flight` has no field `flight_no`; there are flight_id, passenger_name",
        "`car.pickup_location`: there is no {nothing}",
        "`payment.card_number`: expected text, not 1",
        "`payment.amount_cents`: expected a whole number, not \"much\"",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
    assert!(made("GetTaskResult", &json!({}), Some(10)).is_err());
}
