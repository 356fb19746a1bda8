//! Durable promises: awaited before and after they are completed, by many, and completed once.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join_all};
use millstream_devstack::Part;
use millstream_handlers::durable_promises::MAX_VALUE_BYTES;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::{EventMeta, RequestFailed};
use millstream_schemas::durable_promises::{
    AwaitPromise, PeekPromise, PromiseState, RejectPromise, ResolvePromise, Status,
};
use millstream_topics::{DurablePromises, DurablePromisesEvent};
use serde_json::json;

use crate::gateway::{got, shared};
use crate::support::{
    LIMIT, OwnStack, client, client_of, failure, many_events_permit, unique, until,
};

fn resolve(value: &str) -> DurablePromisesEvent {
    let value = value.to_owned();
    ResolvePromise { value }.into()
}

fn reject(message: &str) -> DurablePromisesEvent {
    let message = message.to_owned();
    RejectPromise { message }.into()
}

fn resolved(value: &str) -> PromiseState {
    PromiseState {
        status: Status::Resolved,
        value: Some(value.to_owned()),
        message: None,
    }
}

async fn state(client: &Client, promise: &str, event: DurablePromisesEvent) -> PromiseState {
    let seen = client
        .request::<DurablePromises>(promise, event, LIMIT)
        .await;
    seen.unwrap().event().unwrap()
}

/// Awaits the promise this often, and is sure that all of that was handled.
async fn awaited(client: &Client, promise: &str, count: usize) -> Vec<EventMeta> {
    let metas: Vec<_> = (0..count).map(|_| client.meta()).collect();
    try_join_all(metas.iter().map(|meta| {
        let event = AwaitPromise {};
        client.send::<DurablePromises>(promise, event, Some(meta))
    }))
    .await
    .unwrap();
    let peeked = state(client, promise, PeekPromise {}.into()).await;
    assert_eq!(peeked.status, Status::Pending);
    let told = told(client, &metas);
    assert_eq!(told, [""; 0], "nobody is answered before it is completed");
    metas
}

/// Ids of answers to these commands so far.
fn told(client: &Client, metas: &[EventMeta]) -> Vec<String> {
    let ids: BTreeSet<_> = metas.iter().map(|meta| meta.id.clone()).collect();
    let answers = client.seen(|seen| {
        let cause = seen.meta.as_ref().and_then(|it| it.causation_id.as_ref());
        cause.is_some_and(|id| ids.contains(id))
    });
    answers
        .into_iter()
        .map(|seen| seen.meta.unwrap().id)
        .collect()
}

/// All of them are told this, each in its own request.
async fn all_told(client: &Client, metas: &[EventMeta], expected: &PromiseState) {
    for meta in metas {
        let seen = client.result_of(meta, LIMIT).await.unwrap();
        assert_eq!(seen.event::<PromiseState>().unwrap(), *expected);
        let answer = seen.meta.unwrap();
        assert_eq!(answer.correlation_id, meta.correlation_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_awaiters_are_told_the_first_completion() {
    let _permit = many_events_permit().await;
    let (client, promise) = (client().await, unique("promise"));
    let waiting = awaited(&client, &promise, 100).await;
    let expected = resolved("first");
    assert_eq!(state(&client, &promise, resolve("first")).await, expected);
    all_told(&client, &waiting, &expected).await;
    for later in [
        resolve("second"),
        reject("no"),
        AwaitPromise {}.into(),
        PeekPromise {}.into(),
    ] {
        assert_eq!(state(&client, &promise, later).await, expected);
    }
    assert_eq!(told(&client, &waiting).len(), 100, "once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_at_once_agree() {
    let (client, promise) = (client().await, unique("promise"));
    let waiting = awaited(&client, &promise, 1).await;
    let states = join_all((0..20).map(|n| {
        let event = match n % 2 {
            0 => resolve(&n.to_string()),
            _ => reject(&n.to_string()),
        };
        state(&client, &promise, event)
    }))
    .await;
    assert_ne!(states[0].status, Status::Pending);
    assert!(states.iter().all(|it| *it == states[0]), "{states:?}");
    all_told(&client, &waiting, &states[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_carries_its_reason() {
    let (client, promise) = (client().await, unique("promise"));
    let waiting = awaited(&client, &promise, 2).await;
    let expected = PromiseState {
        status: Status::Rejected,
        value: None,
        message: Some("Oh dear, rejected".into()),
    };
    let told = state(&client, &promise, reject("Oh dear, rejected")).await;
    assert_eq!(told, expected);
    all_told(&client, &waiting, &expected).await;
    let told = state(&client, &promise, resolve("late")).await;
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_over_the_limit_completes_nothing() {
    let (client, promise) = (client().await, unique("promise"));
    let longest = "x".repeat(MAX_VALUE_BYTES);
    let long = format!("{longest}x");
    let waiting = awaited(&client, &promise, 1).await;
    for event in [resolve(&long), reject(&long)] {
        let refused = client.request::<DurablePromises>(&promise, event, LIMIT);
        assert_eq!(failure(&refused.await.unwrap()), "invalid-request");
    }
    let peeked = state(&client, &promise, PeekPromise {}.into()).await;
    assert_eq!(peeked.status, Status::Pending);
    let expected = resolved(&longest);
    assert_eq!(state(&client, &promise, resolve(&longest)).await, expected);
    all_told(&client, &waiting, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_await_that_expired_is_told_so_when_another_one_comes() {
    let (client, promise) = (client().await, unique("promise"));
    let soon = jiff::Timestamp::now().as_microsecond() + 3_000_000;
    let short = EventMeta {
        expires_at: Some(soon),
        ..client.meta()
    };
    let event = AwaitPromise {};
    let sent = client.send::<DurablePromises>(&promise, event, Some(&short));
    sent.await.unwrap();
    until("the await's end", async || {
        (jiff::Timestamp::now().as_microsecond() > soon).then_some(())
    })
    .await;
    let waiting = awaited(&client, &promise, 1).await;
    let refused = client.result_of(&short, LIMIT).await.unwrap();
    assert_eq!(refused.event::<RequestFailed>().unwrap().code, "expired");
    let expected = resolved("late");
    assert_eq!(state(&client, &promise, resolve("late")).await, expected);
    all_told(&client, &waiting, &expected).await;
    assert_eq!(told(&client, &[short]).len(), 1, "one answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_over_http() {
    let (http, path) = (shared(), format!("/promises/{}", unique("promise")));
    let peeked = http.get(&path).await.expect(200);
    assert_eq!(peeked.body["data"]["status"], "PENDING");
    let awaiting = got(http
        .request(reqwest::Method::GET, &format!("{path}/await"))
        .header("prefer", "respond-async"));
    let awaiting = awaiting.await.expect(202);
    let (resolve, reject) = (json!({ "value": "{}" }), json!({ "message": "no" }));
    let resolved = got(http.post(&format!("{path}/resolve")).json(&resolve)).await;
    let rejected = got(http.post(&format!("{path}/reject")).json(&reject)).await;
    let later = http.get(&format!("{path}/await")).await;
    let told = format!("{}?wait=60", awaiting.header("location"));
    let told = http.get(&told).await;
    for answer in [resolved, rejected, later, told] {
        let data = answer.expect(200).body["data"].take();
        assert_eq!(
            (&data["status"], &data["value"]),
            (&json!("RESOLVED"), &json!("{}"))
        );
    }
    let no_value = got(http.post(&format!("{path}/resolve")).json(&json!({}))).await;
    no_value.problem(400, "invalid-request");
}

/// Nobody needs to run while a promise is pending.
#[tokio::test(flavor = "multi_thread")]
async fn a_promise_outlives_whoever_awaits_and_keeps_it() {
    let stack = OwnStack::start(BTreeMap::new()).await;
    let client = client_of(&stack.endpoints()).await;
    let (promise, completed) = (unique("promise"), unique("completed"));
    let waiting = awaited(&client, &promise, 10).await;
    state(&client, &completed, resolve("kept")).await;
    for part in [Part::Handlers, Part::Restate] {
        stack.kill_part(part).await.unwrap();
        stack.start_part(part).await.unwrap();
    }
    let expected = resolved("at last");
    assert_eq!(state(&client, &promise, resolve("at last")).await, expected);
    all_told(&client, &waiting, &expected).await;
    let told = state(&client, &completed, AwaitPromise {}.into()).await;
    assert_eq!(told, resolved("kept"));
}
