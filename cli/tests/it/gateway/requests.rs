//! Waiting, not waiting, and asking later.

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::replica::Replica;
use super::{Http, got, shared};
use crate::support::directory::Directory;
use crate::support::{endpoints, unique};

/// A command whose result comes only once `user` is no longer busy.
pub fn slow_command(http: &Http, user: &str) -> RequestBuilder {
    let data = json!({ "profile": "p", "permissions": "q", "resources": "r" });
    http.post(&format!("/v1/topics/user-updates/{user}"))
        .json(&json!({ "data": data }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_asks_later() {
    let (http, product) = (shared(), unique("product"));
    let request = http.reserve(&product, "r1");
    let accepted = got(request.header("prefer", "respond-async"))
        .await
        .expect(202);
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    assert_eq!(accepted.body["status"], "pending");
    let location = accepted.header("location").to_owned();
    let id = accepted.body["request"].as_str().unwrap();
    assert_eq!(location, format!("/v1/requests/{id}"));
    let answer = http.get(&format!("{location}?wait=30")).await.expect(200);
    assert_eq!(answer.body["data"]["reserved"], true);
    let event = &accepted.body["event"]["id"];
    assert_eq!(&answer.body["meta"]["causation_id"], event);
    let again = http.get(&location).await.expect(200);
    assert_eq!(again.body, answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_as_long_as_it_is_told_to() {
    let (http, user) = (shared(), unique("user"));
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let begun = Instant::now();
    let pending = got(slow_command(&http, &user).header("prefer", "wait=1")).await;
    let pending = pending.expect(202);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(pending.header("preference-applied"), "wait=1");
    let location = pending.header("location").to_owned();
    http.get(&location).await.expect(202);
    let waiting = tokio::spawn({
        let (http, location) = (http.clone(), format!("{location}?wait=60"));
        async move { http.get(&location).await }
    });
    directory.set_busy(&user, false).await;
    let answer = waiting.await.unwrap().expect(200);
    assert_eq!(answer.body["key"], user);
    http.get(&format!("{location}?wait=x"))
        .await
        .problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_says_nothing_waits_up_to_a_set_time() {
    let replica = Replica::start(endpoints(), &["--wait", "1"]).await;
    let user = unique("user");
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let pending = got(slow_command(&replica.http, &user)).await.expect(202);
    assert_eq!(pending.header("preference-applied"), "");
    assert_eq!(pending.header("retry-after"), "1");
    // The client's own wait is cut to the gateway's longest.
    let cut = Replica::start(endpoints(), &["--longest-wait", "1"]).await;
    let request = slow_command(&cut.http, &user).header("prefer", "wait=3600");
    let pending = got(request).await.expect(202);
    assert_eq!(pending.header("preference-applied"), "wait=1");
    directory.set_busy(&user, false).await;
    let waited = format!("{}?wait=60", pending.header("location"));
    shared().get(&waited).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_what_becomes_of_a_request() {
    let (http, product) = (shared(), unique("product"));
    for reservation in ["r1", "%20"] {
        let request = http.reserve(&product, reservation);
        let accepted = got(request.header("prefer", "respond-async"))
            .await
            .expect(202);
        let events = events(&http, accepted.header("location")).await;
        let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["accepted", "result"]);
        assert_eq!(events[0].1["request"], accepted.body["request"]);
        let cause = &events[1].1["meta"]["causation_id"];
        assert_eq!(cause, &accepted.body["event"]["id"]);
    }
    let body = json!({ "data": { "reservation_id": "" } });
    let refused = http
        .post(&format!("/v1/topics/product-reservations/{product}"))
        .header("prefer", "respond-async")
        .json(&body);
    let refused = got(refused).await.expect(202);
    let events = events(&http, refused.header("location")).await;
    assert_eq!(events[1].0, "problem");
    assert_eq!(events[1].1["code"], "invalid-request");
}

/// Names and data of all events of a stream.
async fn events(http: &Http, location: &str) -> Vec<(String, Value)> {
    let request = http.request(reqwest::Method::GET, &format!("{location}/events"));
    let response = request.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let blocks = text
        .split("\n\n")
        .filter(|block| block.starts_with("event"));
    blocks
        .map(|block| {
            let (name, data) = block.split_once('\n').unwrap();
            let data = data.strip_prefix("data: ").unwrap();
            let name = name.strip_prefix("event: ").unwrap();
            (name.to_owned(), serde_json::from_str(data).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_not_found() {
    let http = shared();
    let accepted = got(http.reserve(&unique("product"), "r1"))
        .await
        .expect(200);
    let id = accepted.body["request"].as_str().unwrap();
    let mut forged = id.as_bytes().to_vec();
    forged[20] = if forged[20] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for id in ["x", &id[1..], &format!("{id}A"), &forged] {
        let path = format!("/v1/requests/{id}");
        http.get(&path).await.problem(404, "not-found");
        let events = format!("{path}/events");
        http.get(&events).await.problem(404, "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_for_a_set_time() {
    let replica = Replica::start(endpoints(), &["--keep", "0"]).await;
    let answer = got(replica.http.reserve(&unique("product"), "r"))
        .await
        .expect(200);
    let id = answer.body["request"].as_str().unwrap();
    let old = replica.http.get(&format!("/v1/requests/{id}")).await;
    old.problem(410, "expired");
}
