use millstream_events::{Event, EventMeta};
use millstream_schemas::product_reservations::ReserveProduct;
use serde_json::{Value, json};

use super::*;
use crate::codec::{Payload, SchemaText, join};

fn ours() -> Value {
    serde_json::from_str(ReserveProduct::schema().json).unwrap()
}

fn event() -> (ReserveProduct, EventMeta) {
    let event = ReserveProduct {
        reservation_id: "r1".into(),
    };
    let meta = EventMeta {
        id: "id".into(),
        time: 1_700_000_000_000_000,
        ..EventMeta::default()
    };
    (event, meta)
}

/// A body of ours, with `meta`.
fn body() -> Vec<u8> {
    let (event, meta) = event();
    let body = ReserveProduct::schema().body_writer();
    let value = join(1, &body.write_ser_to_vec(&event).unwrap(), Some(&meta));
    value[crate::record::wire::HEADER_LENGTH..].to_vec()
}

/// What comes of a body that was written with `writer`.
fn decoded(writer: &WriterSchema, body: &[u8]) -> Result<(ReserveProduct, EventMeta), Failure> {
    let parts = Payload::new(writer, body)?.decode::<ReserveProduct>()?;
    Ok((parts.event, parts.meta.unwrap_or_default()))
}

#[test]
fn a_branch_of_a_union_is_as_if_it_had_come_alone() {
    let other = json!({"type": "record", "name": "acme.Other", "fields": [
        {"name": "meta", "type": ours()["fields"][1]["type"]}]});
    let mut without_types = ours();
    // Its `meta` is what the branch before it defines.
    without_types["fields"][1]["type"] = json!(["null", "millstream.EventMeta"]);
    let union = json!(["string", other, without_types]).to_string();
    let writer = WriterSchema::parse(7, &union).unwrap();
    let names: Vec<_> = writer.full_names().collect();
    assert_eq!(names, ["acme.Other", ReserveProduct::FULL_NAME]);

    let alone = WriterSchema::parse(7, ReserveProduct::schema().json).unwrap();
    let plain = body();
    let value = [&[4][..], &plain].concat();
    assert_eq!(decoded(&writer, &value).unwrap(), event());
    let payload = Payload::new(&writer, &value).unwrap();
    assert!(
        writer
            .record(&value)
            .unwrap()
            .0
            .is_ours(ReserveProduct::schema())
    );
    let same = Payload::new(&alone, &plain).unwrap();
    assert_eq!(payload.full_name(), same.full_name());
    assert_eq!(payload.body_digest().unwrap(), same.body_digest().unwrap());
    assert_eq!(payload.before_meta(), same.before_meta());
    assert_eq!(payload.meta_alone(), Some(event().1));
    let length = same.before_meta().unwrap();
    let place = payload.body_at(&value).unwrap();
    assert_eq!(value[place], plain[..length]);

    let refused = |body: &[u8]| Payload::new(&writer, body).unwrap_err().message;
    assert!(
        refused(&[0, 2, b'x']).contains("branch 0 of schema 7 cannot be used: it is not a record")
    );
    for index in [6, 1, 0x7f] {
        assert!(refused(&[index]).contains("no branch"), "{index}");
    }
    assert!(refused(&[]).contains("does not end"));
    assert!(refused(&[4, 1, 2, 3]).contains("does not fit schema 7"));
}

#[test]
fn types_of_other_schemas_are_known_also_those_of_ours() {
    let mut referring = ours();
    let meta = referring["fields"][1]["type"][1].take();
    referring["fields"][1]["type"][1] = "millstream.EventMeta".into();
    let text = |references: &[&Value]| SchemaText {
        text: referring.to_string(),
        references: references.iter().map(|it| it.to_string()).collect(),
    };
    let writer = WriterSchema::parse(1, text(&[&meta])).unwrap();
    assert_eq!(decoded(&writer, &body()).unwrap(), event());
    let record = writer.record(&[]).unwrap().0;
    assert!(record.is_ours(ReserveProduct::schema()), "the short way");
    let error = WriterSchema::parse(1, text(&[])).unwrap_err().message;
    assert!(
        error.contains("millstream.EventMeta is not defined"),
        "{error}"
    );
}

/// What a producer of another language says of texts and times.
#[test]
fn meta_is_read_whatever_logical_types_it_has() {
    let mut other = ours();
    let text = json!({"type": "string", "logicalType": "uuid"});
    other["fields"][0]["type"] = text.clone();
    let fields = other["fields"][1]["type"][1]["fields"]
        .as_array_mut()
        .unwrap();
    for field in &mut *fields {
        if field["type"] == "string" {
            field["type"] = text.clone();
        }
        if field["name"] == "time" {
            field["type"] = json!({"type": "long", "logicalType": "timestamp-nanos"});
        }
    }
    let writer = WriterSchema::parse(1, &other.to_string()).unwrap();
    let (event, meta) = event();
    let expected = EventMeta {
        time: meta.time / 1_000,
        ..meta
    };
    assert_eq!(decoded(&writer, &body()).unwrap(), (event, expected));
}

/// Text that is none: the sender is to be told.
#[test]
fn meta_is_read_also_where_the_body_cannot_be() {
    let union = json!(["null", ours()]).to_string();
    let alone = ReserveProduct::schema().json;
    for (schema, index) in [(alone, &[][..]), (&*union, &[2_u8][..])] {
        let writer = WriterSchema::parse(1, schema).unwrap();
        let mut body = body();
        assert_eq!(body[..3], *b"\x04r1");
        body[1] = 0xff;
        let body = [index, &body].concat();
        let payload = Payload::new(&writer, &body).unwrap();
        assert!(payload.generic().is_err());
        assert_eq!(payload.meta_alone(), Some(event().1));
    }
}

#[test]
fn a_schema_that_java_reads_leniently_is_read() {
    let mut lenient = ours();
    lenient["fields"][0]["default"] = json!(7);
    lenient["fields"].as_array_mut().unwrap().insert(
        0,
        json!({
        "name": "of-another", "default": {"no": "int"}, "type": {
            "type": "record", "name": "dbserver-1.inventory.Source", "fields": [
                {"name": "ts-ms", "type": "int", "default": "now"}]}}),
    );
    let writer = WriterSchema::parse(1, &lenient.to_string()).unwrap();
    let value = [&[14][..], &body()].concat();
    assert_eq!(decoded(&writer, &value).unwrap(), event());
    let payload = Payload::new(&writer, &value).unwrap();
    let (json, _) = payload.in_json().unwrap();
    assert_eq!(json["of-another"], json!({"ts-ms": 7}));
    assert_eq!(payload.full_name(), ReserveProduct::FULL_NAME);
}
