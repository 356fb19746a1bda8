//! Spans, received by a collector.

mod collector;

use std::collections::BTreeSet;

use millstream_devstack::Part;
use millstream_pipeline::events::Event;
use millstream_schemas::db_users::ReadUser;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_schemas::trip_bookings::BookTrip;
use millstream_topics::{DbUsers, ProductReservations};

use crate::support::{LIMIT, OwnStack, client_of, unique, until};
use collector::{Collector, Span};

const SERVER: i32 = 2;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// What a trip that is booked sends and handles, besides the request itself.
const TRIP: [(&str, i32, usize); 10] = [
    ("send trip-bookings", PRODUCER, 1),
    ("process trip-bookings", CONSUMER, 1),
    ("send flights", PRODUCER, 2),
    ("process flights", CONSUMER, 2),
    ("send car-rentals", PRODUCER, 2),
    ("process car-rentals", CONSUMER, 2),
    ("send charges", PRODUCER, 1),
    ("process charges", CONSUMER, 1),
    ("send replies", PRODUCER, 5),
    ("process replies", CONSUMER, 5),
];

/// One stack for all: from a request over every topic to the result is one trace, a tree without
/// holes; an event without a trace begins one; a failure is one in its span, too; a trace that its
/// beginner did not sample is not exported.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_to_the_result() {
    let collector = Collector::start().await;
    let parts = [Part::Handlers, Part::Gateway].map(|part| (part, collector.variables()));
    let stack = OwnStack::start(parts.into()).await;
    let is_ready = async || stack.gateway_is_ready().await.then_some(());
    until("a gateway that has found its topics", is_ready).await;

    from_a_request_to_its_result(&stack, &collector).await;
    an_event_without_a_trace_begins_one(&stack, &collector).await;
    what_is_not_sampled_is_not_exported(&stack, &collector).await;
}

async fn from_a_request_to_its_result(stack: &OwnStack, collector: &Collector) {
    let (trace, client) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let id = unique("trip");
    book(stack, &id, &format!("00-{trace}-{client}-01")).await;

    let expected: usize = TRIP.iter().map(|(_, _, count)| count).sum();
    let spans = until("all spans of the trip", async || {
        let spans = collector.trace(trace);
        let is_whole = spans.len() >= expected + 2 && spans.iter().any(|it| it.kind == SERVER);
        is_whole.then_some(spans)
    })
    .await;
    for (name, kind, count) in TRIP {
        let found: Vec<_> = spans.iter().filter(|it| it.name == name).collect();
        assert_eq!(found.len(), count, "{name}");
        assert!(found.iter().all(|it| it.kind == kind), "{name}");
    }
    let server = only(&spans, "POST /trips/{trip}");
    assert_eq!((server.kind, server.parent.as_str()), (SERVER, client));
    assert_eq!(server.service, "millstream-gateway");
    assert_eq!(server.attributes["http.response.status_code"], "200");

    // A tree: every parent is there.
    let ids: BTreeSet<_> = spans.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "each span once");
    for span in spans.iter().filter(|it| it.id != server.id) {
        assert!(ids.contains(span.parent.as_str()), "{span:?}");
        assert!(span.begun <= span.ended && !span.failed, "{span:?}");
    }
    let sent = only(&spans, "send trip-bookings");
    assert_eq!(sent.parent, server.id);
    let handled = only(&spans, "process trip-bookings");
    assert_eq!(handled.parent, sent.id);
    assert_eq!(handled.service, "millstream-handlers");
    assert_eq!(
        only(&spans, "send trip-bookings-results").parent,
        handled.id
    );
    for step in spans.iter().filter(|it| it.name == "send flights") {
        assert_eq!(step.parent, handled.id);
    }
    let about = &handled.attributes;
    assert_eq!(about["messaging.system"], "kafka");
    assert_eq!(about["messaging.destination.name"], "trip-bookings");
    assert_eq!(about["messaging.kafka.message.key"], id);
    assert_eq!(
        about["messaging.message.id"],
        sent.attributes["messaging.message.id"]
    );
    assert_eq!(
        about["messaging.consumer.group.name"],
        "millstream.trip-bookings.BookingWorkflow.onEvent"
    );
}

async fn an_event_without_a_trace_begins_one(stack: &OwnStack, collector: &Collector) {
    let client = client_of(&stack.endpoints()).await;
    let (product, user) = (unique("product"), unique("nobody"));
    let reservation_id = "reservation1".to_owned();
    let result = client
        .request::<ProductReservations>(&product, ReserveProduct { reservation_id }, LIMIT)
        .await
        .unwrap();
    let traceparent = result.meta.unwrap().traceparent.unwrap();
    let trace = traceparent.split('-').nth(1).unwrap();
    let spans = until("both spans of a reservation", async || {
        let spans = collector.trace(trace);
        (spans.len() == 2).then_some(spans)
    })
    .await;
    let handled = only(&spans, "process product-reservations");
    assert_eq!(handled.parent, "", "the trace begins here");
    let sent = only(&spans, "send product-reservations-results");
    assert_eq!(sent.parent, handled.id);
    assert!(traceparent.contains(&sent.id));

    client
        .request::<DbUsers>(&user, ReadUser {}, LIMIT)
        .await
        .unwrap();
    let failed = until("the span of a failure", async || {
        let is_it = |span: &Span| {
            let key = span.attributes.get("messaging.kafka.message.key");
            span.name == "process db-users" && key == Some(&user)
        };
        collector.spans(is_it).pop()
    })
    .await;
    assert!(failed.failed);
    assert_eq!(failed.attributes["error.type"], "unknown-user");
}

async fn what_is_not_sampled_is_not_exported(stack: &OwnStack, collector: &Collector) {
    let (left_out, after) = (
        "5bf92f3577b34da6a3ce929d0e0e4736",
        "6bf92f3577b34da6a3ce929d0e0e4736",
    );
    book(
        stack,
        &unique("trip"),
        &format!("00-{left_out}-00f067aa0ba902b7-00"),
    )
    .await;
    book(
        stack,
        &unique("trip"),
        &format!("00-{after}-00f067aa0ba902b7-01"),
    )
    .await;
    until("the spans of a later trip", async || {
        let spans = collector.trace(after);
        let is_answered = spans
            .iter()
            .any(|it| it.name == "send trip-bookings-results");
        is_answered.then_some(())
    })
    .await;
    assert!(collector.trace(left_out).is_empty());
}

/// Books a trip over HTTP, within the client's trace.
async fn book(stack: &OwnStack, trip_id: &str, traceparent: &str) {
    let gateway = stack.endpoints().gateway.unwrap();
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    let answer = http
        .post(format!("{gateway}/trips/{trip_id}"))
        .header("traceparent", traceparent)
        .header("prefer", "wait=60")
        .body(BookTrip::schema().example)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

/// The one span of this name.
fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|it| it.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} twice");
    span
}
