//! What the present routes do, and what becomes of a request's headers.

use millstream_pipeline::codec::Codec;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_topics::TOPICS;
use reqwest::Method;
use serde_json::json;

use super::{Got, got, shared};
use crate::support::{client, endpoints, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_200_whatever_it_says() {
    let (http, product) = (shared(), unique("product"));
    for (reservation, reserved) in [("r1", true), ("r2", false), ("r1", true)] {
        let answer = got(http.reserve(&product, reservation)).await.expect(200);
        assert_eq!(
            answer.body["type"],
            "millstream.product_reservations.ProductReserved"
        );
        assert_eq!(
            answer.body["data"],
            json!({ "reservation_id": reservation, "reserved": reserved })
        );
        assert_eq!(answer.body["key"], product);
        assert_eq!(answer.header("cache-control"), "no-store");
        let meta = &answer.body["meta"];
        assert_eq!(meta["source"], format!("ProductReservations/{product}"));
        assert_eq!(meta["causation_id"], meta["correlation_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_registered_sighted_and_asked_for() {
    let (http, package) = (shared(), unique("package"));
    let path = format!("/packages/{package}");
    let missing = http.get(&path).await;
    missing.problem(409, "package-not-registered");
    got(http.post(&path).body("\"Bridge 6, Amsterdam\""))
        .await
        .expect(200);
    let sighting = json!({ "data": { "timestamp": "2026-11-21 10:00", "location": "Bridge 5" } });
    let fact = format!("/v1/topics/package-location-updates/{package}");
    let accepted = got(http.post(&fact).json(&sighting)).await.expect(202);
    assert_eq!(accepted.header("location"), "", "a fact has no result");
    assert_eq!(accepted.body["status"], "accepted");
    assert!(accepted.body["event"]["id"].is_string());
    crate::support::until("the sighting", async || {
        let answer = http.get(&path).await.expect(200);
        let data = &answer.body["data"];
        assert_eq!(data["final_destination"], "Bridge 6, Amsterdam");
        (data["locations"][0]["location"] == "Bridge 5").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_recorded_limited_and_asked_for() {
    let (http, customer) = (shared(), unique("customer"));
    let path = format!("/usage/{customer}");
    let quota = http.request(Method::PUT, &format!("{path}/quotas/api-calls"));
    let set = got(quota.body("5")).await.expect(200);
    assert_eq!(set.body["data"], json!({ "limit": 5 }));
    let used = json!({ "resource": "api-calls", "units": 3, "record_id": "record1" });
    for _ in 0..2 {
        let recorded = got(http.post(&path).json(&used)).await.expect(200);
        let expected = json!({ "resource": "api-calls", "total": 3, "remaining": 2 });
        assert_eq!(recorded.body["data"], expected);
    }
    let usage = http.get(&path).await.expect(200);
    let expected = json!([{ "resource": "api-calls", "total": 3, "limit": 5 }]);
    assert_eq!(usage.body["data"]["entries"], expected);
    let none = json!({ "resource": "api-calls", "units": 0 });
    let refused = got(http.post(&path).json(&none)).await;
    refused.problem(422, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_is_checked_out_under_an_id_that_is_told_at_once() {
    let (http, user) = (shared(), unique("user"));
    let path = format!("/api/v1/user/{user}");
    let add = async || {
        let answer = got(http.post(&format!("{path}/add-item")).body("\"laptop\"")).await;
        assert_eq!(answer.expect(200).body["data"]["items"], json!(["laptop"]));
    };
    let checkout = || http.post(&format!("{path}/checkout"));
    let result = async |accepted: &Got| {
        let waited = format!("{}?wait=60", accepted.header("location"));
        let answer = http.get(&waited).await.expect(200);
        assert!(
            answer.body["type"]
                .as_str()
                .unwrap()
                .ends_with(".CheckoutCompleted")
        );
        answer.body["data"]["order_id"].clone()
    };
    add().await;
    let made = got(checkout().header("idempotency-key", "once"));
    let made = made.await.expect(202);
    let order = &made.body["event"]["data"]["order_id"];
    assert!(order.as_str().is_some_and(|id| !id.is_empty()), "{made:?}");
    assert_eq!(result(&made).await, *order);
    // Again, as after a lost response: the same order.
    let again = got(checkout().header("idempotency-key", "once")).await;
    assert_eq!(again.expect(200).body["data"]["order_id"], *order);

    add().await;
    let order = unique("order");
    let named = got(checkout().json(&json!({ "order_id": order })));
    let named = named.await.expect(202);
    assert_eq!(result(&named).await, *order);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_event_is_sent_by_its_topic() {
    let (http, user) = (shared(), unique("user"));
    let path = format!("/v1/topics/user-updates/{user}");
    let data = json!({ "profile": "p", "permissions": "q", "resources": "r" });
    for kind in ["UserUpdate", "millstream.user_updates.UserUpdate"] {
        let answer = got(http
            .post(&path)
            .json(&json!({ "type": kind, "data": data })))
        .await
        .expect(200);
        assert_eq!(answer.body["key"], user);
    }
    got(http.post(&path).json(&json!({ "data": data })))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_may_hold_any_text() {
    let (http, product) = (shared(), unique("Größe 4/5 %"));
    let path = percent(&product);
    let answer = got(http.reserve(&path, "a%20b")).await.expect(200);
    assert_eq!(answer.body["key"], product);
    assert_eq!(answer.body["data"]["reservation_id"], "a b");
    let bad = got(http.reserve("%ff", "r")).await;
    bad.problem(400, "invalid-request");
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The trace goes on; everything else that a client might forge stays outside.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_but_the_trace_reaches_the_event() {
    let (http, product) = (shared(), unique("product"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let results = client().await;
    let request = http
        .reserve(&product, "r1")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .header("tracestate", "a=1")
        .header("ce_id", "forged")
        .header("ce_source", "forged")
        .header("principal", "forged")
        .header("x-restate-id", "forged");
    let answer = got(request).await.expect(200);
    let command = read("product-reservations", &product).await;
    let names: Vec<_> = command.headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ce_correlationid",
            "ce_id",
            "ce_source",
            "ce_specversion",
            "ce_time",
            "ce_type",
            "traceparent",
            "tracestate"
        ]
    );
    let meta = command.meta.clone().unwrap();
    assert_eq!(meta.id, answer.body["meta"]["causation_id"]);
    assert_eq!((meta.source.as_str(), meta.principal), ("gateway", None));
    assert!(meta.traceparent.unwrap().contains(trace));
    let result = results
        .wait_for("the result", crate::support::LIMIT, |seen| {
            seen.key.as_ref() == Some(&product)
        })
        .await
        .unwrap();
    assert!(result.header("traceparent").unwrap().contains(trace));

    let untraced = unique("product");
    got(http
        .reserve(&untraced, "r")
        .header("traceparent", "nonsense"))
    .await
    .expect(200);
    let command = read("product-reservations", &untraced).await;
    let made = command.header("traceparent").unwrap();
    assert!(made.starts_with("00-") && made.len() == 55, "{made}");
}

async fn read(topic: &str, key: &str) -> Seen {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let config = kafka::client(&endpoints().kafka);
    let mut reader = Reader::new(config, &[topic.to_owned()], From::Beginning)
        .await
        .unwrap();
    loop {
        match reader.next(&codec).await.unwrap() {
            Next::Record(seen) if seen.key.as_deref() == Some(key) => return *seen,
            Next::Record(_) => {}
            Next::End => panic!("{topic} has no record of {key}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_paths_are_refused() {
    let http = shared();
    let wrong = got(http.request(Method::PUT, "/reserve/a/b")).await;
    assert_eq!(wrong.header("allow"), "POST");
    wrong.problem(405, "method-not-allowed");
    let head = got(http.request(Method::HEAD, "/packages/a")).await;
    assert_eq!(head.status, 405, "HEAD must not send an event");
    let wrong = got(http.post("/openapi.json")).await;
    wrong.problem(405, "method-not-allowed");
    // What is for operators is on another listener.
    for path in ["/", "/metrics", "/health", "/ready"] {
        http.get(path).await.problem(404, "not-found");
    }
    http.get("/reserve/a").await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_topics_are_described() {
    let http = shared();
    let openapi = http.get("/openapi.json").await.expect(200).body;
    assert_eq!(openapi["openapi"], "3.1.0");
    let webhook = &openapi["paths"]["/payment-webhooks"]["post"];
    assert_eq!(webhook["security"], json!([]));
    let body = &webhook["requestBody"]["content"]["application/json"]["schema"];
    let metadata = &body["properties"]["data"]["properties"]["object"]["properties"]["metadata"];
    let payment_id = &metadata["properties"]["payment_id"];
    assert_eq!(payment_id["type"], json!(["string", "null"]));
    assert_eq!(payment_id["maxLength"], 256, "it is the key");
    assert_eq!(body["properties"]["created"]["type"], "integer");
    let asyncapi = http.get("/asyncapi.json").await.expect(200).body;
    assert_eq!(
        asyncapi["channels"]["user-sessions"]["address"],
        "user-sessions"
    );
}
