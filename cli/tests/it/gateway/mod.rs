//! The gateway over HTTP, on the shared stack and with replicas of its own.

mod access;
mod browsers;
mod catalogue;
mod failures;
mod hostile;
mod killed;
mod kinds;
mod patterns;
pub mod replica;
mod replicas;
mod requests;
mod routes;
mod tokens;
mod webhooks;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::support::{LIMIT, endpoints};

/// The gateway of the shared stack.
pub fn shared() -> Http {
    Http::new(endpoints().gateway.as_ref().expect("a stack has a gateway"))
}

/// A client of one gateway.
#[derive(Clone)]
pub struct Http {
    pub url: String,
    client: Client,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Http {
    pub fn new(url: &str) -> Self {
        let client = millstream_pipeline::http::builder()
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .unwrap();
        Self {
            url: url.to_owned(),
            client,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub async fn get(&self, path: &str) -> Got {
        got(self.request(Method::GET, path)).await
    }

    /// Reserves a product; not yet sent.
    pub fn reserve(&self, product: &str, reservation: &str) -> RequestBuilder {
        self.post(&format!("/reserve/{product}/{reservation}"))
    }
}

/// Sends a request and reads its response.
pub async fn got(request: RequestBuilder) -> Got {
    try_got(request).await.unwrap()
}

/// The same for a gateway that may be gone.
pub async fn try_got(request: RequestBuilder) -> reqwest::Result<Got> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await?;
    Ok(Got {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

impl Got {
    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.get(name);
        header.map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status, and tells all if it is another.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Checks that it is a problem with this status and code; its body.
    pub fn problem(self, status: u16, code: &str) -> Value {
        let is = (self.status, self.body["code"].as_str().unwrap_or(""));
        assert_eq!(is, (status, code), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(!self.body["detail"].as_str().unwrap().is_empty());
        self.body
    }
}
