//! Records that cannot be handled: each is kept as it came, says why, and holds up nobody.

use millstream_pipeline::events::Topic;
use millstream_pipeline::failure;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::wire;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_schemas::user_updates::UserUpdate;
use millstream_topics::ProductReservations;

use crate::support::{At, Bench, LIMIT, endpoints, letter_code, texts, unique};

const TOPIC: &str = ProductReservations::DECLARATION.name;
const HANDLER: &str = "ProductReservations/onEvent";
const GROUP: &str = "millstream.product-reservations.ProductReservations.onEvent";

fn reservation() -> ReserveProduct {
    ReserveProduct {
        reservation_id: "reservation1".into(),
    }
}

/// Sends the record, then a good event of the same key (of any key where it has none).
async fn is_kept(bench: &Bench, key: Option<&str>, value: Option<&[u8]>, code: &str) {
    // Not all of them text, one of them null, and one name twice.
    let own = vec![
        ("trace".into(), Some(b"first"[..].into())),
        ("trace".into(), Some(b"second"[..].into())),
        ("binary".into(), Some(vec![0xff, 0x00].into())),
        ("null".into(), None),
    ];
    let at = bench
        .send_with_headers(TOPIC, key, value, own.clone())
        .await;
    let next = key
        .filter(|key| !key.is_empty())
        .map_or_else(|| unique("other"), str::to_owned);
    let answer = bench
        .client
        .request::<ProductReservations>(&next, reservation(), LIMIT)
        .await
        .unwrap();
    assert!(answer.event::<ProductReserved>().unwrap().reserved);

    let letter = bench.dead_letter(TOPIC, at).await;
    assert_eq!(letter.raw_key.as_deref(), key.map(str::as_bytes));
    assert_eq!(letter.value.as_deref(), value, "null stays null");
    assert_eq!(letter.raw_headers[..own.len()], own);
    says_why(&letter, at, code);

    // The dead letter is written before anything else comes of the record, and the good event's
    // answer is behind both.
    let position = format!("{TOPIC}/{}/{}", at.0, at.1);
    assert_eq!(bench.answers(&position).len(), 0, "nobody is answered");
    assert_eq!(bench.dead_letters(TOPIC, at).len(), 1);
}

/// Both families of headers say the same: text, and numbers in big-endian bytes.
fn says_why(letter: &Seen, (partition, offset): At, code: &str) {
    let header = |name: &str| {
        let mut found = letter.raw_headers.iter().filter(|(key, _)| key == name);
        let value = found.next().unwrap_or_else(|| panic!("no header {name}"));
        assert!(found.next().is_none(), "{name} is there once");
        value.1.as_deref().unwrap()
    };
    let text = |name: &str| std::str::from_utf8(header(name)).unwrap();
    assert_eq!(letter_code(letter), code);
    assert_eq!(text("__connect.errors.topic"), TOPIC);
    assert_eq!(text("__connect.errors.connector.name"), HANDLER);
    assert_eq!(
        text("__connect.errors.exception.message"),
        text("kafka_dlt-exception-message")
    );
    assert_eq!(text("kafka_dlt-exception-fqcn"), code);
    assert_eq!(text("kafka_dlt-original-topic"), TOPIC);
    assert_eq!(text("kafka_dlt-original-consumer-group"), GROUP);
    assert_eq!(
        header("kafka_dlt-original-partition"),
        partition.to_be_bytes()
    );
    assert_eq!(header("kafka_dlt-original-offset"), offset.to_be_bytes());
    let recorded = i64::from_be_bytes(header("kafka_dlt-original-timestamp").try_into().unwrap());
    assert!((0..60_000).contains(&(letter.timestamp - recorded)));
}

async fn value_is_kept(code: &str, value: impl AsyncFnOnce(&Bench) -> Option<Vec<u8>>) {
    let bench = Bench::new(endpoints()).await;
    let value = value(&bench).await;
    is_kept(&bench, Some(&unique("product")), value.as_deref(), code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_magic_byte() {
    value_is_kept(failure::UNDECODABLE, async |bench| {
        let mut value = bench.value(&reservation(), None).await;
        value[0] = 1;
        Some(value)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body() {
    value_is_kept(failure::UNDECODABLE, async |bench| {
        let mut value = bench.value(&reservation(), None).await;
        value.truncate(wire::HEADER_LENGTH + 4);
        Some(value)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_the_body() {
    value_is_kept(failure::UNDECODABLE, async |bench| {
        let mut value = bench.value(&reservation(), None).await;
        value.extend_from_slice(b"more");
        Some(value)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_too_short() {
    value_is_kept(failure::UNDECODABLE, async |_| Some(vec![0, 0, 1])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_value() {
    value_is_kept(failure::UNDECODABLE, async |_| Some(Vec::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_value() {
    value_is_kept(failure::UNDECODABLE, async |_| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_schema_id() {
    value_is_kept(failure::UNKNOWN_SCHEMA, async |_| {
        Some(texts(2_000_000_000, &["reservation1"], None))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_id_of_a_foreign_type() {
    value_is_kept(failure::UNKNOWN_TYPE, async |bench| {
        Some(bench.value(&UserUpdate::default(), None).await)
    })
    .await;
}

/// A schema that no producer of ours has: not a record at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_id_of_no_record() {
    value_is_kept(failure::UNDECODABLE, async |bench| {
        let id = bench
            .register::<ReserveProduct>(&unique("text"), |schema| *schema = "string".into())
            .await;
        Some(texts(id, &["reservation1"], None))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_key() {
    let bench = Bench::new(endpoints()).await;
    let value = bench.value(&reservation(), None).await;
    is_kept(&bench, Some(""), Some(&value), failure::INVALID_KEY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_key() {
    let bench = Bench::new(endpoints()).await;
    let value = bench.value(&reservation(), None).await;
    is_kept(&bench, None, Some(&value), failure::INVALID_KEY).await;
}

/// The largest record that a topic takes: with the reason it is larger than any other record may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_as_large_as_the_topic_takes() {
    value_is_kept(failure::UNDECODABLE, async |_| Some(vec![1; 1_048_300])).await;
}

/// Its own name is not what a type is known by: an unrelated subject and a newer schema are fine.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_compatible_schema_is_good_input() {
    let bench = Bench::new(endpoints()).await;
    let (key, meta) = (unique("product"), bench.client.meta());
    let id = bench
        .register::<ReserveProduct>(&unique("newer"), |schema| {
            let fields = schema["fields"].as_array_mut().unwrap();
            fields.insert(
                1,
                serde_json::json!({ "name": "note", "type": "string", "default": "" }),
            );
        })
        .await;
    let value = texts(id, &["reservation1", "by phone"], Some(&meta));
    bench.send(TOPIC, Some(&key), Some(&value)).await;
    let answer = bench.client.result_of(&meta, LIMIT).await.unwrap();
    assert!(answer.event::<ProductReserved>().unwrap().reserved);
}

/// Restate commits every few seconds, so all kinds are sent first and then waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_subscription_leaves_them_behind() {
    let bench = Bench::new(endpoints()).await;
    let good = bench.value(&reservation(), None).await;
    let foreign = bench.value(&UserUpdate::default(), None).await;
    let unknown = texts(2_000_000_000, &["reservation1"], None);
    let key = unique("product");
    let mut sent = Vec::new();
    for (key, value) in [
        (Some(key.as_str()), Some(&b"\x01garbage"[..])),
        (Some(&key), Some(&foreign)),
        (Some(&key), Some(&unknown)),
        (Some(&key), None),
        (Some(""), Some(&good)),
        (None, Some(&good)),
    ] {
        sent.push(bench.send(TOPIC, key, value).await);
    }
    for at in sent {
        bench.dead_letter(TOPIC, at).await;
        bench.no_lag::<ProductReservations>(at).await;
    }
}

/// Confluent's registry, and ours, answer a question for such an id with an error that is not
/// about schemas.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_no_registry_gives_is_unknown() {
    let bench = Bench::new(endpoints()).await;
    let value = texts(u32::MAX, &["reservation1"], None);
    let key = unique("product");
    is_kept(&bench, Some(&key), Some(&value), failure::UNKNOWN_SCHEMA).await;
}

/// A failure quotes the whole event here. Its dead letter must fit all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_of_another_shape_is_kept() {
    let bench = Bench::new(endpoints()).await;
    let id = bench
        .register::<ReserveProduct>(&unique("elsewhere"), |schema| {
            schema["fields"][0]["type"] = serde_json::json!({"type": "array", "items": "int"});
        })
        .await;
    let length = 250_000usize;
    let mut value = wire::header(id).to_vec();
    let mut zigzag = length * 2;
    while zigzag >= 128 {
        value.push(u8::try_from(zigzag % 128).unwrap() | 128);
        zigzag /= 128;
    }
    value.push(u8::try_from(zigzag).unwrap());
    value.extend(std::iter::repeat_n(2, length));
    value.extend([0, 0]);
    let key = unique("product");
    is_kept(&bench, Some(&key), Some(&value), failure::UNDECODABLE).await;
    let letters = bench
        .client
        .seen(|seen| seen.value.as_ref() == Some(&value));
    let why = letters[0].header("kafka_dlt-exception-message").unwrap();
    assert!(why.len() < 2_000, "{} bytes", why.len());
}
