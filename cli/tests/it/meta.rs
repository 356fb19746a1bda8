//! What a command's `meta` asks for, and the `meta` of its result.

use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::{ProductReservations, TOPICS};

use crate::support::{LIMIT, client, endpoints, failure, unique};

const RESULTS: &str = "product-reservations-results";

fn command() -> ReserveProduct {
    ReserveProduct {
        reservation_id: "r1".into(),
    }
}

/// The answer to a command with this `meta`.
async fn answer(meta: EventMeta) -> Seen {
    let answer = client()
        .await
        .request_with::<ProductReservations>(&unique("product"), command(), meta, LIMIT)
        .await;
    answer.unwrap()
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_micros()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_says_where_it_comes_from() {
    let client = client().await;
    let product = unique("product");
    let asked = EventMeta {
        correlation_id: unique("correlation"),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        tracestate: Some("vendor=1".into()),
        ..client.meta()
    };
    let answer =
        client.request_with::<ProductReservations>(&product, command(), asked.clone(), LIMIT);
    let seen = answer.await.unwrap();
    assert_eq!(
        (seen.topic.as_str(), seen.key.as_ref()),
        (RESULTS, Some(&product))
    );

    let meta = seen.meta.clone().unwrap();
    let derived = millstream_pipeline::record::digest::derived_id(
        &asked.id,
        "ProductReservations/onEvent",
        0,
    );
    assert_eq!(meta.id, derived, "a repeated attempt gives the same id");
    assert_eq!(meta.source, format!("ProductReservations/{product}"));
    assert_eq!(meta.correlation_id, asked.correlation_id);
    assert_eq!(meta.causation_id.as_ref(), Some(&asked.id));
    let traceparent = meta.traceparent.clone().unwrap();
    let [asked_parts, parts] = [asked.traceparent.as_deref().unwrap(), &traceparent]
        .map(|text| text.split('-').map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(parts[1], asked_parts[1], "the same trace");
    assert_ne!(parts[2], asked_parts[2], "another span");
    assert_eq!(meta.tracestate, asked.tracestate);

    for (header, expected) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &meta.id),
        ("ce_type", "millstream.product_reservations.ProductReserved"),
        ("ce_source", &meta.source),
        ("ce_correlationid", &meta.correlation_id),
        ("ce_causationid", &asked.id),
        ("ce_sequence", "1"),
        ("ce_epoch", meta.epoch.as_deref().unwrap()),
        ("traceparent", &traceparent),
        ("tracestate", "vendor=1"),
    ] {
        assert_eq!(seen.header(header), Some(expected), "{header}");
    }
    assert!(seen.header("ce_time").unwrap().ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_results_time_is_the_commands_record_time() {
    let client = client().await;
    let product = unique("product");
    let meta = client.meta();
    let (partition, offset) = client
        .send::<ProductReservations>(&product, command(), Some(&meta))
        .await
        .unwrap();
    let result = client.result_of(&meta, LIMIT).await.unwrap().meta.unwrap();
    let topic = ProductReservations::DECLARATION.name.to_owned();
    let sent = read(topic, |seen| {
        (seen.partition, seen.offset) == (partition, offset)
    })
    .await;
    assert_eq!(result.time, sent.timestamp * 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_producer_gets_an_answer() {
    let client = client().await;
    let product = unique("product");
    let (partition, offset) = client
        .send::<ProductReservations>(&product, command(), None)
        .await
        .unwrap();
    let seen = client
        .wait_for("the answer", LIMIT, |seen| {
            seen.key.as_ref() == Some(&product)
        })
        .await
        .unwrap();
    assert!(seen.event::<ProductReserved>().unwrap().reserved);
    let position = format!("product-reservations/{partition}/{offset}");
    let meta = seen.meta.unwrap();
    assert_eq!(meta.causation_id.as_ref(), Some(&position));
    assert_eq!(meta.correlation_id, position);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_expires() {
    let meta = |expires_at| async move {
        EventMeta {
            expires_at: Some(expires_at),
            ..client().await.meta()
        }
    };
    let late = answer(meta(now() - 1_000_000).await).await;
    assert_eq!(failure(&late), "expired");
    let in_time = answer(meta(now() + 3_600_000_000).await).await;
    assert!(in_time.event::<ProductReserved>().unwrap().reserved);
}

/// What a careless producer leaves empty is as if it were null, and no number stops a key.
#[tokio::test(flavor = "multi_thread")]
async fn empty_and_absurd_fields_hold_up_nobody() {
    let client = client().await;
    let product = unique("product");
    let empty = EventMeta {
        reply_key: Some(String::new()),
        idempotency_key: Some(String::new()),
        time: i64::MIN,
        ..EventMeta::default()
    };
    for reservation_id in ["r1".to_owned(), "r2".to_owned()] {
        let command = ReserveProduct { reservation_id };
        let (partition, offset) = client
            .send::<ProductReservations>(&product, command, Some(&empty))
            .await
            .unwrap();
        let id = format!("product-reservations/{partition}/{offset}");
        let caused =
            |seen: &Seen| seen.meta.as_ref().and_then(|it| it.causation_id.as_ref()) == Some(&id);
        let seen = client.wait_for("the answer", LIMIT, caused).await.unwrap();
        assert_eq!(seen.key.as_ref(), Some(&product));
        seen.event::<ProductReserved>().unwrap();
        assert_eq!(seen.meta.unwrap().correlation_id, id);
    }
    // The rest of such a `meta` counts.
    let late = EventMeta {
        expires_at: Some(i64::MIN),
        time: i64::MAX,
        correlation_id: unique("correlation"),
        ..EventMeta::default()
    };
    client
        .send::<ProductReservations>(&product, command(), Some(&late))
        .await
        .unwrap();
    let related =
        |seen: &Seen| seen.meta.as_ref().map(|it| &it.correlation_id) == Some(&late.correlation_id);
    let seen = client.wait_for("the answer", LIMIT, related).await.unwrap();
    assert_eq!(failure(&seen), "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_before_is_for_timers_alone() {
    let refused = answer(EventMeta {
        not_before: Some(now()),
        ..client().await.meta()
    });
    assert_eq!(failure(&refused.await), "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_declared_topics_only() {
    let client = client().await;
    for undeclared in [
        "product-reservations",
        "user-updates-results",
        "no-such-topic",
        "",
    ] {
        let product = unique("product");
        let meta = EventMeta {
            reply_to: Some(undeclared.into()),
            reply_key: Some("elsewhere".into()),
            ..client.meta()
        };
        let seen = client
            .request_with::<ProductReservations>(&product, command(), meta, LIMIT)
            .await
            .unwrap();
        assert_eq!(failure(&seen), "invalid-reply-to", "{undeclared:?}");
        assert_eq!(
            (seen.topic.as_str(), seen.key.as_ref()),
            (RESULTS, Some(&product))
        );
        // It was not carried out.
        let seen = client
            .request::<ProductReservations>(
                &product,
                ReserveProduct {
                    reservation_id: "r2".into(),
                },
                LIMIT,
            )
            .await
            .unwrap();
        assert!(seen.event::<ProductReserved>().unwrap().reserved);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_where_the_command_says() {
    let client = client().await;
    let (product, reply_key) = (unique("product"), unique("reply"));
    let meta = EventMeta {
        reply_to: Some("replies".into()),
        reply_key: Some(reply_key.clone()),
        ..client.meta()
    };
    client
        .send::<ProductReservations>(&product, command(), Some(&meta))
        .await
        .unwrap();
    let seen = read("replies".into(), |seen| {
        seen.key.as_ref() == Some(&reply_key)
    })
    .await;
    assert!(seen.event::<ProductReserved>().unwrap().reserved);
    let result = seen.meta.unwrap();
    assert_eq!(result.causation_id, Some(meta.id));
    assert_eq!(
        result.seq, None,
        "only events under the object's own key are numbered"
    );

    // The declared result topic may be named, too; its numbers start with this one.
    let meta = EventMeta {
        reply_to: Some(RESULTS.into()),
        ..client.meta()
    };
    let seen = client
        .request_with::<ProductReservations>(&product, command(), meta, LIMIT)
        .await
        .unwrap();
    assert_eq!(seen.meta.unwrap().seq, Some(1));
}

/// The first record of a topic for which `wanted` holds.
async fn read(topic: String, wanted: impl Fn(&Seen) -> bool) -> Seen {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let kafka = kafka::client(&endpoints().kafka);
    let mut reader = Reader::new(kafka, &[topic], From::Beginning).await.unwrap();
    let search = async {
        loop {
            if let Next::Record(seen) = reader.next(&codec).await.unwrap()
                && wanted(&seen)
            {
                return *seen;
            }
        }
    };
    tokio::time::timeout(LIMIT, search)
        .await
        .expect("the record comes")
}
