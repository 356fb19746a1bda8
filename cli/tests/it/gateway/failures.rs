//! Requests that are refused, before anything is sent and after.

use serde_json::{Value, json};

use super::{Got, got, shared};
use crate::support::unique;

async fn send(body: impl Into<String>) -> Got {
    let path = format!("/v1/topics/product-reservations/{}", unique("product"));
    got(shared().post(&path).body(body.into())).await
}

fn errors(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            let text = |name| error[name].as_str().unwrap();
            (text("field"), text("detail"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused_with_the_field() {
    for body in ["", "nonsense", "[]", "{\"data\": 5}", "{\"datum\": {}}"] {
        send(body).await.problem(400, "invalid-request");
    }
    let unknown = send(json!({ "type": "Nothing", "data": {} }).to_string()).await;
    let problem = unknown.problem(400, "invalid-request");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("ReserveProduct"), "{detail}");

    let wrong = json!({ "data": { "reservation_id": 5, "other": 1 } });
    let problem = send(wrong.to_string())
        .await
        .problem(400, "invalid-request");
    let expected = [
        ("reservation_id", "must be a string"),
        ("other", "is not a field"),
    ];
    assert_eq!(errors(&problem), expected);
    let problem = send("{\"data\": {}}").await.problem(400, "invalid-request");
    assert_eq!(errors(&problem), [("reservation_id", "is missing")]);
    let meta = json!({ "data": { "reservation_id": "r", "meta": null } });
    let problem = send(meta.to_string()).await.problem(400, "invalid-request");
    assert_eq!(errors(&problem), [("meta", "is not a field")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_takes_no_more_than_it_needs() {
    let http = shared();
    let body = got(http
        .reserve(&unique("product"), "r")
        .json(&json!({ "x": 1 })))
    .await;
    body.problem(400, "invalid-request");
    let path = format!("/packages/{}", unique("package"));
    let missing = got(http.post(&path)).await.problem(400, "invalid-request");
    assert_eq!(errors(&missing), [("final_destination", "is missing")]);
    let wrong = got(http.post(&path).body("5")).await;
    let wrong = wrong.problem(400, "invalid-request");
    assert_eq!(errors(&wrong), [("final_destination", "must be a string")]);
}

/// Which of the two counts is not said, so neither does.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_twice_is_refused() {
    let account = unique("account");
    let path = format!("/v1/topics/accounts/{account}");
    for body in [
        r#"{"type":"Deposit","type":"Withdraw","data":{"amount_cents":1}}"#,
        r#"{"type":"Deposit","data":{"amount_cents":1,"amount_cents":100}}"#,
    ] {
        let answer = got(shared().post(&path).body(body)).await;
        let problem = answer.problem(400, "invalid-request");
        assert!(problem["detail"].as_str().unwrap().contains("twice"));
    }
    let deposit = format!("/accounts/{account}/deposits");
    let body = r#"{"amount_cents":1,"amount_cents":100}"#;
    got(shared().post(&deposit).body(body))
        .await
        .problem(400, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_no_control_characters() {
    for key in ["a%0Ab", "%09", "a%00", "%7F", "a%C2%85b"] {
        for (path, body) in [
            (format!("/v1/topics/product-reservations/{key}"), "{}"),
            (format!("/reserve/{key}/r"), ""),
            (format!("/packages/{key}"), "\"x\""),
        ] {
            let answer = got(shared().post(&path).body(body)).await;
            answer.problem(400, "invalid-key");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_not_for_clients_are_not_there() {
    for topic in ["nothing", "replies", "product-reservations-results"] {
        let path = format!("/v1/topics/{topic}/key");
        let answer = got(shared().post(&path).json(&json!({ "data": {} }))).await;
        answer.problem(404, "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_is_a_problem_with_its_code() {
    // What the handler refuses is 422; nobody would mend it by sending it again.
    let refused = send("{\"data\": {\"reservation_id\": \"\"}}").await;
    let problem = refused.problem(422, "invalid-request");
    assert_eq!(problem["type"], "urn:millstream:problem:invalid-request");
    assert!(problem["meta"]["causation_id"].is_string(), "{problem}");
    let request = problem["request"].as_str().unwrap();
    let again = shared().get(&format!("/v1/requests/{request}")).await;
    again.problem(422, "invalid-request");

    let http = shared();
    let late = http
        .reserve(&unique("product"), "r")
        .header("millstream-expires", "2026-01-01T00:00:00Z");
    got(late).await.problem(410, "expired");
    let nonsense = http
        .reserve(&unique("product"), "r")
        .header("millstream-expires", "soon");
    got(nonsense).await.problem(400, "invalid-request");
    let in_time = http
        .reserve(&unique("product"), "r")
        .header("millstream-expires", "2126-01-01T00:00:00Z");
    got(in_time).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_stands_for_one_request() {
    let (http, product) = (shared(), unique("product"));
    let path = format!("/v1/topics/product-reservations/{product}");
    let send = async |reservation: &str, key: &str| {
        let body = json!({ "data": { "reservation_id": reservation } });
        let request = http.post(&path).header("idempotency-key", key);
        got(request.json(&body)).await
    };
    let first = send("r1", "k1").await.expect(200);
    let again = send("r1", "k1").await.expect(200);
    for part in ["data", "meta"] {
        assert_eq!(first.body[part], again.body[part], "the very same event");
    }
    send("r2", "k1").await.problem(422, "idempotency-mismatch");
    let other = send("r2", "k2").await.expect(200);
    assert_eq!(other.body["data"]["reserved"], false);
    let long = "k".repeat(256);
    send("r1", &long).await.problem(400, "invalid-request");
}
