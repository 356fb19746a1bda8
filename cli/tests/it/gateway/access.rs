//! Who may do what: API keys, over HTTP.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use millstream_pipeline::codec::Codec;
use millstream_pipeline::identity::SigningKey;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_topics::TOPICS;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::replica::Replica;
use super::requests::slow_command;
use super::{Got, got};
use crate::support::directory::Directory;
use crate::support::{endpoints, stack_folder, unique, until};

/// A file of keys.
pub struct Keys {
    folder: TempDir,
    path: PathBuf,
}

impl Keys {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        Self { folder, path }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(["keys", verb, "--keys", self.path()])
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), text.trim().to_owned())
    }

    /// A new key's text.
    pub fn create(&self, principal: &str, scopes: &[&str], arguments: &[&str]) -> String {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let scopes: Vec<&str> = [principal].into_iter().chain(scopes).collect();
        let (created, key) = self.run("create", &[&scopes[..], arguments].concat());
        assert!(created, "{key}");
        key
    }

    pub fn revoke(&self, key: &str) {
        let (revoked, _) = self.run("revoke", &[id(key)]);
        assert!(revoked);
    }

    /// Ends a key's time.
    fn expire(&self, key: &str) {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        let keys = file["keys"].as_array_mut().unwrap();
        let key = keys.iter_mut().find(|it| it["id"] == id(key)).unwrap();
        key["expires_at"] = "2026-01-01T00:00:00Z".into();
        std::fs::write(&self.path, file.to_string()).unwrap();
    }

    pub async fn gateway(&self, arguments: &[&str]) -> Replica {
        let signing = signing_key();
        let keys = ["--keys", self.path(), "--signing-key", &signing];
        Replica::asking(endpoints(), &[&keys, arguments].concat()).await
    }
}

/// The file of the stack's own key, which its handlers trust.
pub fn signing_key() -> String {
    let file = stack_folder().join("keys/gateway.pem");
    file.to_str().unwrap().to_owned()
}

fn id(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

/// All events of a key, up to the end that the topic has now.
pub async fn events(topic: &str, key: &str) -> Vec<Seen> {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let config = kafka::client(&endpoints().kafka);
    let mut reader = Reader::new(config, &[topic.to_owned()], From::Beginning)
        .await
        .unwrap();
    let mut events = Vec::new();
    loop {
        match reader.next(&codec).await.unwrap() {
            Next::Record(seen) if seen.key.as_deref() == Some(key) => events.push(*seen),
            Next::Record(_) => {}
            Next::End => return events,
        }
    }
}

/// Checks that a request is answered as everybody unknown is.
pub async fn unauthenticated(request: RequestBuilder) {
    let answer = got(request).await;
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    let expected = json!({
        "type": "urn:millstream:problem:unauthenticated",
        "title": "unauthenticated",
        "status": 401,
        "code": "unauthenticated",
        "detail": "the request has no valid key, token or signature",
    });
    assert_eq!(answer.problem(401, "unauthenticated"), expected);
}

fn forbidden(answer: Got) {
    let expected = json!({
        "type": "urn:millstream:problem:forbidden",
        "title": "forbidden",
        "status": 403,
        "code": "forbidden",
        "detail": "the key or token does not allow this",
    });
    assert_eq!(answer.problem(403, "forbidden"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_unknown_sends_an_event() {
    let keys = Keys::new();
    let all = &["*:*"];
    let [key, expired, revoked] = ["alice", "bob", "carol"].map(|it| keys.create(it, all, &[]));
    keys.expire(&expired);
    keys.revoke(&revoked);
    let gateway = keys.gateway(&[]).await;
    let (http, product) = (&gateway.http, unique("product"));
    let reserve = || http.reserve(&product, "r1");
    let (start, secret) = key.split_at(20);
    let unknown = format!("ms_0000000000000000_{secret}");
    let wrong = format!("{start}{}", "0".repeat(64));
    let longer = format!("{key}0");
    let keys = [&unknown, &wrong, &longer, &expired, &revoked];
    let others = ["", "ms_", "x", "a.b.c"];
    for key in keys.into_iter().map(String::as_str).chain(others) {
        unauthenticated(reserve().header("x-api-key", key)).await;
        unauthenticated(reserve().bearer_auth(key)).await;
    }
    unauthenticated(reserve()).await;
    unauthenticated(reserve().header("authorization", format!("Basic {key}"))).await;
    let twice = reserve().header("x-api-key", &key);
    unauthenticated(twice.bearer_auth(&key)).await;
    // Nothing is said of what there is.
    for path in ["/", "/openapi.json", "/v1/requests/x", "/v1/topics/a/b"] {
        unauthenticated(http.request(Method::GET, path)).await;
    }
    unauthenticated(http.request(Method::PUT, "/reserve/a/b")).await;
    assert!(events("product-reservations", &product).await.is_empty());

    got(reserve().header("x-api-key", &key)).await.expect(200);
    got(reserve().bearer_auth(&key)).await.expect(200);
    let sent = events("product-reservations", &product).await;
    assert_eq!(sent.len(), 2);
    for event in sent {
        let meta = event.meta.unwrap();
        assert_eq!(meta.principal.as_deref(), Some("alice"));
    }
    let refused = async |reason: &str| {
        let reason = format!("\"{reason}\"");
        gateway
            .metric("millstream_gateway_refused_total", &[&reason])
            .await
    };
    assert_eq!(refused("expired-key").await, 2.0);
    assert_eq!(refused("revoked-key").await, 2.0);
    assert!(refused("missing").await >= 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_allows_what_its_scopes_say() {
    let keys = Keys::new();
    let sender = keys.create("sensor", &["send:product-*"], &[]);
    let reader = keys.create("sensor", &["read:product-*", "send:user-updates"], &[]);
    let all = keys.create("all", &["*:*"], &[]);
    let gateway = keys.gateway(&[]).await;
    let (http, product) = (&gateway.http, unique("product"));

    // Who may not read is not told the result, whatever is preferred.
    let sent = http.reserve(&product, "r1").header("prefer", "wait=30");
    let sent = got(sent.bearer_auth(&sender)).await.expect(202);
    let location = sent.header("location").to_owned();
    let ask = |key: &str, path: &str| got(http.request(Method::GET, path).bearer_auth(key));
    forbidden(ask(&sender, &location).await);
    forbidden(ask(&sender, &format!("{location}/events")).await);
    let waited = format!("{location}?wait=30");
    ask(&reader, &waited).await.expect(200);
    ask(&all, &waited).await.problem(404, "not-found");

    let fresh = unique("product");
    forbidden(got(http.reserve(&fresh, "r1").bearer_auth(&reader)).await);
    let generic = |topic: &str| http.post(&format!("/v1/topics/{topic}/{fresh}"));
    let body = json!({ "data": { "reservation_id": "r1" } });
    // A topic that there is, one that only services use, and one that there is not.
    for topic in ["product-reservations", "timers", "replies", "nothing"] {
        forbidden(got(generic(topic).bearer_auth(&reader).json(&body)).await);
    }
    for topic in ["timers", "replies", "nothing"] {
        let answer = got(generic(topic).bearer_auth(&all).json(&body)).await;
        answer.problem(404, "not-found");
    }
    assert!(events("product-reservations", &fresh).await.is_empty());
    assert!(events("timers", &fresh).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_s_requests_are_its_own() {
    let keys = Keys::new();
    let [alice, bob] = ["alice", "bob"].map(|it| keys.create(it, &["*:*"], &[]));
    let gateway = keys.gateway(&[]).await;
    let (http, product) = (&gateway.http, unique("product"));
    let reserve = |key: &str| {
        let request = http.reserve(&product, "r1").header("idempotency-key", "k");
        got(request.bearer_auth(key))
    };
    let answer = reserve(&alice).await.expect(200);
    let location = format!("/v1/requests/{}", answer.body["request"].as_str().unwrap());
    let ask = |key: &str, path: &str| got(http.request(Method::GET, path).bearer_auth(key));
    for path in [location.clone(), format!("{location}/events")] {
        ask(&bob, &path).await.problem(404, "not-found");
    }
    // The same key of another principal is another request.
    let other = reserve(&bob).await.expect(200);
    assert_ne!(
        other.body["meta"]["causation_id"],
        answer.body["meta"]["causation_id"]
    );
    let same = reserve(&alice).await.expect(200);
    assert_eq!(
        same.body["meta"]["causation_id"],
        answer.body["meta"]["causation_id"]
    );

    // Rotation: the new key sees what the old one did, and lives on alone.
    let new = keys.create("alice", &["*:*"], &[]);
    let (third, _) = keys.run("create", &["alice", "--scope", "*:*"]);
    assert!(!third, "two keys live at most");
    until("the new key", async || {
        (ask(&new, &location).await.status == 200).then_some(())
    })
    .await;
    ask(&alice, &location).await.expect(200);
    keys.revoke(&alice);
    until("the end of the old key", async || {
        (ask(&alice, &location).await.status == 401).then_some(())
    })
    .await;
    ask(&new, &location).await.expect(200);
    // What cannot be read changes nothing.
    std::fs::write(keys.path(), "no JSON").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    ask(&new, &location).await.expect(200);
    ask(&alice, &location).await.problem(401, "unauthenticated");
}

/// What it was to be told of lives on, and another key of the same principal is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_key() {
    let keys = Keys::new();
    let [alice, new] = [(); 2].map(|()| keys.create("alice", &["*:*"], &[]));
    let gateway = keys.gateway(&[]).await;
    let (http, user) = (&gateway.http, unique("user"));
    let directory = Directory::of(endpoints());
    directory.set_busy(&user, true).await;
    let send = |preference: &str| {
        let request = slow_command(http, &user).header("prefer", preference);
        got(request.bearer_auth(&alice))
    };
    let ask = |key: &str, location: &str, wait: u32| {
        let waited = format!("{location}?wait={wait}");
        got(http.request(Method::GET, &waited).bearer_auth(key))
    };
    let pending = send("respond-async").await.expect(202);
    let asked = tokio::spawn(ask(&alice, pending.header("location"), 60));
    let sent = tokio::spawn(send("wait=60"));
    gateway.waiting(2).await;
    keys.revoke(&alice);
    let revoked = Instant::now();
    asked.await.unwrap().problem(401, "unauthenticated");
    // It was sent, which a 401 would deny.
    let sent = sent.await.unwrap().expect(202);
    assert!(revoked.elapsed() < Duration::from_secs(10));
    let location = sent.header("location");
    let refused = ask(&alice, location, 0).await;
    refused.problem(401, "unauthenticated");
    ask(&new, location, 0).await.expect(202);
    directory.set_busy(&user, false).await;
    let answer = ask(&new, location, 60).await.expect(200);
    assert_eq!(answer.body["key"], user);
    let refused = gateway
        .metric("millstream_gateway_refused_total", &["\"revoked-key\""])
        .await;
    assert_eq!(refused, 2.0);
}

/// From the key to the handler: the gateway proves who sends, and the handler refuses who may not.
#[tokio::test(flavor = "multi_thread")]
async fn alice_does_not_fill_bob_s_basket() {
    let (alice, bob) = (unique("alice"), unique("bob"));
    let keys = Keys::new();
    let [of_alice, of_bob] = [&alice, &bob].map(|it| keys.create(it, &["*:*"], &[]));
    let gateway = keys.gateway(&[]).await;
    let add = async |key: &str, item: &str| {
        let request = gateway.http.post(&format!("/api/v1/user/{bob}/add-item"));
        got(request.bearer_auth(key).json(&json!(item))).await
    };
    let refused = add(&of_alice, "radio").await;
    refused.problem(403, "forbidden");
    let added = add(&of_bob, "laptop").await.expect(200);
    assert_eq!(added.body["data"]["items"], json!(["laptop"]));
    let checkout = gateway.http.post(&format!("/api/v1/user/{bob}/checkout"));
    let checkout = checkout.header("prefer", "wait=30").bearer_auth(&of_alice);
    got(checkout).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_turned_away() {
    let keys = Keys::new();
    let slow = keys.create("slow", &["*:*"], &["--rate", "1", "--burst", "3"]);
    let other = keys.create("other", &["*:*"], &[]);
    let gateway = keys.gateway(&["--rate", "1000"]).await;
    let http = &gateway.http;
    let mut refused = None;
    for _ in 0..20 {
        let product = unique("product");
        let request = http
            .reserve(&product, "r")
            .header("prefer", "respond-async");
        let answer = got(request.bearer_auth(&slow)).await;
        if answer.status == 429 {
            refused = Some((product, answer));
            break;
        }
        answer.expect(202);
    }
    let (product, answer) = refused.expect("the bucket is empty at some time");
    assert_eq!(answer.header("retry-after"), "1");
    answer.problem(429, "rate-limited");
    assert!(events("product-reservations", &product).await.is_empty());
    got(http.reserve(&unique("product"), "r").bearer_auth(&other))
        .await
        .expect(200);
    until("another token", async || {
        let request = http.reserve(&product, "r").bearer_auth(&slow);
        (got(request).await.status == 200).then_some(())
    })
    .await;
    let refused = gateway
        .metric("millstream_gateway_refused_total", &["\"rate\""])
        .await;
    assert!(refused >= 1.0);
}

#[test]
fn a_gateway_does_not_start_without_knowing_who_may_send() {
    let start = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args([
                "gateway",
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "127.0.0.1:0",
            ])
            .args([
                "--kafka",
                "127.0.0.1:1",
                "--schema-registry",
                "http://127.0.0.1:1",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(start(&[]).contains("--insecure-dev serves everybody"));
    let keys = Keys::new();
    let unsigned = start(&["--keys", keys.path()]);
    assert!(unsigned.contains("--signing-key"), "{unsigned}");
    let signing = keys.folder.path().join("signing.pem");
    SigningKey::create(&signing).unwrap();
    let signing = signing.to_str().unwrap();
    let missing = start(&["--keys", "/nowhere/keys.json", "--signing-key", signing]);
    assert!(missing.contains("/nowhere/keys.json"), "{missing}");
    let both = start(&["--keys", "/nowhere/keys.json", "--insecure-dev"]);
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(start(&["--jwks", "x"]).contains("--audience"));
}
