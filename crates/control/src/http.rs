//! One way to call the admin APIs: time limits, errors that name the address and the answer.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use millstream_pipeline::http::{self, Login};

/// An HTTP API at one address.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    /// What it is, as messages call it.
    name: &'static str,
    base: String,
    login: Option<Login>,
}

/// Status and body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Value,
    request: String,
    name: &'static str,
}

impl Api {
    /// The API at `base`, which may carry a login.
    pub fn new(name: &'static str, base: &str) -> Result<Self, Error> {
        let (base, login) = http::split_login(base);
        let client = http::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(|source| Error::Unreachable {
                name,
                address: base.clone(),
                source,
            })?;
        Ok(Self {
            client,
            name,
            base: base.trim_end_matches('/').into(),
            login,
        })
    }

    /// Calls `path`; any status is an answer, only a failed exchange is an error.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let url = format!("{}{path}", self.base);
        let mut request = self
            .client
            .request(method.clone(), &url)
            .header("accept", "application/json");
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.name, login.secret.as_ref());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |source| Error::Unreachable {
            name: self.name,
            address: self.base.clone(),
            source,
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        // Some errors come as plain text; it belongs in the message all the same.
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer {
            status,
            body,
            request: format!("{method} {url}"),
            name: self.name,
        })
    }

    /// GET `path`, which must succeed.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, None).await?.parse()
    }
}

impl Answer {
    /// The body of a success, in the shape it should have.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, Error> {
        let answer = self.success()?;
        serde_json::from_value(answer.body).map_err(|source| Error::Shape {
            name: answer.name,
            request: answer.request,
            source,
        })
    }

    /// Makes every other status an error.
    pub fn success(self) -> Result<Self, Error> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.refused())
        }
    }

    /// The error that this answer stands for.
    pub fn refused(self) -> Error {
        let message = match &self.body {
            Value::String(text) => text.clone(),
            body => match body.get("message").and_then(Value::as_str) {
                Some(message) => message.to_owned(),
                None => body.to_string(),
            },
        };
        Error::Refused {
            name: self.name,
            request: self.request,
            status: self.status.as_u16(),
            message,
        }
    }
}
