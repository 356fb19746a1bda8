//! What comes of an event that is not carried out: a dead letter, a `RequestFailed`, or both. The
//! rows are those of the table of codes.
//!
//! | what happened | dead letter | `RequestFailed` |
//! |---|---|---|
//! | a command that our side cannot handle | yes | yes |
//! | `meta` not decodable, or a fact | yes | no |
//! | a command that is refused | no | yes |

use millstream_handlers::enrichment::PACKAGE_NOT_REGISTERED;
use millstream_pipeline::events::{EventMeta, Replies, Topic};
use millstream_pipeline::failure;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader};
use millstream_schemas::package_location_updates::LocationUpdate;
use millstream_schemas::package_queries::GetPackageInfo;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_schemas::user_updates::UserUpdate;
use millstream_topics::{PackageLocationUpdates, PackageQueries, ProductReservations, UserUpdates};
use serde_json::json;

use crate::support::{
    At, Bench, LIMIT, endpoints, failure, letter_code, query, texts, unique, until,
};

fn reservation(id: &str) -> ReserveProduct {
    ReserveProduct {
        reservation_id: id.into(),
    }
}

/// Exactly these come of the event, and nothing else: codes of the dead letter and of the answer.
async fn comes_to<T: Topic>(
    bench: &Bench,
    key: &str,
    meta: &EventMeta,
    at: At,
    letter: Option<&str>,
    answer: Option<&str>,
) {
    let topic = T::DECLARATION;
    bench.settle(topic, key).await;
    let letters = bench.dead_letters(topic.name, at);
    let codes: Vec<_> = letters.iter().map(letter_code).collect();
    assert_eq!(codes, Vec::from_iter(letter), "dead letters");
    if answer.is_some() {
        bench.client.result_of(meta, LIMIT).await.unwrap();
    }
    let answers = bench.answers(&meta.id);
    let codes: Vec<_> = answers.iter().map(failure).collect();
    assert_eq!(codes, Vec::from_iter(answer), "answers");
    for answer in answers {
        let said = answer.meta.unwrap();
        assert_eq!(answer.topic, topic.results.as_ref().unwrap().name);
        assert_eq!(answer.key.as_deref(), Some(key));
        assert_eq!(said.correlation_id, meta.correlation_id);
    }
}

/// A raw value on `T`'s topic.
async fn raw<T: Topic>(
    value: impl AsyncFnOnce(&Bench, &EventMeta) -> Vec<u8>,
    letter: Option<&str>,
    answer: Option<&str>,
) {
    let bench = Bench::new(endpoints()).await;
    let (key, meta) = (unique("key"), bench.client.meta());
    let value = value(&bench, &meta).await;
    let at = bench
        .send(T::DECLARATION.name, Some(&key), Some(&value))
        .await;
    comes_to::<T>(&bench, &key, &meta, at, letter, answer).await;
}

/// An event of `T` with a `meta` that is changed.
async fn event<T: Topic>(
    event: impl Into<T::Event>,
    change: impl FnOnce(&mut EventMeta),
    letter: Option<&str>,
    answer: Option<&str>,
) {
    let bench = Bench::new(endpoints()).await;
    let (key, mut meta) = (unique("key"), bench.client.meta());
    change(&mut meta);
    let at = bench
        .client
        .send::<T>(&key, event, Some(&meta))
        .await
        .unwrap();
    comes_to::<T>(&bench, &key, &meta, at, letter, answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_an_unknown_type() {
    let unknown = Some(failure::UNKNOWN_TYPE);
    raw::<ProductReservations>(
        async |bench, meta| bench.value(&UserUpdate::default(), Some(meta)).await,
        unknown,
        unknown,
    )
    .await;
}

/// The name is that of a declared event and the fields are others; `meta` can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_body_does_not_resolve() {
    let undecodable = Some(failure::UNDECODABLE);
    raw::<ProductReservations>(
        async |bench, meta| {
            let id = bench
                .register::<ReserveProduct>(&unique("other"), |schema| {
                    schema["fields"][0] = json!({ "name": "other", "type": "string" });
                })
                .await;
            texts(id, &["x"], Some(meta))
        },
        undecodable,
        undecodable,
    )
    .await;
}

/// A command that Kafka just takes (1,048,588 bytes), under a key that its result names three times:
/// the result is too large.
async fn send_too_large(bench: &Bench, meta: &EventMeta) -> (String, At) {
    let key = unique(&"k".repeat(200));
    let command = reservation(&"r".repeat(1_047_700));
    let at = bench
        .client
        .send::<ProductReservations>(&key, command, Some(meta))
        .await
        .unwrap();
    (key, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_result_cannot_be_published() {
    let bench = Bench::new(endpoints()).await;
    let meta = bench.client.meta();
    let (key, at) = send_too_large(&bench, &meta).await;
    let failed = Some(failure::HANDLER_FAILED);
    comes_to::<ProductReservations>(&bench, &key, &meta, at, failed, failed).await;
}

/// What could not be published is not remembered either: the next one gets the product.
#[tokio::test(flavor = "multi_thread")]
async fn an_unpublished_result_leaves_the_state_as_it_was() {
    let bench = Bench::new(endpoints()).await;
    let meta = bench.client.meta();
    let (key, _) = send_too_large(&bench, &meta).await;
    let next = bench
        .client
        .request::<ProductReservations>(&key, reservation("next"), LIMIT)
        .await
        .unwrap();
    assert!(next.event::<ProductReserved>().unwrap().reserved);
    // The number that the large result would have had went to the failure: no gap.
    let refused = bench.client.result_of(&meta, LIMIT).await.unwrap();
    let numbers = [&refused, &next].map(|seen| seen.meta.as_ref().unwrap().seq);
    assert_eq!(numbers, [Some(1), Some(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_an_unknown_type() {
    raw::<PackageLocationUpdates>(
        async |bench, meta| bench.value(&UserUpdate::default(), Some(meta)).await,
        Some(failure::UNKNOWN_TYPE),
        None,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_is_refused() {
    event::<PackageLocationUpdates>(
        LocationUpdate::default(),
        |_| {},
        Some(PACKAGE_NOT_REGISTERED),
        None,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_is_too_late() {
    event::<PackageLocationUpdates>(
        LocationUpdate::default(),
        |meta| meta.expires_at = Some(meta.time - 1),
        Some(failure::EXPIRED),
        None,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_makes_no_sense() {
    let answer = Some(failure::INVALID_REQUEST);
    event::<ProductReservations>(reservation(""), |_| {}, None, answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_too_late() {
    event::<ProductReservations>(
        reservation("r"),
        |meta| meta.expires_at = Some(meta.time - 1),
        None,
        Some(failure::EXPIRED),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_wants_to_be_delayed() {
    event::<ProductReservations>(
        reservation("r"),
        |meta| meta.not_before = Some(meta.time + 1_000_000),
        None,
        Some(failure::INVALID_REQUEST),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_a_business_failure() {
    let answer = Some(PACKAGE_NOT_REGISTERED);
    event::<PackageQueries>(GetPackageInfo {}, |_| {}, None, answer).await;
}

/// It is answered on the declared result topic and under the command's own key.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_an_undeclared_reply_to() {
    for undeclared in [
        "no-such-topic",
        "user-updates-results",
        "product-reservations",
    ] {
        event::<ProductReservations>(
            reservation("r"),
            |meta| {
                meta.reply_to = Some(undeclared.into());
                meta.reply_key = Some("elsewhere".into());
            },
            None,
            Some(failure::INVALID_REPLY_TO),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_reply_to_gets_the_answer() {
    let bench = Bench::new(endpoints()).await;
    let (key, reply_key) = (unique("product"), unique("reply"));
    let mut meta = bench.client.meta();
    meta.reply_to = Some(Replies::DECLARATION.name.into());
    meta.reply_key = Some(reply_key.clone());
    bench
        .client
        .send::<ProductReservations>(&key, reservation("r"), Some(&meta))
        .await
        .unwrap();
    let config = kafka::client(&endpoints().kafka);
    let topics = [Replies::DECLARATION.name.to_owned()];
    let mut replies = Reader::new(config, &topics, From::Beginning).await.unwrap();
    let reply = tokio::time::timeout(LIMIT, async {
        loop {
            if let Ok(Next::Record(seen)) = replies.next(&bench.codec).await
                && seen.key.as_ref() == Some(&reply_key)
            {
                return seen;
            }
        }
    });
    let reply = reply.await.unwrap();
    assert!(reply.event::<ProductReserved>().unwrap().reserved);
    let said = reply.meta.unwrap();
    assert_eq!(said.causation_id.as_ref(), Some(&meta.id));
    assert_eq!((said.seq, said.epoch), (None, None), "keys have no end");
    assert!(bench.answers(&meta.id).is_empty(), "only there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_with_another_body() {
    let bench = Bench::new(endpoints()).await;
    let (key, mut first, mut second) = (unique("key"), bench.client.meta(), bench.client.meta());
    for meta in [&mut first, &mut second] {
        meta.idempotency_key = Some("once".into());
    }
    bench
        .client
        .request_with::<ProductReservations>(&key, reservation("r1"), first, LIMIT)
        .await
        .unwrap();
    let at = bench
        .client
        .send::<ProductReservations>(&key, reservation("r2"), Some(&second))
        .await
        .unwrap();
    let mismatch = Some(failure::IDEMPOTENCY_MISMATCH);
    comes_to::<ProductReservations>(&bench, &key, &second, at, None, mismatch).await;
}

/// Somebody cancels the invocation while it waits for a busy system.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_cancelled() {
    let bench = Bench::new(endpoints()).await;
    let (key, meta) = (unique("user"), bench.client.meta());
    let busy = format!(
        "{}/user-directory/busy/{key}",
        endpoints().stand_ins.as_ref().unwrap()
    );
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    http.put(&busy).send().await.unwrap();
    let at = bench
        .client
        .send::<UserUpdates>(&key, UserUpdate::default(), Some(&meta))
        .await
        .unwrap();
    let admin = &endpoints().restate_admin;
    let sql = format!(
        "SELECT id FROM sys_invocation WHERE target_service_key = '{key}' AND status <> 'completed' \
         AND journal_size > 2"
    );
    let invocation = until("the invocation", async || {
        let row = query(admin, &sql).await.pop()?;
        row["id"].as_str().map(str::to_owned)
    })
    .await;
    http.patch(format!("{admin}/invocations/{invocation}/cancel"))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    comes_to::<UserUpdates>(&bench, &key, &meta, at, None, Some(failure::CANCELLED)).await;
    bench.no_lag::<UserUpdates>(at).await;
}
