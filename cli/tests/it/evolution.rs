//! Producers with other versions of a schema, and with schemas that know nothing of `meta`.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use millstream_pipeline::events::Event;
use millstream_pipeline::kafka::publisher::Record;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use serde_json::json;

use crate::support::{LIMIT, client, endpoints, unique};

/// The schema of `ReserveProduct` with other fields.
fn schema(fields: serde_json::Value) -> String {
    json!({
        "type": "record",
        "name": "ReserveProduct",
        "namespace": "millstream.product_reservations",
        "fields": fields,
    })
    .to_string()
}

/// Registers the schema under a subject of its own; its id.
async fn register(schema: &str) -> u32 {
    register_as(&unique("evolution"), schema, &[]).await
}

/// The same for a schema that refers to version 1 of these subjects.
async fn register_as(subject: &str, schema: &str, references: &[&str]) -> u32 {
    let references: Vec<_> = references
        .iter()
        .map(|it| json!({ "name": it, "subject": it, "version": 1 }))
        .collect();
    let url = format!(
        "{}/subjects/{subject}/versions",
        endpoints().schema_registry
    );
    let request = millstream_pipeline::http::client()
        .post(url)
        .json(&json!({ "schema": schema, "references": references }));
    let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    u32::try_from(answer["id"].as_u64().unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

/// Sends a value written with `schema`; whether the product was reserved.
async fn reserve(schema: &str, fields: Vec<(String, Value)>) -> bool {
    let id = register(schema).await;
    let parsed = Schema::parse_str(schema).unwrap();
    let writer = GenericDatumWriter::builder(&parsed).build().unwrap();
    let body = writer.write_value_to_vec(Value::Record(fields)).unwrap();
    reserve_by(id, &body).await
}

/// Sends a body written with the schema of this id; whether the product was reserved.
async fn reserve_by(id: u32, body: &[u8]) -> bool {
    let client = client().await;
    let product = unique("product");
    let record = Record {
        topic: "product-reservations".into(),
        key: Some(product.clone().into_bytes()),
        value: Some([&[0][..], &id.to_be_bytes(), body].concat()),
        headers: vec![],
    };
    client.send_raw(&record).await.unwrap();
    let seen = client
        .wait_for("the answer", LIMIT, |seen| {
            seen.key.as_ref() == Some(&product)
        })
        .await
        .unwrap();
    let answer: ProductReserved = seen.event().unwrap();
    assert_eq!(answer.reservation_id, "r1");
    answer.reserved
}

fn text(name: &str, value: &str) -> (String, Value) {
    (name.into(), Value::String(value.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_without_meta_is_understood() {
    let plain = schema(json!([{ "name": "reservation_id", "type": "string" }]));
    assert!(reserve(&plain, vec![text("reservation_id", "r1")]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_understood() {
    let ours: serde_json::Value = serde_json::from_str(ReserveProduct::schema().json).unwrap();
    let meta = ours["fields"].as_array().unwrap().last().unwrap();
    let newer = schema(json!([
        { "name": "priority", "type": "int", "default": 0 },
        { "name": "reservation_id", "type": "string" },
        { "name": "note", "type": ["null", "string"], "default": null },
        meta,
    ]));
    let null = || Value::Union(0, Box::new(Value::Null));
    let fields = vec![
        ("priority".into(), Value::Int(7)),
        text("reservation_id", "r1"),
        (
            "note".into(),
            Value::Union(1, Box::new(Value::String("soon".into()))),
        ),
        ("meta".into(), null()),
    ];
    assert!(reserve(&newer, fields).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_with_an_older_meta_is_understood() {
    let older = schema(json!([
        { "name": "reservation_id", "type": "string" },
        { "name": "meta", "default": null, "type": ["null", {
            "type": "record",
            "name": "EventMeta",
            "namespace": "millstream",
            "fields": [
                { "name": "id", "type": "string" },
                { "name": "source", "type": "string" },
                { "name": "time", "type": { "type": "long", "logicalType": "timestamp-micros" } },
                { "name": "correlation_id", "type": "string" },
            ],
        }] },
    ]));
    let meta = Value::Record(vec![
        text("id", &unique("id")),
        text("source", "old"),
        ("time".into(), Value::TimestampMicros(1)),
        text("correlation_id", "c"),
    ]);
    let fields = vec![
        text("reservation_id", "r1"),
        ("meta".into(), Value::Union(1, Box::new(meta))),
    ];
    assert!(reserve(&older, fields).await);
}

/// Confluent's own advice for several types in one topic: a union of types that stand in subjects of
/// their own. Its branch refers to `EventMeta` in another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_union_of_schemas_that_are_registered_elsewhere_is_understood() {
    let mut ours: serde_json::Value = serde_json::from_str(ReserveProduct::schema().json).unwrap();
    let meta = ours["fields"][1]["type"][1].take();
    ours["fields"][1]["type"][1] = json!("millstream.EventMeta");
    let [of_meta, of_ours, of_other] = ["meta", "ours", "other"].map(unique);
    register_as(&of_meta, &meta.to_string(), &[]).await;
    let id = register_as(&of_ours, &ours.to_string(), &[&of_meta]).await;
    // The body of `ReserveProduct { reservation_id: "r1" }` with `meta` null.
    let body = [4, b'r', b'1', 0];
    assert!(reserve_by(id, &body).await);

    let other = json!({ "type": "record", "name": "acme.Other", "fields": [] });
    register_as(&of_other, &other.to_string(), &[]).await;
    let union = json!(["acme.Other", ReserveProduct::FULL_NAME]);
    let id = register_as(
        &unique("evolution"),
        &union.to_string(),
        &[&of_other, &of_ours],
    )
    .await;
    assert!(reserve_by(id, &[&[2], &body[..]].concat()).await);
}
