//! Sending an event: the gateway does it, under the key of whoever sits at the page, and its answer is
//! shown as it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use millstream_gateway::Problem;
use millstream_pipeline::http::reason;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Console;
use crate::answer::{Answer, nothing};
use crate::shown::{WHOLE, pretty, short};

/// Longer than the gateway lets a request wait.
const LIMIT: Duration = Duration::from_secs(75);
/// Bytes of an answer.
const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// An event to send.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    topic: String,
    key: String,
    #[serde(rename = "type")]
    name: String,
    data: Map<String, Value>,
    /// Whether its result is waited for.
    #[serde(default)]
    wait: bool,
}

/// Hands an event to the gateway.
pub async fn send(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    Json(event): Json<Event>,
) -> Answer {
    let gateway = console.settings.gateway.as_deref().ok_or_else(|| {
        nothing("this console knows no gateway, which is what sends events; start it with --gateway URL")
    })?;
    let mut url = reqwest::Url::parse(gateway).map_err(|error| {
        nothing(format!(
            "the address of the gateway cannot be used: {error}"
        ))
    })?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty()
            .extend(["v1", "topics", &event.topic, &event.key]);
    }
    let mut request = console.http.post(url).timeout(LIMIT);
    request = request.json(&json!({ "type": event.name, "data": event.data }));
    if !event.wait {
        request = request.header("Prefer", "respond-async");
    }
    for name in [
        header::AUTHORIZATION,
        "x-api-key".parse().unwrap_or(header::AUTHORIZATION),
    ] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let begun = Instant::now();
    let away = |error: reqwest::Error| {
        Problem::unavailable(format!(
            "the gateway does not answer ({}), so it is not known whether the event was sent; look whether \
             it runs",
            reason(&error)
        ))
    };
    let mut response = request.send().await.map_err(away)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(body) => pretty(&body),
        Err(_) => short(&String::from_utf8_lossy(&body), WHOLE),
    };
    let title = StatusCode::from_u16(status.as_u16()).ok();
    Ok(Json(json!({
        "status": status.as_u16(),
        "title": title.and_then(|it| it.canonical_reason()),
        "ok": status.is_success(),
        "milliseconds": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "body": body,
    })))
}
