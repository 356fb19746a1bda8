//! Stands between the handlers and the registry and answers errors when told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// What is answered instead of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub status: u16,
    /// Confluent's code; without one the body is no JSON, as other proxies answer.
    pub code: Option<u32>,
}

#[derive(Default)]
struct Inner {
    registry: OnceLock<String>,
    http: reqwest::Client,
    /// What is answered, and how many times.
    fault: Mutex<Option<(Fault, usize)>>,
    faults_answered: AtomicUsize,
}

pub struct Proxy {
    pub url: String,
    inner: Arc<Inner>,
}

impl Proxy {
    pub async fn start() -> Self {
        let inner = Arc::<Inner>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inner));
        tokio::spawn(axum::serve(listener, routes).into_future());
        Self { url, inner }
    }

    pub fn forward_to(&self, registry: &str) {
        self.inner.registry.set(registry.to_owned()).unwrap();
    }

    /// Answers the next `times` requests with `fault`.
    pub fn fail(&self, fault: Fault, times: usize) {
        *self.inner.fault.lock().unwrap() = Some((fault, times));
    }

    /// How many requests were answered with faults.
    pub fn faults_answered(&self) -> usize {
        self.inner.faults_answered.load(Ordering::SeqCst)
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let fault = {
        let mut fault = inner.fault.lock().unwrap();
        match fault.as_mut() {
            Some((_, 0)) | None => None,
            Some((fault, left)) => {
                *left -= 1;
                Some(*fault)
            }
        }
    };
    if let Some(Fault { status, code }) = fault {
        inner.faults_answered.fetch_add(1, Ordering::SeqCst);
        let status = StatusCode::from_u16(status).unwrap();
        return match code {
            Some(code) => {
                let body = serde_json::json!({ "error_code": code, "message": "by the test" });
                (status, axum::Json(body)).into_response()
            }
            None => (status, "<html>by the test</html>").into_response(),
        };
    }
    let url = format!("{}{uri}", inner.registry.get().unwrap());
    let json = "application/vnd.schemaregistry.v1+json";
    let sent = inner
        .http
        .request(method, url)
        .header(header::CONTENT_TYPE, json)
        .body(body)
        .send();
    let answer = sent.await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    let body = answer.bytes().await.unwrap();
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}
