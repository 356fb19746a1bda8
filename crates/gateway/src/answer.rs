//! Results as clients get them.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream_events::{Event, EventMeta, RequestFailed};
use serde_json::{Map, Value, json};

use super::problem::{Code, Problem};
use millstream_pipeline::codec::{Codec, DecodeError};
use millstream_pipeline::kafka::reader::generic;

/// Seconds after which a pending request may be asked for again.
const ASK_AGAIN: u64 = 1;

/// The fields of a result's `meta` that clients are told.
pub const SHOWN_META: [&str; 8] = [
    "id",
    "source",
    "time",
    "correlation_id",
    "causation_id",
    "original_id",
    "seq",
    "epoch",
];

/// The result of a request.
#[derive(Debug)]
pub struct Answer {
    /// The record's key.
    pub key: String,
    /// The event's full name.
    pub full_name: String,
    /// Where it comes from.
    pub meta: EventMeta,
    /// Its other fields.
    pub data: Value,
}

/// A record of a result topic that may be somebody's answer.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's value.
    pub value: Vec<u8>,
}

impl Candidate {
    /// Decodes it; `None`: it has no `meta`, so it answers nobody.
    pub async fn decode(self, codec: &Codec) -> Result<Option<Answer>, DecodeError> {
        let (full_name, meta, data) = generic(codec, &self.value).await?;
        Ok(meta.map(|meta| Answer {
            key: String::from_utf8_lossy(&self.key).into_owned(),
            full_name,
            meta,
            data,
        }))
    }
}

impl Answer {
    /// The problem that it is, if the command failed.
    pub fn problem(&self, request: &str) -> Option<Problem> {
        if self.full_name != RequestFailed::FULL_NAME {
            return None;
        }
        let text = |field| self.data.get(field).and_then(Value::as_str).unwrap_or("");
        Some(
            Problem::of_failure(text("code"), text("message"))
                .with("instance", location(request))
                .with("request", request)
                .with("key", self.key.clone())
                .with("meta", self.meta()),
        )
    }

    /// The body of the answer.
    pub fn body(&self, request: &str) -> Value {
        json!({
            "request": request,
            "key": self.key,
            "type": self.full_name,
            "data": self.data,
            "meta": self.meta(),
        })
    }

    /// What the result's `meta` tells a client.
    fn meta(&self) -> Value {
        let meta = serde_json::to_value(&self.meta).unwrap_or_default();
        let shown = SHOWN_META.into_iter().filter_map(|name| {
            let value = meta.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        });
        Value::Object(shown.collect())
    }
}

/// A request that was taken, as a client sees it.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its id; `None`: a fact, which has no result.
    pub request: Option<String>,
    /// Id of its event.
    pub event_id: String,
    /// The event's key.
    pub key: String,
    /// Those of its fields that were made for it.
    pub made: Map<String, Value>,
    /// The event's full name.
    pub full_name: &'static str,
}

impl Taken {
    /// 202: it was taken and has no result yet.
    pub fn accepted(&self) -> Response {
        let mut body = json!({
            "request": self.request,
            "event": { "id": self.event_id, "type": self.full_name, "key": self.key },
        });
        if !self.made.is_empty() {
            body["event"]["data"] = self.made.clone().into();
        }
        accepted(self.request.as_deref(), body)
    }
}

/// 202 with what is known, and where to ask again.
pub fn accepted(request: Option<&str>, mut body: Value) -> Response {
    body["status"] = match request {
        Some(_) => "pending".into(),
        None => "accepted".into(),
    };
    if request.is_none()
        && let Some(body) = body.as_object_mut()
    {
        body.remove("request");
    }
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Some(request) = request {
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::from_str(&location(request)) {
            headers.insert(header::LOCATION, location);
        }
        headers.insert(header::RETRY_AFTER, ASK_AGAIN.into());
    }
    response.extensions_mut().insert(Code(
        if request.is_some() { "pending" } else { "ok" }.into(),
    ));
    response
}

/// The response of a result: 200, or the failure's status.
pub fn answered(request: &str, answer: &Arc<Answer>) -> Response {
    if let Some(problem) = answer.problem(request) {
        return problem.into_response();
    }
    Json(answer.body(request)).into_response()
}

/// Where a request is asked for.
pub fn location(request: &str) -> String {
    format!("/v1/requests/{request}")
}

/// JSON members that must be known.
pub fn only(members: &Map<String, Value>, known: &[&str]) -> Result<(), Problem> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Problem::bad_request(format!(
            "the body has the member `{name}`; known are {}",
            known.join(", ")
        ))),
    }
}
