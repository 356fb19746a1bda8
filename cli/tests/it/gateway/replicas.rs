//! Several gateways: each answers for all, and after a restart.

use nix::sys::signal::Signal;
use reqwest::RequestBuilder;

use super::replica::Replica;
use super::requests::slow_command;
use super::{got, shared};
use crate::support::directory::Directory;
use crate::support::{endpoints, unique};

fn once(request: RequestBuilder) -> RequestBuilder {
    request.header("idempotency-key", "once")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_answers_for_any_other() {
    let http = shared();
    let user = unique("user");
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let pending = slow_command(&http, &user).header("prefer", "respond-async");
    let pending = got(pending).await.expect(202);
    let waiting = format!("{}?wait=60", pending.header("location"));
    let done = got(http.reserve(&unique("product"), "r1"))
        .await
        .expect(200);
    let done_path = format!("/v1/requests/{}", done.body["request"].as_str().unwrap());

    // It was not there when the one result came, and is when the other one does.
    let replica = Replica::start(endpoints(), &[]).await;
    let answer = replica.http.get(&done_path).await.expect(200);
    assert_eq!(answer.body, done.body);
    let read = replica
        .metric("millstream_gateway_lookups_total", &["read"])
        .await;
    assert_eq!(read, 1.0, "it had to read the partition");
    replica.http.get(&done_path).await.expect(200);
    let read = replica
        .metric("millstream_gateway_lookups_total", &["read"])
        .await;
    assert_eq!(read, 1.0, "once");

    let asked = tokio::spawn(async move {
        let answer = replica.http.get(&waiting).await;
        (replica, answer)
    });
    directory.set_busy(&user, false).await;
    let (_replica, answer) = asked.await.unwrap();
    assert_eq!(answer.expect(200).body["key"], user);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_the_same_on_every_replica() {
    let product = unique("product");
    let first = got(once(shared().reserve(&product, "r1")))
        .await
        .expect(200);
    let replica = Replica::start(endpoints(), &[]).await;
    // Its event is dropped as known, and the answer is found where the first one is.
    let again = got(once(replica.http.reserve(&product, "r1")))
        .await
        .expect(200);
    assert_eq!(first.body["meta"], again.body["meta"]);
    let asynchronous = once(replica.http.reserve(&product, "r1"));
    let asynchronous = asynchronous.header("prefer", "respond-async");
    let answer = got(asynchronous).await.expect(200);
    assert_eq!(first.body["meta"], answer.body["meta"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_that_did_not_wait_is_found_by_its_new_id() {
    let product = unique("product");
    let first = got(once(shared().reserve(&product, "r1")))
        .await
        .expect(200);
    let replica = Replica::start(endpoints(), &[]).await;
    let again = once(replica.http.reserve(&product, "r1")).header("prefer", "respond-async");
    let again = got(again).await.expect(202);
    let answer = shared().get(again.header("location")).await.expect(200);
    assert_eq!(answer.body["meta"], first.body["meta"]);
    let answer = replica.http.get(again.header("location")).await.expect(200);
    assert_eq!(answer.body["meta"], first.body["meta"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_sends_the_waiting_to_the_others() {
    let mut replica = Replica::start(endpoints(), &[]).await;
    let user = unique("user");
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn(got(
                slow_command(&replica.http, &user).header("prefer", "wait=60")
            ))
        })
        .collect();
    replica.waiting(5).await;
    replica.signal(Signal::SIGTERM);
    let mut locations = Vec::new();
    for answer in waiting {
        let answer = answer.await.unwrap().expect(202);
        locations.push(answer.header("location").to_owned());
    }
    assert!(replica.end().await.success());
    directory.set_busy(&user, false).await;
    for location in locations {
        let answer = shared().get(&format!("{location}?wait=60")).await;
        answer.expect(200);
    }
}
