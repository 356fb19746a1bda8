//! Schemas, bodies and keys that are made to end a process or to hold up others.

use millstream_pipeline::events::Topic;
use millstream_pipeline::failure;
use millstream_pipeline::record::wire;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;
use serde_json::{Value, json};

use crate::support::command::millstream_on;
use crate::support::{Bench, LIMIT, endpoints, letter_code, unique};

const TOPIC: &str = ProductReservations::DECLARATION.name;

/// The id of `ReserveProduct` with a further field of this type, in place of `meta`.
pub async fn with_field(bench: &Bench, kind: Value) -> u32 {
    let field = json!({"name": "n", "type": kind});
    let change = |schema: &mut Value| {
        let fields = schema["fields"].as_array_mut().unwrap();
        fields.pop();
        fields.push(field);
    };
    bench
        .register::<ReserveProduct>(&unique("hostile"), change)
        .await
}

/// Four hundred levels in 408 bytes.
pub async fn deep(bench: &Bench) -> Vec<u8> {
    let list = json!(["null", {"type": "record", "name": "L",
        "fields": [{"name": "n", "type": ["null", "L"]}]}]);
    let id = with_field(bench, list).await;
    [&wire::header(id)[..], b"\x02r", &[2; 400], &[0]].concat()
}

/// Nine million nulls in less than 200 bytes.
async fn wide(bench: &Bench) -> Vec<u8> {
    let id = with_field(
        bench,
        json!({"type": "array",
        "items": {"type": "array", "items": "null"}}),
    )
    .await;
    // 290,000 in zigzag, and the end of the array.
    let inner = [0xa0, 0xb3, 0x23, 0];
    [&wire::header(id)[..], b"\x02r\x3c", &inner.repeat(30), &[0]].concat()
}

/// Sends the record; it becomes a dead letter with this code, and others are answered.
async fn is_kept(bench: &Bench, key: &str, value: &[u8], code: &str) -> String {
    let at = bench.send(TOPIC, Some(key), Some(value)).await;
    let reservation_id = "r".to_owned();
    let command = ReserveProduct { reservation_id };
    let other = unique("other");
    let answer = bench
        .client
        .request::<ProductReservations>(&other, command, LIMIT);
    assert!(
        answer
            .await
            .unwrap()
            .event::<ProductReserved>()
            .unwrap()
            .reserved
    );
    let letter = bench.dead_letter(TOPIC, at).await;
    assert_eq!(letter_code(&letter), code);
    assert_eq!(letter.raw_key.as_deref(), Some(key.as_bytes()));
    assert_eq!(letter.value.as_deref(), Some(value));
    // The reader of this process has read it, too; so does the one of `tail` and of `dlq`.
    assert!(letter.undecodable.is_some() || code != failure::UNDECODABLE);
    format!("{TOPIC}/{}/{}", at.0, at.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_nested_deeply_ends_nobody() {
    let bench = Bench::new(endpoints()).await;
    let (key, value) = (unique("product"), deep(&bench).await);
    let id = is_kept(&bench, &key, &value, failure::UNDECODABLE).await;
    let dlq = format!("{TOPIC}-dlq");
    let arguments = [
        "tail",
        &dlq,
        "--from-beginning",
        "--until-end",
        "--key",
        &key,
    ];
    let tail = millstream_on(endpoints(), &arguments, "").await;
    assert_eq!((tail.status, tail.json_lines().len()), (0, 1), "{tail:?}");
    let shown = millstream_on(endpoints(), &["dlq", "show", &id], "").await;
    assert!(
        shown.status == 0 && shown.stdout.contains("deeper"),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_value_with_millions_of_nulls_holds_up_nobody() {
    let bench = Bench::new(endpoints()).await;
    let value = wide(&bench).await;
    assert!(value.len() < 200);
    is_kept(&bench, &unique("product"), &value, failure::UNDECODABLE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_key_is_kept_as_a_dead_letter() {
    let bench = Bench::new(endpoints()).await;
    let reservation_id = "r".to_owned();
    let value = bench.value(&ReserveProduct { reservation_id }, None).await;
    for length in [1_100, 7_000, 200_000, 900_000] {
        let key = format!("{}{}", unique("product"), "k".repeat(length));
        is_kept(&bench, &key, &value, failure::INVALID_KEY).await;
    }
    let line = json!({"key": "k".repeat(7_000), "data": {"reservation_id": "r"}});
    let arguments = ["produce", TOPIC];
    let produced = millstream_on(endpoints(), &arguments, &line.to_string()).await;
    assert!(
        produced.status != 0 && produced.stderr.contains("1024"),
        "{produced:?}"
    );
}
