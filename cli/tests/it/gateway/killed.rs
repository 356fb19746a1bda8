//! A gateway that is killed while many wait.

use std::collections::BTreeMap;

use futures::future::join_all;
use millstream_devstack::Part;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::replica::Replica;
use super::{got, try_got};
use crate::support::{OwnStack, unique};

const COUNT: usize = 500;

/// 1,000 requests wait: half of them know their ids, half have an idempotency key to come again
/// with. All are answered by a replica that was not there when they were sent, once each.
#[tokio::test(flavor = "multi_thread")]
async fn requests_outlive_the_gateway_that_took_them() {
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let first = Replica::start(&endpoints, &[]).await;
    stack.kill_part(Part::Handlers).await.unwrap();

    let products: Vec<_> = (0..COUNT).map(|_| unique("product")).collect();
    let accepted = join_all(products.iter().map(|product| {
        let request = first.http.reserve(product, "by-id");
        got(request.header("prefer", "respond-async"))
    }));
    let locations: Vec<String> = accepted
        .await
        .into_iter()
        .map(|answer| answer.expect(202).header("location").to_owned())
        .collect();
    let mut waiting = Vec::new();
    for location in &locations {
        let (http, path) = (first.http.clone(), format!("{location}?wait=60"));
        let request = http.request(reqwest::Method::GET, &path);
        waiting.push(tokio::spawn(try_got(request)));
    }
    let others: Vec<_> = (0..COUNT).map(|_| unique("product")).collect();
    for product in &others {
        let request = first.http.reserve(product, "by-key");
        let request = request
            .header("idempotency-key", "once")
            .header("prefer", "wait=60");
        waiting.push(tokio::spawn(try_got(request)));
    }
    first.waiting(2 * COUNT as u32).await;
    first.signal(Signal::SIGKILL);
    for answer in waiting {
        assert!(answer.await.unwrap().is_err(), "nobody is left to answer");
    }

    // All results are there before the other replica is.
    stack.start_part(Part::Handlers).await.unwrap();
    let shared = super::Http::new(endpoints.gateway.as_ref().unwrap());
    let last = got(shared
        .reserve(&unique("product"), "r")
        .header("prefer", "wait=60"));
    last.await.expect(200);
    let second = Replica::start(&endpoints, &[]).await;
    let by_id = join_all(locations.iter().map(|location| {
        let path = format!("{location}?wait=60");
        let http = second.http.clone();
        async move { http.get(&path).await }
    }));
    for (answer, product) in by_id.await.into_iter().zip(&products) {
        let body = answer.expect(200).body;
        assert_eq!(body["key"], **product);
        assert_eq!(body["data"]["reserved"], true);
    }
    let by_key = join_all(others.iter().map(|product| {
        let request = second.http.reserve(product, "by-key");
        got(request
            .header("idempotency-key", "once")
            .header("prefer", "wait=60"))
    }));
    for (answer, product) in by_key.await.into_iter().zip(&others) {
        let body = answer.expect(200).body;
        assert_eq!(body["key"], **product);
        assert_eq!(body["meta"]["seq"], 1, "it was carried out once");
        assert_eq!(body["meta"]["original_id"], Value::Null);
    }
    let read = second
        .metric("millstream_gateway_lookups_total", &["read"])
        .await;
    assert!(
        read <= 8.0,
        "each partition is read once, not {read} times in all"
    );
}
