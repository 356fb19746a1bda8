//! HTTP around the API: what is taken and answered, and that every refusal is JSON.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Api, record, unique};
use crate::support::endpoints;

const V1: &str = "application/vnd.schemaregistry.v1+json";

/// Status, content type and body of an answer.
async fn ask(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> (u16, String, Value) {
    let url = format!("{}{path}", endpoints().schema_registry);
    let mut request = millstream_pipeline::http::client().request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = answer.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}"));
    (status, kind, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_in_json() {
    let path = format!("/subjects/{}/versions", unique("large"));
    for length in [(1 << 20) + 1, 5 << 20] {
        let body = json!({ "schema": "x".repeat(length) }).to_string();
        let headers = [("content-type", V1)];
        let (status, kind, body) = ask(Method::POST, &path, &headers, Some(body)).await;
        assert_eq!((status, kind.as_str()), (413, V1), "{length}");
        assert_eq!(body["error_code"], 413);
        assert!(
            body["message"].as_str().unwrap().contains("1048576"),
            "{body}"
        );
    }
    // The largest body is taken.
    let padding = " ".repeat((1 << 20) - 100);
    let body = json!({ "schema": "\"int\"" }).to_string() + &padding;
    let headers = [("content-type", V1)];
    assert_eq!(ask(Method::POST, &path, &headers, Some(body)).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_alone_is_taken_and_answered() {
    let subject = unique("media");
    let path = format!("/subjects/{subject}/versions");
    let body = || Some(json!({ "schema": record(&subject, "") }).to_string());
    for (kind, expected) in [
        (V1, 200),
        ("application/vnd.schemaregistry+json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/octet-stream", 200),
        ("text/plain;charset=UTF-8", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ] {
        for method in [Method::POST, Method::PUT] {
            let (path, body) = match method {
                Method::POST => (path.clone(), body()),
                _ => (
                    format!("/config/{subject}"),
                    Some(json!({ "compatibility": "NONE" }).to_string()),
                ),
            };
            let (status, _, answer) = ask(method, &path, &[("content-type", kind)], body).await;
            assert_eq!(status, expected, "{kind}: {answer}");
            if expected == 415 {
                assert_eq!(answer["error_code"], 415);
            }
        }
    }
    // A client that says nothing is believed, a page that says nothing is not.
    assert_eq!(ask(Method::POST, &path, &[], body()).await.0, 200);
    let page = [("origin", "http://somewhere.example")];
    assert_eq!(ask(Method::POST, &path, &page, body()).await.0, 415);

    for (accept, expected) in [
        ("application/json", "application/json"),
        ("*/*", V1),
        ("text/html, */*;q=0.1", V1),
    ] {
        let (status, kind, _) = ask(Method::GET, &path, &[("accept", accept)], None).await;
        assert_eq!((status, kind.as_str()), (200, expected), "{accept}");
        let headers = [("accept", accept)];
        let (status, kind, _) = ask(Method::GET, "/subjects/none/versions", &headers, None).await;
        assert_eq!((status, kind.as_str()), (404, expected), "{accept}");
    }
    let (status, kind, answer) = ask(Method::GET, &path, &[("accept", "text/html")], None).await;
    assert_eq!(
        (status, kind.as_str(), &answer["error_code"]),
        (406, V1, &json!(406))
    );
}

/// What the HTTP library refuses by itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_json() {
    for path in ["/subjects/%FF/versions", "/subjects?%zz=1&deleted=%FF"] {
        let (status, kind, answer) = ask(Method::GET, path, &[], None).await;
        if status != 200 {
            assert_eq!((status, kind.as_str()), (400, V1), "{path}: {answer}");
            assert_eq!(answer["error_code"], 400, "{answer}");
        }
    }
    let (status, _, answer) = ask(Method::GET, "/subjects/%FF/versions", &[], None).await;
    assert_eq!((status, &answer["error_code"]), (400, &json!(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_javas_readers_refuse_is_refused_and_what_they_read_is_not() {
    let api = Api::new(&endpoints().schema_registry);
    let subject = unique("java");
    for bad in [
        r#"{"type":"enum","name":"E"}"#,
        r#"{"type":"enum","name":"E","symbols":[]}"#,
        r#"{"type":"record","name":"int","fields":[]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","order":"foo"}]}"#,
        r#"{"type":"fixed","name":"F","size":2147483648}"#,
        r#"{"type":"record","name":"dbserver-1","fields":[]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"0"}]}"#,
    ] {
        assert_eq!(Api::code(api.register(&subject, bad).await), 42201, "{bad}");
    }
    let name = format!(
        "dbserver-1.{}.customers.Envelope",
        subject.replace('-', "_")
    );
    let debezium =
        json!({ "type": "record", "name": name, "fields": [{ "name": "op", "type": "string" }] });
    let (status, answer) = api.register(&subject, &debezium.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let (_, shown) = api
        .get(&format!("/schemas/ids/{}/schema", answer["id"]))
        .await;
    let namespace = name.strip_suffix(".Envelope").unwrap();
    assert_eq!(
        (&shown["namespace"], &shown["name"]),
        (&json!(namespace), &json!("Envelope"))
    );
}
