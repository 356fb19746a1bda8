//! A registry that answers, but not what it should.

use std::collections::BTreeMap;

use millstream_devstack::Part;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;
use serde_json::json;

use super::proxy::{Fault, Proxy};
use crate::support::{Bench, LIMIT, OwnStack, query, texts, unique, until};

const TOPIC: &str = ProductReservations::DECLARATION.name;

/// Confluent's code for a schema id that the registry does not have.
const SCHEMA_NOT_FOUND: u32 = 40403;

/// More attempts than Restate's own default allows before it pauses an invocation.
const DEFAULT_ATTEMPTS: u64 = 70;

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_registry_are_retried() {
    let proxy = Proxy::start().await;
    let handlers = [("MILLSTREAM_SCHEMA_REGISTRY".to_owned(), proxy.url.clone())];
    // The number of attempts stays as it is in restate.toml; only the time between them is short.
    let restate = [
        ("RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL", "10ms"),
        ("RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL", "10ms"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stack = OwnStack::start(BTreeMap::from([
        (Part::Handlers, handlers.into()),
        (Part::Restate, restate.into()),
    ]))
    .await;
    proxy.forward_to(&stack.endpoints().schema_registry);
    let bench = Bench::new(&stack.endpoints()).await;

    for fault in [
        (500, Some(50001)),
        (401, Some(40101)),
        (429, Some(42901)),
        (429, None),
        // Not the registry's word, but that of something in front of it.
        (404, None),
        (404, Some(404)),
        // The registry's word, once: a replica may not know yet.
        (404, Some(SCHEMA_NOT_FOUND)),
    ] {
        is_retried(&proxy, &bench, fault).await;
    }
    seventy_attempts_and_more(&proxy, &stack, &bench).await;
}

/// A command written with a schema that the handlers do not know yet.
async fn send_with_new_schema(bench: &Bench, key: &str) -> EventMeta {
    let field = unique("f").replace('-', "_");
    let id = bench
        .register::<ReserveProduct>(&unique("schema"), |schema| {
            let fields = schema["fields"].as_array_mut().unwrap();
            fields.insert(1, json!({ "name": field, "type": "string" }));
        })
        .await;
    let meta = bench.client.meta();
    let value = texts(id, &["reservation1", "x"], Some(&meta));
    bench.send(TOPIC, Some(key), Some(&value)).await;
    meta
}

async fn is_reserved(bench: &Bench, key: &str, meta: &EventMeta) {
    let answer = bench.client.result_of(meta, LIMIT).await.unwrap();
    assert!(answer.event::<ProductReserved>().unwrap().reserved);
    // A dead letter would have been written before the answer.
    let letters = bench
        .client
        .seen(|seen| seen.topic.ends_with("-dlq") && seen.key.as_deref() == Some(key));
    assert_eq!(letters.len(), 0, "no dead letter");
}

/// An error, twice in a row: it is no proof that the schema is missing. Only the registry's own
/// word is, said twice, so that is answered once.
async fn is_retried(proxy: &Proxy, bench: &Bench, (status, code): (u16, Option<u32>)) {
    let (key, before) = (unique("product"), proxy.faults_answered());
    let times = if code == Some(SCHEMA_NOT_FOUND) { 1 } else { 2 };
    proxy.fail(Fault { status, code }, times);
    let meta = send_with_new_schema(bench, &key).await;
    is_reserved(bench, &key, &meta).await;
    assert_eq!(proxy.faults_answered(), before + times, "{status}");
}

async fn seventy_attempts_and_more(proxy: &Proxy, stack: &OwnStack, bench: &Bench) {
    let key = unique("product");
    let unavailable = Fault {
        status: 500,
        code: Some(50001),
    };
    proxy.fail(unavailable, usize::MAX);
    let meta = send_with_new_schema(bench, &key).await;
    let sql = format!(
        "SELECT status, retry_count FROM sys_invocation WHERE target_service_key = '{key}'"
    );
    let admin = stack.endpoints().restate_admin;
    until("more attempts than the default", async || {
        let row = query(&admin, &sql).await.into_iter().next()?;
        assert_ne!(row["status"], "paused");
        (row["retry_count"].as_u64()? > DEFAULT_ATTEMPTS + 5).then_some(())
    })
    .await;
    assert!(bench.answers(&meta.id).is_empty());
    proxy.fail(unavailable, 0);
    is_reserved(bench, &key, &meta).await;
}
