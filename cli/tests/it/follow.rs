//! `millstream follow`: the journey of a request, on real topics.

use millstream_pipeline::events::{Event, Topic};
use millstream_schemas::charges::ChargeCard;
use millstream_schemas::machine_commands::{MachineState, SetUp, TearDown};
use millstream_schemas::payments::CancelPayment;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_schemas::trip_bookings::{BookTrip, TripRejected};
use millstream_topics::{MachineCommands, Payments, ProductReservations, TripBookings};
use serde_json::{Value, json};

use crate::backlog::{pause, resume};
use crate::gateway;
use crate::support::command::{Ran, millstream_on};
use crate::support::{Bench, LIMIT, Raw, client, endpoints, unique, until};

async fn follow(arguments: &[&str]) -> Ran {
    let arguments = [&["follow"], arguments].concat();
    millstream_on(endpoints(), &arguments, "").await
}

/// The journey, once it stands so.
async fn journey(arguments: &[&str], state: &str) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    until(&format!("{arguments:?} {state}"), async || {
        let ran = follow(&arguments).await;
        (!ran.stdout.is_empty())
            .then(|| ran.json())
            .filter(|journey| journey["state"] == state)
    })
    .await
}

fn nodes(journey: &Value) -> &Vec<Value> {
    journey["nodes"].as_array().unwrap()
}

/// The only node with these values.
fn node<'j>(journey: &'j Value, wanted: &Value) -> &'j Value {
    let wanted = wanted.as_object().unwrap();
    let fits = |node: &&Value| wanted.iter().all(|(name, value)| node[name] == *value);
    let found: Vec<&Value> = nodes(journey).iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{wanted:?} in {journey:#}");
    found[0]
}

fn parent<'j>(journey: &'j Value, node: &Value) -> &'j Value {
    let parent = usize::try_from(node["parent"].as_u64().unwrap()).unwrap();
    &nodes(journey)[parent]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_failed_shows_which_step_and_what_was_undone() {
    let (client, trip) = (client().await, unique("trip"));
    let mut command: BookTrip = serde_json::from_str(BookTrip::schema().example).unwrap();
    command.payment.card_number = "4111000000000002".into();
    let meta = client.meta();
    let sent = client.send::<TripBookings>(&trip, command, Some(&meta));
    sent.await.unwrap();
    let result = client.result_of(&meta, LIMIT).await.unwrap();
    result.event::<TripRejected>().unwrap();

    let journey = journey(&[&meta.id], "done").await;
    let root = node(
        &journey,
        &json!({ "kind": "command", "topic": "trip-bookings" }),
    );
    assert_eq!(
        (&root["key"], &root["depth"], &root["after_ms"]),
        (&json!(trip), &json!(0), &json!(0))
    );
    let refused = node(
        &journey,
        &json!({ "kind": "reply", "code": "card-declined" }),
    );
    assert_eq!(parent(&journey, refused)["type"], ChargeCard::FULL_NAME);
    assert_eq!(refused["key"], Value::Null, "who knows it can answer");
    let rejected = node(
        &journey,
        &json!({ "kind": "result", "type": TripRejected::FULL_NAME }),
    );
    assert_eq!(parent(&journey, rejected), root);
    for undone in ["RefundCharge", "CancelCar", "CancelFlight"] {
        let name = |it: &&Value| {
            it["type"]
                .as_str()
                .is_some_and(|name| name.ends_with(undone))
        };
        assert!(nodes(&journey).iter().any(|it| name(&it)), "{undone}");
    }
    assert!(journey["searched"]["records"].as_u64().unwrap() > 0);

    // By any of its events, and by its key.
    let step = refused["id"].as_str().unwrap();
    for arguments in [&[step][..], &["--topic", "trip-bookings", "--key", &trip]] {
        let ran = follow(arguments).await;
        assert_eq!(ran.status, 0, "{ran:?}");
        for part in [
            "BookTrip command trip-bookings/",
            "card-declined",
            "TripRejected",
            "searched ",
        ] {
            assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("4111000000000002"));
    }
    let all = follow(&[&meta.id, "--all"]).await.stdout;
    assert!(
        all.contains("passenger_name") && !all.contains("4111000000000002"),
        "{all}"
    );
    // The `reply_key` of its steps begins with the invocation that waits.
    assert!(all.contains("***") && !all.contains("inv_1"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_shows_its_dead_letter_and_what_became_of_it() {
    let bench = Bench::new(endpoints()).await;
    let topic = ProductReservations::DECLARATION.name;
    let key = format!("{}\u{1b}[2J", unique("poison"));
    let (partition, offset) = bench.send(topic, Some(&key), Some(b"no event")).await;
    let place = format!("{topic}/{partition}/{offset}");
    let failed = journey(&[&place], "failed").await;
    let letter = node(
        &failed,
        &json!({ "kind": "dead-letter", "dead_letter": place }),
    );
    assert!(!letter["message"].as_str().unwrap().is_empty());
    let original = parent(&failed, letter);
    assert_eq!(original["id"], json!(place));
    assert_ne!(original["kind"], "missing");
    assert_eq!(
        (&original["topic"], &original["offset"]),
        (&json!(topic), &json!(offset))
    );
    let shown = follow(&[&place]).await.stdout;
    assert!(
        shown.contains("dead letter: ") && !shown.contains('\u{1b}'),
        "{shown}"
    );

    let name = unique("test");
    let discard = ["dlq", "discard", &place, "--prefix", &name];
    let ran = millstream_on(endpoints(), &discard, "").await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let done = journey(
        &["--topic", letter["topic"].as_str().unwrap(), "--key", &key],
        "done",
    )
    .await;
    node(
        &done,
        &json!({ "kind": "dead-letter", "marked": "DISCARDED" }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_behind_a_stuck_one_of_its_key_shows_which_and_goes_on_with_it() {
    let (client, machine) = (client().await, unique("stuck"));
    let (first, second) = (client.meta(), client.meta());
    let sent = client.send::<MachineCommands>(&machine, SetUp {}, Some(&first));
    sent.await.unwrap();
    let id = pause(&machine).await;
    let sent = client.send::<MachineCommands>(&machine, TearDown {}, Some(&second));
    sent.await.unwrap();
    let paused = journey(&[&first.id], "stuck").await;
    let wait = &node(&paused, &json!({ "kind": "command" }))["waits"][0];
    assert_eq!(
        (&wait["status"], &wait["invocation"]),
        (&json!("paused"), &json!(id))
    );

    let stuck = journey(&[&second.id], "stuck").await;
    let wait = &node(&stuck, &json!({ "kind": "command" }))["waits"][0];
    assert_eq!(wait["target"], format!("MachineOperator/{machine}/onEvent"));
    assert_eq!(
        (&wait["status"], &wait["ahead"]),
        (&json!("pending"), &json!(1))
    );
    assert_eq!(wait["behind"]["invocation"], json!(id));
    let shown = follow(&[&second.id]).await.stdout;
    assert!(
        shown.contains(&format!("restate invocations resume {id}")),
        "{shown}"
    );

    let watching = tokio::spawn(async move {
        let ran = follow(&[&second.id, "--watch", "--json"]).await;
        (ran, second)
    });
    assert!(resume(&id).await);
    let (watched, second) = watching.await.unwrap();
    let states: Vec<Value> = watched
        .json_lines()
        .iter()
        .map(|it| it["state"].clone())
        .collect();
    assert_eq!(states.last(), Some(&json!("done")), "{states:?}");
    let result = client.result_of(&second, LIMIT).await.unwrap();
    result.event::<MachineState>().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_is_not_due_is_shown_with_its_time() {
    let (client, payment) = (client().await, unique("payment"));
    let meta = client.meta();
    let sent = client.send::<Payments>(&payment, CancelPayment {}, Some(&meta));
    sent.await.unwrap();
    client.result_of(&meta, LIMIT).await.unwrap();
    let journey = journey(&[&meta.id], "waiting").await;
    let timer = node(&journey, &json!({ "kind": "timer" }));
    assert_eq!(
        (&timer["topic"], &timer["key"], &timer["timer"]),
        (&json!("payments"), &json!(payment), &json!("expiry"))
    );
    let now = jiff::Timestamp::now().as_millisecond();
    assert!(timer["due"].as_i64().unwrap() > now);
    assert_eq!(parent(&journey, timer)["id"], json!(meta.id));
    let shown = follow(&[&meta.id]).await.stdout;
    assert!(
        shown.contains("timer (expiry): ExpirePayment to payments due in "),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_the_gateway_is_found_by_the_id_that_it_answered() {
    let (http, product) = (gateway::shared(), unique("product"));
    let request = http
        .reserve(&product, "r1")
        .header("prefer", "respond-async");
    let accepted = gateway::got(request).await.expect(202);
    let (id, event) = (&accepted.body["request"], &accepted.body["event"]["id"]);
    let journey = journey(&[id.as_str().unwrap()], "done").await;
    assert_eq!(node(&journey, &json!({ "kind": "command" }))["id"], *event);
    assert_eq!(
        parent(&journey, node(&journey, &json!({ "kind": "result" })))["id"],
        *event
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_headers_is_found_by_its_meta() {
    let bench = Bench::new(endpoints()).await;
    let (product, meta) = (unique("plain"), bench.client.meta());
    let command = ReserveProduct {
        reservation_id: "r".into(),
    };
    let value = bench.value(&command, Some(&meta)).await;
    let raw = Raw {
        topic: ProductReservations::DECLARATION.name,
        key: &product,
        value: &value,
        timestamp: None,
        partition: None,
    };
    raw.send(endpoints()).await;
    let journey = journey(&[&meta.id], "done").await;
    let command = node(
        &journey,
        &json!({ "kind": "command", "type": ReserveProduct::FULL_NAME }),
    );
    assert_eq!(command["id"], json!(meta.id));
    assert_eq!(
        parent(&journey, node(&journey, &json!({ "kind": "result" }))),
        command
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_meta_is_found_by_its_place_and_by_its_key() {
    let bench = Bench::new(endpoints()).await;
    let (topic, product) = (ProductReservations::DECLARATION.name, unique("bare"));
    let command = ReserveProduct {
        reservation_id: "r".into(),
    };
    let value = bench.value(&command, None).await;
    let (partition, offset) = bench.send(topic, Some(&product), Some(&value)).await;
    let place = format!("{topic}/{partition}/{offset}");
    for arguments in [
        &[place.as_str()][..],
        &["--topic", topic, "--key", &product],
    ] {
        let journey = journey(arguments, "done").await;
        let command = node(
            &journey,
            &json!({ "kind": "command", "type": ReserveProduct::FULL_NAME }),
        );
        assert_eq!(
            (&command["id"], &command["offset"], &command["key"]),
            (&json!(place), &json!(offset), &json!(product))
        );
        assert_eq!(
            parent(&journey, node(&journey, &json!({ "kind": "result" }))),
            command
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_found_is_told_with_where_it_was_looked_for() {
    let nothing = follow(&[&unique("nothing")]).await;
    assert_eq!(nothing.status, 1);
    for part in ["nothing found", "searched ", "partitions", "--since"] {
        assert!(nothing.stdout.contains(part), "{part}: {}", nothing.stdout);
    }
    let unknown = follow(&["--topic", "trip-booking", "--key", "k"]).await;
    assert_eq!(unknown.status, 1);
    let said = "there is no topic trip-booking among those that are declared here";
    assert!(
        unknown.stderr.contains(said) && unknown.stderr.contains("trip-bookings"),
        "{unknown:?}"
    );
    assert_eq!(follow(&["id", "--since", "yesterday"]).await.status, 1);
    assert_eq!(follow(&["--topic", "trip-bookings"]).await.status, 2);
}
