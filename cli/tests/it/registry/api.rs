//! A client that asks and checks the form of the answer.

use reqwest::Method;
use serde_json::{Value, json};

/// A client of one registry.
pub struct Api {
    base: String,
    http: reqwest::Client,
}

impl Api {
    /// Of the registry at this URL.
    pub fn new(base: &str) -> Self {
        Api {
            base: base.trim_end_matches('/').to_owned(),
            http: millstream_pipeline::http::client(),
        }
    }

    /// Status and body.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/vnd.schemaregistry.v1+json")
                .body(body.to_string());
        }
        let answer = request.send().await.expect("the registry answers");
        let status = answer.status().as_u16();
        assert_eq!(
            answer.headers()["content-type"],
            "application/vnd.schemaregistry.v1+json"
        );
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).expect("JSON"),
        )
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask(Method::DELETE, path, None).await
    }

    pub async fn register(&self, subject: &str, schema: &str) -> (u16, Value) {
        self.post(
            &format!("/subjects/{subject}/versions"),
            json!({ "schema": schema }),
        )
        .await
    }

    /// The error code of an answer whose status fits the code.
    pub fn code((status, body): (u16, Value)) -> u64 {
        let code = body["error_code"]
            .as_u64()
            .unwrap_or_else(|| panic!("no error: {status} {body}"));
        assert!(
            !body["message"].as_str().unwrap_or_default().is_empty(),
            "{body}"
        );
        let expected = if code < 1000 { code } else { code / 100 };
        assert_eq!(u64::from(status), expected, "{body}");
        code
    }
}

pub fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7())
}

/// A record with the fields `a: int` and what is given; the name makes it another schema.
pub fn record(name: &str, more: &str) -> String {
    let name = name.replace('-', "_");
    format!(r#"{{"type":"record","name":"R{name}","fields":[{{"name":"a","type":"int"}}{more}]}}"#)
}
