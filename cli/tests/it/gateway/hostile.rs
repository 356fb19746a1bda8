//! Clients that are slow, large, deep or many.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::access::Keys;
use super::replica::Replica;
use super::requests::slow_command;
use super::{got, try_got};
use crate::support::directory::Directory;
use crate::support::{LIMIT, endpoints, unique};

/// Sends bytes, and reads until the gateway closes the connection.
async fn raw(replica: &Replica, bytes: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(replica.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    // A reset is an end as well.
    let _ = read.expect("the gateway closes the connection");
    (
        String::from_utf8_lossy(&answer).into_owned(),
        begun.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off() {
    let replica = Replica::start(endpoints(), &["--slowest", "1"]).await;
    let (_, took) = raw(&replica, b"POST /reserve/a/b HTTP/1.1\r\nHost: x\r\nX-").await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    let head = "POST /packages/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n\"";
    let (answer, took) = raw(&replica, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("too-slow"), "{answer}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Others are served meanwhile and afterwards.
    got(replica.http.reserve(&unique("product"), "r"))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_are_refused_unread() {
    let replica = Replica::start(endpoints(), &["--max-body", "1000"]).await;
    let path = format!("/packages/{}", unique("package"));
    let fits = json!("x".repeat(900)).to_string();
    got(replica.http.post(&path).body(fits)).await.expect(200);
    let head = "POST /packages/a HTTP/1.1\r\nHost: x\r\n";
    let announced = format!("{head}Content-Length: 1000000\r\n\r\n");
    let (answer, _) = raw(&replica, announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("too-large"), "{answer}");
    let chunk = format!("3e9\r\n{}\r\n", "x".repeat(1001));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}");
    let (answer, _) = raw(&replica, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let header = format!("{head}X: {}\r\n\r\n", "x".repeat(100_000));
    let (answer, _) = raw(&replica, header.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let packed = replica.http.post(&path).header("content-encoding", "gzip");
    got(packed.body("x")).await.problem(415, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_is_refused() {
    let replica = Replica::start(endpoints(), &[]).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for path in ["/packages/a", "/v1/topics/product-reservations/a"] {
        let answer = got(replica.http.post(path).body(deep.clone())).await;
        answer.problem(400, "invalid-request");
    }
    let inner = format!(
        "{{\"data\": {{\"reservation_id\": {}1{}}}}}",
        "[".repeat(100),
        "]".repeat(100)
    );
    let answer = got(replica
        .http
        .post("/v1/topics/product-reservations/a")
        .body(inner))
    .await;
    answer.problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_turned_away_and_the_others_are_answered() {
    let replica = Replica::start(endpoints(), &["--max-waiting", "20"]).await;
    let user = unique("user");
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let flood: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn(try_got(
                slow_command(&replica.http, &user).header("prefer", "wait=60"),
            ))
        })
        .collect();
    replica.waiting(20).await;
    let full = got(replica.http.reserve(&unique("product"), "r")).await;
    assert_eq!(full.header("retry-after"), "1");
    full.problem(503, "overloaded");
    // Who does not wait takes no place.
    let asynchronous = replica.http.reserve(&unique("product"), "r");
    got(asynchronous.header("prefer", "respond-async"))
        .await
        .expect(202);
    directory.set_busy(&user, false).await;
    let mut answered = 0;
    for answer in flood {
        let answer = answer.await.unwrap().unwrap();
        match answer.status {
            200 => answered += 1,
            _ => drop(answer.problem(503, "overloaded")),
        }
    }
    assert!(answered >= 20, "{answered}");
    got(replica.http.reserve(&unique("product"), "r"))
        .await
        .expect(200);
    let refused = replica
        .metric(
            "millstream_gateway_requests_total",
            &["\"503\"", "overloaded"],
        )
        .await;
    assert_eq!(refused, f64::from(200 - answered + 1));
    assert_eq!(replica.metric("millstream_gateway_waiting", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn producer_and_memory_have_limits() {
    let replica = Replica::start(endpoints(), &["--max-producing", "0"]).await;
    let answer = got(replica.http.reserve(&unique("product"), "r")).await;
    answer.problem(503, "overloaded");
    let replica = Replica::start(endpoints(), &["--max-bodies", "10"]).await;
    let path = format!("/packages/{}", unique("package"));
    got(replica.http.post(&path).body("\"short\""))
        .await
        .expect(200);
    let answer = got(replica.http.post(&path).body("\"longer than that\"")).await;
    answer.problem(503, "overloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_served_when_another_one_ends() {
    let arguments = ["--max-connections", "2", "--slowest", "60"];
    let replica = Replica::start(endpoints(), &arguments).await;
    let connect = async || TcpStream::connect(replica.address()).await.unwrap();
    let (first, _second) = (connect().await, connect().await);
    let mut third = connect().await;
    third
        .write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    let early = third.read_exact(&mut answer);
    let early = tokio::time::timeout(Duration::from_millis(500), early).await;
    assert!(early.is_err(), "served beside two others");
    drop(first);
    let served = tokio::time::timeout(LIMIT, third.read_exact(&mut answer)).await;
    served.expect("a place is free").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_place_back() {
    let replica = Replica::start(endpoints(), &[]).await;
    let user = unique("user");
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let leaving = tokio::spawn(try_got(slow_command(&replica.http, &user)));
    replica.waiting(1).await;
    leaving.abort();
    crate::support::until("the place", async || {
        let waiting = replica.metric("millstream_gateway_waiting", &[]).await;
        (waiting == 0.0).then_some(())
    })
    .await;
    directory.set_busy(&user, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_key_is_refused() {
    let replica = Replica::start(endpoints(), &[]).await;
    let key = "k".repeat(7_000);
    let reserved = got(replica.http.reserve(&key, "r")).await;
    reserved.problem(400, "invalid-key");
    let path = format!("/v1/topics/product-reservations/{key}");
    let body = json!({ "data": { "reservation_id": "r" } }).to_string();
    let sent = got(replica.http.post(&path).body(body)).await;
    sent.problem(400, "invalid-key");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_strict_and_of_the_size_that_is_said() {
    let replica = Replica::start(endpoints(), &[]).await;
    let head = "GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let of_size = |size: usize| {
        let rest = size - head.len() - "X: \r\n\r\n".len();
        format!("{head}X: {}\r\n\r\n", "x".repeat(rest))
    };
    for (size, status) in [(32_768, 200), (32_769, 431), (40_000, 431)] {
        let (answer, _) = raw(&replica, of_size(size).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{size}");
    }
    let good = format!("{head}\r\n");
    for bad in [
        good.replacen("\r\n", "\n", 1),
        good.replace("Host: x\r\n", "Host: x\n"),
        good.replace("\r\n\r\n", "\r\n\n"),
        good.replace(
            "\r\n\r\n",
            "\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ),
        good.replace(
            "\r\n\r\n",
            "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let (answer, _) = raw(&replica, bad.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad:?}: {answer}");
    }
    // Bodies of both kinds, and what is sent before it is asked for.
    let body = "{\"reservation_id\": \"r\"}";
    let path = format!(
        "POST /v1/topics/product-reservations/{} HTTP/1.1",
        unique("p")
    );
    let data = format!("{{\"data\":\n{body}}}");
    let counted = format!("Content-Length: {}\r\n\r\n{data}", data.len());
    let chunked = format!(
        "Transfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{data}\r\n0\r\n\r\n",
        data.len()
    );
    let both = format!("{path}\r\nHost: x\r\n{counted}{path}\r\nHost: x\r\n{chunked}{good}");
    let (answer, _) = raw(&replica, both.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_places_of_others() {
    let keys = Keys::new();
    let [alice, bob] = ["alice", "bob"].map(|it| keys.create(it, &["*:*"], &[]));
    let gateway = keys.gateway(&["--max-waiting", "20"]).await;
    let user = unique("user");
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let flood: Vec<_> = (0..40)
        .map(|_| {
            let request = slow_command(&gateway.http, &user).header("prefer", "wait=60");
            tokio::spawn(try_got(request.bearer_auth(&alice)))
        })
        .collect();
    gateway.waiting(10).await;
    let refused = got(gateway
        .http
        .reserve(&unique("product"), "r")
        .bearer_auth(&alice))
    .await;
    refused.problem(503, "overloaded");
    got(gateway
        .http
        .reserve(&unique("product"), "r")
        .bearer_auth(&bob))
    .await
    .expect(200);
    directory.set_busy(&user, false).await;
    for request in flood {
        request.abort();
    }
}
