//! Idempotency keys, on product reservations.

use millstream_pipeline::events::EventMeta;
use millstream_schemas::durable_promises::{
    AwaitPromise, PeekPromise, PromiseState, ResolvePromise,
};
use millstream_schemas::product_reservations::ProductReserved;
use millstream_topics::{DurablePromises, ProductReservations};

use super::reservations::by;
use crate::support::{LIMIT, client, endpoints, failure, sql, unique};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_given_the_first_answer_again() {
    let client = client().await;
    let product = unique("product");
    let meta = || EventMeta {
        idempotency_key: Some("key1".into()),
        ..client.meta()
    };
    let ask = async |meta| {
        let answer = client.request_with::<ProductReservations>(&product, by("r1"), meta, LIMIT);
        answer.await.unwrap()
    };
    let (first_asked, again_asked) = (meta(), meta());
    let first = ask(first_asked).await;
    let again = ask(again_asked.clone()).await;
    assert_eq!(again.data, first.data);
    let (first, again) = (first.meta.unwrap(), again.meta.unwrap());
    assert_eq!(again.original_id.as_ref(), Some(&first.id));
    assert_eq!(first.original_id, None);
    assert_ne!(again.id, first.id);
    assert_eq!((first.seq, again.seq), (Some(1), Some(2)));
    assert_eq!(again.correlation_id, again_asked.correlation_id);
    assert_eq!(again.causation_id, Some(again_asked.id));
    // A third time, the first answer is still the original.
    let third = ask(meta()).await.meta.unwrap();
    assert_eq!(third.original_id, Some(first.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_answer_is_not_decided_again() {
    let client = client().await;
    let product = unique("product");
    let meta = || EventMeta {
        idempotency_key: Some("key1".into()),
        ..client.meta()
    };
    client
        .request::<ProductReservations>(&product, by("owner"), LIMIT)
        .await
        .unwrap();
    for _ in 0..2 {
        let seen = client
            .request_with::<ProductReservations>(&product, by("late"), meta(), LIMIT)
            .await
            .unwrap();
        assert!(!seen.event::<ProductReserved>().unwrap().reserved);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_same_key_is_refused() {
    let client = client().await;
    let product = unique("product");
    let ask = async |reservation: &str, key: &str| {
        let meta = EventMeta {
            idempotency_key: Some(key.into()),
            ..client.meta()
        };
        client
            .request_with::<ProductReservations>(&product, by(reservation), meta, LIMIT)
            .await
            .unwrap()
    };
    // Refused for its content, which a new key would not change.
    assert_eq!(failure(&ask("", "key0").await), "invalid-request");
    ask("r1", "key1").await;
    assert_eq!(failure(&ask("r2", "key1").await), "idempotency-mismatch");
    assert_eq!(product_owner(&product).await, "r1");
    // The key still stands for the first request.
    let again = ask("r1", "key1").await;
    assert!(again.event::<ProductReserved>().unwrap().reserved);
    assert!(again.meta.unwrap().original_id.is_some());
}

/// Its return address lies in the state until somebody completes the promise.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_later_is_remembered_too() {
    let (client, promise) = (client().await, unique("promise"));
    let meta = || EventMeta {
        idempotency_key: Some("key1".into()),
        ..client.meta()
    };
    let waiting = meta();
    let sent = client.send::<DurablePromises>(&promise, AwaitPromise {}, Some(&waiting));
    sent.await.unwrap();
    let value = "done".to_owned();
    let resolving = client.request::<DurablePromises>(&promise, ResolvePromise { value }, LIMIT);
    resolving.await.unwrap();
    let first = client.result_of(&waiting, LIMIT).await.unwrap();
    let again = client.request_with::<DurablePromises>(&promise, AwaitPromise {}, meta(), LIMIT);
    let again = again.await.unwrap();
    assert_eq!(again.data, first.data);
    assert_eq!(
        again.meta.unwrap().original_id,
        Some(first.meta.unwrap().id)
    );
    let value = "other".to_owned();
    let other =
        client.request_with::<DurablePromises>(&promise, ResolvePromise { value }, meta(), LIMIT);
    assert_eq!(failure(&other.await.unwrap()), "idempotency-mismatch");
}

/// The topic remembers 256 KiB of answers, which three of these are.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answer_was_too_large_to_keep_is_not_carried_out_again() {
    const LARGE: usize = 65_536;
    let (client, promise) = (client().await, unique("promise"));
    let value = "v".repeat(LARGE);
    let resolving = ResolvePromise {
        value: value.clone(),
    };
    let resolving = client.request::<DurablePromises>(&promise, resolving, LIMIT);
    resolving.await.unwrap();
    let peek = async |key: &str| {
        let meta = EventMeta {
            idempotency_key: Some(key.into()),
            ..client.meta()
        };
        let peeked = client.request_with::<DurablePromises>(&promise, PeekPromise {}, meta, LIMIT);
        peeked.await.unwrap()
    };
    let mut first = Vec::new();
    for key in ["1", "2", "3", "4", "5"] {
        let seen = peek(key).await;
        let state: PromiseState = seen.event().unwrap();
        assert_eq!(state.value.as_ref(), Some(&value));
        first.push(seen.meta.unwrap().id);
    }
    let kept = peek("5").await;
    assert_eq!(kept.event::<PromiseState>().unwrap().value, Some(value));
    assert_eq!(kept.meta.unwrap().original_id.as_ref(), first.last());
    let dropped = peek("1").await;
    assert_eq!(failure(&dropped), "too-large");
    let meta = dropped.meta.unwrap();
    assert_eq!(meta.original_id.as_ref(), first.first());
    assert_eq!(meta.seq, Some(8), "it is numbered like any other");
    let (_, state) = &sql::settled_state(endpoints(), "DurablePromises", &promise).await[0];
    let size = state["_m"]["k"].as_str().unwrap().len();
    assert!(size <= 256 * 1024 * 4 / 3 + 4, "{size}");
}

async fn product_owner(product: &str) -> String {
    let entries = sql::settled_state(endpoints(), "ProductReservations", product).await;
    entries[0].1["reserved_by"].as_str().unwrap().to_owned()
}
