//! Pages in browsers: which may use a gateway, and how they follow a request.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::access::{Keys, events};
use super::requests::slow_command;
use super::{Got, got, shared};
use crate::support::directory::Directory;
use crate::support::{endpoints, unique};

const ORIGIN: &str = "https://app.example";

/// Checks that a page of the origin may read the response.
fn readable(answer: Got) -> Got {
    assert_eq!(
        answer.header("access-control-allow-origin"),
        ORIGIN,
        "{answer:?}"
    );
    assert_eq!(answer.header("vary"), "Origin");
    let exposed = answer.header("access-control-expose-headers");
    for name in ["Location", "Retry-After", "Preference-Applied"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_may_use_every_route() {
    let keys = Keys::new();
    let key = keys.create("alice", &["*:*"], &[]);
    let origins = format!("http://localhost:3000,{ORIGIN}");
    let gateway = keys.gateway(&["--cors-origin", &origins]).await;
    let http = &gateway.http;
    let document = http.request(Method::GET, "/openapi.json").bearer_auth(&key);
    let document = got(document).await.expect(200).body;
    let paths = document["paths"].as_object().unwrap().keys();
    let paths: Vec<String> = paths.map(|path| path.replace(['{', '}'], "")).collect();
    assert!(paths.len() > 40, "{paths:?}");
    let asked = |path: &str, origin: &str| {
        let request = http.request(Method::OPTIONS, path).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        got(request.header("access-control-request-headers", "authorization,prefer"))
    };
    // Without a key, whether or not there is something.
    for path in paths.iter().map(String::as_str).chain(["/nothing"]) {
        let answer = asked(path, ORIGIN).await.expect(204);
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        assert!(
            answer
                .header("access-control-allow-methods")
                .contains("POST")
        );
        let headers = answer.header("access-control-allow-headers");
        for name in [
            "Authorization",
            "Content-Type",
            "Prefer",
            "Idempotency-Key",
            "X-API-Key",
        ] {
            assert!(headers.contains(name), "{headers}");
        }
        assert_eq!(answer.header("access-control-max-age"), "7200");
        assert!(answer.header("vary").starts_with("Origin"));
    }
    let other = asked("/reserve/a/b", "https://app.example.evil").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    assert_eq!(other.header("vary"), "Origin");
    other.problem(401, "unauthenticated");

    let product = unique("product");
    let reserve = || http.reserve(&product, "r1").header("origin", ORIGIN);
    readable(got(reserve()).await).problem(401, "unauthenticated");
    readable(got(reserve().bearer_auth(&key)).await).expect(200);
    let pending = reserve()
        .bearer_auth(&key)
        .header("prefer", "respond-async");
    let pending = readable(got(pending).await).expect(202);
    let get = |path: &str| {
        let request = http.request(Method::GET, path).header("origin", ORIGIN);
        got(request.bearer_auth(&key))
    };
    readable(get("/nothing").await).problem(404, "not-found");
    readable(get("/reserve/a/b").await).problem(405, "method-not-allowed");
    let location = pending.header("location");
    readable(get(&format!("{location}?wait=30")).await).expect(200);
    readable(get(&format!("{location}/events")).await).expect(200);
    // Whoever is no page is answered as ever.
    let plain = got(http.reserve(&product, "r1").bearer_auth(&key)).await;
    let plain = plain.expect(200);
    assert_eq!(plain.header("access-control-allow-origin"), "");
    assert_eq!(plain.header("vary"), "Origin");
}

/// `EventSource` sends no headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_stream_without_a_key() {
    let keys = Keys::new();
    let [alice, bob] = ["alice", "bob"].map(|it| keys.create(it, &["*:*"], &[]));
    let sender = keys.create("alice", &["send:*"], &[]);
    let gateway = keys.gateway(&["--cors-origin", ORIGIN]).await;
    let (http, user) = (&gateway.http, unique("user"));
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let send = |key: &str| {
        let request = slow_command(http, &user).header("prefer", "respond-async");
        got(request.bearer_auth(key))
    };
    let pending = send(&alice).await.expect(202);
    let location = pending.header("location").to_owned();
    let other = send(&alice).await.expect(202);
    let ask =
        |key: &str, location: &str| got(http.post(&format!("{location}/ticket")).bearer_auth(key));
    ask(&bob, &location).await.problem(404, "not-found");
    ask(&sender, &location).await.problem(403, "forbidden");
    let ticket = ask(&alice, &location).await.expect(200);
    assert_eq!(ticket.header("cache-control"), "no-store");
    assert_eq!(ticket.body["expires_in"], 60);
    let events = ticket.body["events"].as_str().unwrap().to_owned();
    let ticket = ticket.body["ticket"].as_str().unwrap().to_owned();
    assert_eq!(events, format!("{location}/events?ticket={ticket}"));

    // For nothing else, and for nobody without it.
    for path in [
        format!("{location}?ticket={ticket}"),
        format!("{}/events?ticket={ticket}", other.header("location")),
        format!("{location}/events"),
        format!("{location}/events?ticket="),
        format!("/openapi.json?ticket={ticket}"),
    ] {
        http.get(&path).await.problem(401, "unauthenticated");
    }
    let request = http.request(Method::GET, &events).header("origin", ORIGIN);
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["access-control-allow-origin"], ORIGIN);
    let begin = stream.chunk().await.unwrap().unwrap();
    assert!(begin.starts_with(b"event: accepted"), "{begin:?}");
    directory.set_busy(&user, false).await;
    let rest = stream.text().await.unwrap();
    let result = rest
        .split("event: result\ndata: ")
        .nth(1)
        .expect("a result");
    let result: Value = serde_json::from_str(result.lines().next().unwrap()).unwrap();
    assert_eq!(result["key"], user);
    let refused = gateway
        .metric("millstream_gateway_refused_total", &["\"ticket\""])
        .await;
    assert_eq!(refused, 2.0);
    let log = gateway.log();
    assert!(!log.contains(&ticket) && !log.contains(&alice), "{log}");
}

/// Whether it was opened with the key or with a ticket of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_key() {
    let keys = Keys::new();
    let alice = keys.create("alice", &["*:*"], &[]);
    let gateway = keys.gateway(&[]).await;
    let (http, user) = (&gateway.http, unique("user"));
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let request = slow_command(http, &user).header("prefer", "respond-async");
    let pending = got(request.bearer_auth(&alice)).await.expect(202);
    let location = pending.header("location").to_owned();
    let ticket = http.post(&format!("{location}/ticket"));
    let ticket = got(ticket.bearer_auth(&alice)).await.expect(200);
    let by_ticket = ticket.body["events"].as_str().unwrap().to_owned();
    let by_key = http.request(Method::GET, &format!("{location}/events"));
    let mut streams = Vec::new();
    for request in [
        by_key.bearer_auth(&alice),
        http.request(Method::GET, &by_ticket),
    ] {
        let mut stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let begin = stream.chunk().await.unwrap().unwrap();
        assert!(begin.starts_with(b"event: accepted"), "{begin:?}");
        streams.push(stream);
    }
    keys.revoke(&alice);
    let revoked = Instant::now();
    for stream in streams {
        let rest = stream.text().await.unwrap();
        assert!(!rest.contains("event: "), "{rest}");
    }
    assert!(revoked.elapsed() < Duration::from_secs(10));
    http.get(&by_ticket).await.problem(401, "unauthenticated");
    directory.set_busy(&user, false).await;
}

/// A gateway that asks nobody for a key would do what any page asks it to.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_send_nothing_to_a_gateway_that_serves_everybody() {
    let (http, product) = (shared(), unique("product"));
    let send = |name: &str, value: &str| {
        // As a form does: without being asked first.
        let request = http
            .reserve(&product, "r1")
            .header("content-type", "text/plain");
        got(request.header(name, value).body(json!({}).to_string()))
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let refused = send(name, value).await.problem(403, "forbidden");
        assert!(
            refused["detail"]
                .as_str()
                .unwrap()
                .contains("--cors-origin")
        );
    }
    assert!(events("product-reservations", &product).await.is_empty());
    send("origin", &http.url).await.expect(200);
}
