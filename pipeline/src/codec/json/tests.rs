use axum::routing::{get, post};
use axum::{Json, Router};
use millstream_events::Event;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::TOPICS;

use super::*;
use crate::codec::{Payload, WriterSchema};
use crate::failure;
use crate::record::wire;

const TOPIC: &str = "product-reservations";

/// A registry in which somebody else has registered a newer version of everything: without our
/// fields, and with a type of its own.
async fn registry() -> String {
    let foreign = r#"{"type":"record","name":"n.Foreign","fields":[
        {"name":"nope","type":["null","string"]},
        {"name":"n","type":"int","default":3},
        {"name":"meta","type":["null",{"type":"record","name":"M","fields":[{"name":"id","type":"string"}]}],"default":null}]}"#;
    let latest = move || async move {
        Json(json!({ "subject": "s", "version": 2, "id": 9, "schema": foreign }))
    };
    let router = Router::new()
        .route(
            "/subjects",
            get(|| async { Json(json!(["foreign-value"])) }),
        )
        .route(
            "/subjects/{subject}",
            post(|| async { Json(json!({ "subject": "s", "version": 1, "id": 7 })) }),
        )
        .route("/subjects/{subject}/versions/latest", get(latest));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

async fn encoded(topic: &str, line: Value) -> Result<Vec<u8>, Failure> {
    let mut encoder = JsonEncoder::new(&registry().await, topic, TOPICS).unwrap();
    match encoder.line(line, &Meta::From("me".into())).await {
        Ok(record) => Ok(record.value.unwrap()),
        Err(JsonError::Event(failure)) => Err(failure),
        Err(JsonError::Registry(error)) => panic!("{error}"),
    }
}

/// Nobody listens on port 1: what is wrong is said without asking.
async fn refusal(topic: &str, line: Value) -> String {
    let mut encoder = JsonEncoder::new("http://127.0.0.1:1", topic, TOPICS).unwrap();
    let error = encoder.line(line, &Meta::From("me".into())).await;
    match error.unwrap_err() {
        JsonError::Event(failure) => {
            assert_eq!(failure.code, failure::INVALID_REQUEST, "{failure}");
            failure.message
        }
        JsonError::Registry(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_declared_topic_is_written_with_the_declared_schema() {
    let line = json!({
        "key": "k",
        "data": { "reservation_id": "r1" },
        "meta": { "idempotency_key": "once", "time": null },
    });
    let value = encoded(TOPIC, line).await.unwrap();
    let (id, body) = wire::split(&value).unwrap();
    assert_eq!(id, 7, "and not that of the newest version");
    let writer = WriterSchema::parse(7, ReserveProduct::schema().json).unwrap();
    let parts = Payload::new(&writer, body)
        .unwrap()
        .decode::<ReserveProduct>();
    let parts = parts.unwrap();
    assert_eq!(parts.event.reservation_id, "r1");
    let meta = parts.meta.unwrap();
    assert_eq!(meta.idempotency_key.as_deref(), Some("once"));
    assert_eq!((meta.source.as_str(), meta.id), ("me", meta.correlation_id));
    assert!(meta.time > 0, "made up where null is given");

    let result = json!({
        "key": "k",
        "type": "ProductReserved",
        "data": { "reservation_id": "r1", "reserved": true },
    });
    let value = encoded("product-reservations-results", result)
        .await
        .unwrap();
    let writer = WriterSchema::parse(7, ProductReserved::schema().json).unwrap();
    let payload = Payload::new(&writer, wire::split(&value).unwrap().1).unwrap();
    assert!(payload.decode::<ProductReserved>().unwrap().event.reserved);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_line_is_named_at_once() {
    let line = json!({
        "key": 5,
        "type": "Deposit",
        "dta": {},
        "data": { "amount_cents": "much", "movment_id": "m1" },
        "meta": { "idempotncy_key": "m1", "principal": 1 },
        "partition": 3,
    });
    let message = refusal("accounts", line).await;
    for part in [
        "millstream.accounts.Deposit",
        "`key` must be a string",
        "`dta` is no member of a line",
        "`data.amount_cents` must be an integer of 64 bits",
        "`data.movment_id` is not a field",
        "`meta.idempotncy_key` is not a field",
        "`meta.principal` must be a string",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("partition"), "{message}");
    let nulls = json!({ "key": "", "data": { "reservation_id": "r1" }, "meta": { "sorce": null } });
    let message = refusal(TOPIC, nulls).await;
    assert!(message.contains("`meta.sorce` is not a field"), "{message}");
    assert!(message.contains("the key is empty"), "{message}");
    let untyped = json!({ "key": "k", "data": {}, "dat": {} });
    let message = refusal("accounts", untyped).await;
    assert!(
        message.contains("`dat` is no member") && message.contains("say a `type`"),
        "{message}"
    );
    let inner = json!({ "key": "k", "data": { "reservation_id": "r", "meta": {} } });
    let message = refusal(TOPIC, inner).await;
    assert!(message.contains("`data.meta` is not a field"), "{message}");
    assert!(
        refusal(TOPIC, json!([]))
            .await
            .contains("a line is a JSON object")
    );
}

#[tokio::test]
async fn a_topic_that_nobody_has_declared_is_written_with_the_newest_schema() {
    let line = json!({ "key": "k", "data": { "nope": "x" } });
    let value = encoded("foreign", line).await.unwrap();
    // Of what is made up, its `meta` has the id alone: a UUID.
    assert_eq!(value[..10], [0, 0, 0, 0, 9, 2, 2, b'x', 6, 2]);
    assert_eq!(value.len(), 11 + 36);
    let mut encoder = JsonEncoder::new(&registry().await, "foreign", TOPICS).unwrap();
    let line = json!({ "key": "k", "data": { "nope": "x" }, "meta": { "id": "i" } });
    let record = encoder.line(line, &Meta::Absent).await.unwrap();
    assert_eq!(
        record.value.unwrap(),
        [0, 0, 0, 0, 9, 2, 2, b'x', 6, 2, 2, b'i']
    );
    let line =
        json!({ "key": "k", "dta": 1, "data": { "nop": "x", "meta": {} }, "meta": { "ip": "i" } });
    let JsonError::Event(refused) = encoder.line(line, &Meta::Absent).await.unwrap_err() else {
        panic!("the registry answers")
    };
    for part in [
        "n.Foreign",
        "`dta` is no member",
        "`data.nop` is not a field",
        "`meta.ip` is not a field",
        "`meta.id` is missing",
        "`data.meta` stands beside `data`",
    ] {
        assert!(refused.message.contains(part), "{part}: {refused}");
    }
}
