//! Compiles what the code generator makes of a catalogue outside the workspace, and checks that
//! values of its types are encoded as Avro says.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Read;

use apache_avro::{
    from_value, reader::datum::GenericDatumReader, types::Value, writer::datum::GenericDatumWriter,
};
use millstream_events::{
    self as library, Bytes, Cleanup, Decode, Event, EventMeta, EventSet, Identity, Lane, Subjects,
    Tombstones, Topic, Visit,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use serde::Serialize;

mod generated {
    //! As a crate outside the workspace has it.
    include!("../../codegen/tests/good/expected.rs");
}

use generated::{
    Answers, Currency, EVENTS, Money, OrderCounts, OrderEvents, Orders, OrdersEvent, OrdersResult,
    OrdersResults, OrdersResultsEvent, TOPICS,
};
use generated::{
    order_counts::OrderCounted,
    order_events::OrderShipped,
    orders::{CancelOrder, Line, Mode, OrderPlaced, OrderRefused, PlaceOrder},
};

/// The whole record, as a writer who knows nothing of bodies has it.
#[derive(Serialize)]
struct Whole<'a, E> {
    #[serde(flatten)]
    body: &'a E,
    meta: &'a Option<EventMeta>,
}

fn encode<T: Serialize>(schema: &apache_avro::Schema, value: &T) -> Vec<u8> {
    GenericDatumWriter::builder(schema)
        .build()
        .unwrap()
        .write_ser_to_vec(value)
        .unwrap()
}

/// Encodes body and meta apart, and compares with the whole; reads them back in every way.
fn round_trip<E: Event + PartialEq>(body: &E, meta: &Option<EventMeta>) {
    let schema = E::schema();
    let mut bytes = encode(&schema.body, body);
    bytes.extend(encode(EventMeta::field_schema(), meta));
    assert_eq!(
        bytes,
        encode(&schema.full, &Whole { body, meta }),
        "joined and whole differ"
    );

    let mut reader = bytes.as_slice();
    let bodies = GenericDatumReader::builder(&schema.body).build().unwrap();
    assert_eq!(
        bodies.read_deser::<E>(&mut reader).unwrap(),
        *body,
        "fast reading of the body"
    );
    let metas = GenericDatumReader::builder(EventMeta::field_schema())
        .build()
        .unwrap();
    assert_eq!(
        metas.read_deser::<Option<EventMeta>>(&mut reader).unwrap(),
        *meta
    );
    assert_eq!(reader.bytes().count(), 0, "all is read");

    let whole = GenericDatumReader::builder(&schema.full)
        .reader_schema(&schema.full)
        .build()
        .unwrap();
    let value = whole.read_value(&mut bytes.as_slice()).unwrap();
    assert_eq!(
        from_value::<E>(&value).unwrap(),
        *body,
        "reading with resolution"
    );
    let Value::Record(mut fields) = value else {
        panic!("not a record")
    };
    let (name, last) = fields.pop().unwrap();
    assert_eq!(name, "meta");
    assert_eq!(from_value::<Option<EventMeta>>(&last).unwrap(), *meta);

    let json = serde_json::to_string(body).unwrap();
    assert_eq!(serde_json::from_str::<E>(&json).unwrap(), *body, "{json}");
}

fn money() -> impl Strategy<Value = Money> {
    let currency = prop_oneof![Just(Currency::Eur), Just(Currency::Usd)];
    (any::<i64>(), currency).prop_map(|(cents, currency)| Money { cents, currency })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::AtLeastOnce),
        Just(Mode::Conditional),
        Just(Mode::TwoPhase)
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..9).prop_map(Bytes)
}

fn line() -> impl Strategy<Value = Line> {
    (any::<String>(), option::of(money())).prop_map(|(item, price)| Line { item, price })
}

prop_compose! {
    fn place_order()(
        (customer_id, r#type, amount_cents, gift, time, day) in any::<(String, i32, i64, bool, i64, i32)>(),
        (weight, volume) in (-1e9f32..1e9, -1e9f64..1e9),
        (label, pages, seal) in (bytes(), vec(bytes(), 0..3), option::of(bytes())),
        (mode, fallback) in (mode(), option::of(mode())),
        (price, lines) in (money(), vec(line(), 0..4)),
        labels in btree_map(any::<String>(), any::<String>(), 0..4),
        blobs in btree_map(any::<String>(), option::of(bytes()), 0..4),
        (note, due) in any::<(Option<String>, Option<i64>)>(),
    ) -> PlaceOrder {
        PlaceOrder {
            customer_id, r#type, amount_cents, gift, weight, volume, label, pages, time, day, mode,
            fallback, price, lines, labels, blobs, note, seal, due,
        }
    }
}

prop_compose! {
    fn meta()(
        (id, source, time, correlation_id) in any::<(String, String, i64, String)>(),
        (causation_id, reply_to, proof, traceparent) in any::<(Option<String>, Option<String>, Option<String>, Option<String>)>(),
        (seq, not_before, expires_at) in any::<(Option<i64>, Option<i64>, Option<i64>)>(),
    ) -> EventMeta {
        EventMeta {
            id, source, time, correlation_id, causation_id, reply_to, proof, traceparent, seq,
            not_before, expires_at, ..EventMeta::default()
        }
    }
}

proptest! {
    #[test]
    fn body_and_meta_apart_are_the_whole(order in place_order(), meta in option::of(meta())) {
        round_trip(&order, &meta);
    }

    #[test]
    fn so_they_are_without_fields(meta in option::of(meta())) {
        round_trip(&CancelOrder {}, &meta);
    }

    #[test]
    fn so_they_are_with_a_shared_record(total in option::of(money()), meta in option::of(meta())) {
        round_trip(&OrderPlaced { total }, &meta);
    }

    #[test]
    fn so_they_are_for_the_library(code: String, message: String, meta in option::of(meta())) {
        round_trip(&library::RequestFailed { code, message }, &meta);
    }
}

#[test]
fn examples_decode() {
    struct Example(&'static str);
    impl Decode for Example {
        type Error = serde_json::Error;
        fn decode<E: Event>(self) -> Result<E, Self::Error> {
            serde_json::from_str(self.0)
        }
    }
    struct Name;
    impl Visit for Name {
        type Output = &'static str;
        fn event<E: Event>(self, _: &E) -> &'static str {
            E::FULL_NAME
        }
    }
    for schema in EVENTS.iter().map(|schema| schema()) {
        let name = schema.full_name;
        let event = OrdersEvent::decode(name, Example(schema.example));
        let result = OrdersResult::decode(name, Example(schema.example));
        let shipped = OrderShipped::decode(name, Example(schema.example));
        let counted = OrderCounted::decode(name, Example(schema.example));
        let visited = [
            event.map(|event| event.unwrap().visit(Name)),
            result.map(|result| result.unwrap().visit(Name)),
            shipped.map(|shipped| shipped.unwrap().visit(Name)),
            counted.map(|counted| counted.unwrap().visit(Name)),
        ];
        let visited: Vec<_> = visited.into_iter().flatten().collect();
        assert_eq!(
            visited,
            [Some(name)],
            "{name} belongs to exactly one of the sets"
        );
    }
    assert!(<() as EventSet>::decode("acme.orders.PlaceOrder", Example("{}")).is_none());
}

#[test]
fn sets_are_made_from_their_events() {
    assert_eq!(
        OrdersEvent::from(CancelOrder {}),
        OrdersEvent::CancelOrder(CancelOrder {})
    );
    let refused = OrderRefused::default();
    assert_eq!(
        OrdersResult::from(refused.clone()),
        OrdersResult::OrderRefused(refused)
    );
}

#[test]
fn declarations_say_what_the_files_say() {
    let names: Vec<_> = TOPICS.iter().map(|topic| topic.name).collect();
    assert_eq!(
        names,
        [
            "answers",
            "dlq-status",
            "order-counts",
            "order-events",
            "orders",
            "replies",
            "timers",
            "orders-results",
            "order-meter-work",
            "order-meter-state",
            "orders-results-once-work",
            "orders-results-once-state"
        ],
        "those of the library and of services in the batch lane are among them"
    );
    let [.., work, states, once_work, once_states] = TOPICS else {
        panic!("{names:?}");
    };
    assert_eq!(OrderCounts::DECLARATION.lane, Lane::Batch);
    assert_eq!((work.lane, work.partitions), (Lane::Event, 4));
    let to = work.subscriptions[0];
    assert_eq!((to.service, to.handler), ("OrderMeter", "work"));
    assert_eq!(work.events[0].full_name, "millstream.WorkDue");
    assert_eq!((states.partitions, states.subscriptions), (4, &[][..]));
    assert!(states.is_of_states() && !work.is_of_states());
    assert_eq!((once_work.partitions, once_work.generation), (2, 3));
    assert_eq!(once_work.subscriptions[0].service, "OrdersResultsOnce");
    assert!(once_states.is_of_states() && !once_work.is_of_states());
    let leased: Vec<_> = TOPICS.iter().flat_map(|topic| topic.leased()).collect();
    let leased: Vec<_> = leased
        .iter()
        .map(|(topic, to)| (&topic[..], to.service))
        .collect();
    assert_eq!(
        leased,
        [
            ("order-counts", "OrderMeter"),
            ("orders-results", "OrdersResultsOnce")
        ]
    );

    let orders = Orders::DECLARATION;
    assert_eq!(
        (orders.partitions, orders.replication, orders.retention_ms),
        (4, Some(3), 43_200_000)
    );
    assert_eq!(
        (
            orders.generation,
            orders.input_window,
            orders.idempotency_window
        ),
        (2, 128, 16)
    );
    assert_eq!(
        (orders.idempotency_bytes, orders.state_limit),
        (65_536, 1_048_576)
    );
    assert!(orders.guard && orders.dead_letters && !orders.replies);
    assert_eq!(
        (orders.guard_key_field, orders.subscribed_topic().as_str()),
        (Some("order_id"), "orders-guarded")
    );
    assert_eq!(
        (orders.subjects, orders.identity),
        (Subjects::TopicRecord, Identity::Required)
    );
    let topics = [OrderEvents::DECLARATION, orders, Answers::DECLARATION];
    assert_eq!(
        topics.map(|topic| topic.tombstones),
        [Tombstones::Skip, Tombstones::Skip, Tombstones::DeadLetter],
        "a compacted topic's are passed over, and others' where their file says so"
    );
    assert_eq!(orders.subscriptions[1].handler, "onOrder");
    let place = orders.event("acme.orders.PlaceOrder").unwrap();
    assert!(place.is_command());
    assert!(std::ptr::eq((place.schema)(), PlaceOrder::schema()));
    let results = orders.results.as_ref().unwrap();
    assert_eq!(
        (results.name, results.partitions, results.retention_ms),
        ("orders-results", 2, -1)
    );
    let once = results.once.unwrap();
    assert_eq!(
        (once.name, once.service, once.marks_ms, once.generation),
        ("orders-results-once", "OrdersResultsOnce", 2_592_000_000, 3)
    );
    let kinds: Vec<_> = results
        .schemas
        .iter()
        .map(|schema| schema().full_name)
        .collect();
    assert_eq!(
        kinds,
        [
            "acme.orders.OrderPlaced",
            "acme.orders.OrderRefused",
            "millstream.RequestFailed"
        ]
    );
    let route = &orders.http[1];
    assert_eq!(
        (route.method, route.path),
        ("POST", "/orders/{order}/{customer}")
    );
    assert_eq!(
        route.fields,
        [("customerId", "{customer}"), ("lines", "$body")]
    );
    assert!(
        route
            .constants
            .contains(&("price", r#"{"cents":1,"currency":"EUR"}"#))
    );

    let facts = OrderEvents::DECLARATION;
    assert_eq!(
        (facts.cleanup, facts.retention_ms, facts.partitions),
        (Cleanup::Compact, -1, 8)
    );
    assert!(facts.results.is_none() && facts.dead_letters && !facts.events[0].is_command());
    assert!(Answers::DECLARATION.replies && Answers::DECLARATION.events.is_empty());
    assert!(!Answers::DECLARATION.dead_letters);
}

#[test]
fn results_that_somebody_handles_are_facts_of_a_topic_of_their_own() {
    let results = OrdersResults::DECLARATION;
    let of = Orders::DECLARATION.results.as_ref().unwrap();
    assert_eq!(
        (results.name, results.partitions, results.retention_ms),
        (of.name, of.partitions, of.retention_ms)
    );
    assert_eq!((results.file(), results.is_of_results()), ("orders", true));
    assert_eq!(Orders::DECLARATION.file(), "orders");
    assert_eq!(results.subjects, Subjects::TopicRecord);
    let handlers = results.subscriptions.iter();
    let handlers: Vec<_> = handlers.map(|to| (to.service, to.handler)).collect();
    assert_eq!(handlers, [("Audit", "onResult")]);
    let kinds: Vec<_> = results.events.iter().map(|it| it.full_name).collect();
    let declared: Vec<_> = of.schemas.iter().map(|it| it().full_name).collect();
    assert_eq!(kinds, declared);
    assert!(!results.events.iter().any(|event| event.is_command()));
    assert!(results.results.is_none() && results.http.is_empty() && !results.guard);
    assert_eq!(results.dead_letter_topic(), "orders-results-dlq");
    assert_eq!(results.identity, Identity::None);
    assert!(TOPICS.iter().any(|topic| topic.name == results.name));
    // Nobody handles those of the other topics.
    assert!(!TOPICS.iter().any(|it| it.name == "order-events-results"));
    let _ = OrdersResultsEvent::RequestFailed(library::RequestFailed {
        code: "c".into(),
        message: "m".into(),
    });
}
