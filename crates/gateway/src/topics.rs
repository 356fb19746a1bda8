//! `POST /v1/topics/{topic}/{key}`: any event of a topic that is open to everybody.

use std::sync::Arc;

use axum::extract::{RawPathParams, Request, State};
use axum::http::Method;
use axum::response::Response;
use millstream_events::{Declaration, EventDeclaration};
use serde_json::{Map, Value};

use super::Gateway;
use super::access::Verb;
use super::answer::only;
use super::body::json;
use super::identity::Identity;
use super::problem::Problem;
use super::routes::not_allowed;
use super::submit::{Command, Submitted};
use millstream_pipeline::record::digest::digest;

/// The route's template.
pub const PATH: &str = "/v1/topics/{topic}/{key}";

/// Answers a request to it.
pub async fn handle(
    State(gateway): State<Arc<Gateway>>,
    parameters: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    request: Request,
) -> Response {
    if request.method() != Method::POST {
        return not_allowed(["POST"].into_iter());
    }
    // What it takes to send the event is not kept while its result is waited for.
    let submitted = match parameters {
        Ok(parameters) => Box::pin(submit(&gateway, parameters, request)).await,
        Err(_) => Err(Problem::bad_request("the path is not UTF-8")),
    };
    let response = match submitted {
        Ok(submitted) => Ok(gateway.respond(submitted).await),
        Err(problem) => Err(problem),
    };
    super::labelled(&format!("POST {PATH}"), response)
}

async fn submit(
    gateway: &Gateway,
    parameters: RawPathParams,
    request: Request,
) -> Result<Submitted, Problem> {
    let (parts, body) = request.into_parts();
    let caller = gateway.caller(&parts).await?;
    let mut values = parameters.iter().map(|(_, value)| value);
    let (topic, key) = (values.next().unwrap_or(""), values.next().unwrap_or(""));
    // Before anything is said about the topic.
    caller.check(Verb::Send, topic)?;
    let declaration = gateway
        .topics
        .get(topic)
        .copied()
        .filter(|declaration| declaration.is_open())
        .ok_or_else(|| {
            Problem::not_found(format!(
                "no topic {topic} is open here; /openapi.json says which are"
            ))
        })?;
    let (raw, memory) = gateway
        .read_body(&caller.principal, &parts.headers, body)
        .await?;
    let body = json(&raw)?;
    let identity = Identity::of(&caller.principal, &parts.headers, || {
        let place = digest(&[b"POST", PATH.as_bytes(), topic.as_bytes(), key.as_bytes()]);
        let sent = body.as_ref().map(Value::to_string);
        (place, sent.unwrap_or_default().into_bytes())
    })?;
    let (event, data) = read(declaration, body)?;
    let command = Command {
        wait: gateway.settings.wait,
        caller,
        declaration,
        event,
        key: key.to_owned(),
        data,
        made: Map::new(),
        identity,
        memory,
    };
    gateway.submit(parts.headers, command).await
}

/// The event and its fields that a body holds.
pub(super) fn read(
    declaration: &Declaration,
    body: Option<Value>,
) -> Result<(&'static EventDeclaration, Map<String, Value>), Problem> {
    let Some(Value::Object(mut members)) = body else {
        return Err(Problem::bad_request(
            "the body must be a JSON object with `type` and `data`",
        ));
    };
    only(&members, &["type", "data"])?;
    let event = event(declaration, members.get("type"))?;
    let data = match members.remove("data") {
        Some(Value::Object(data)) => data,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(Problem::bad_request("`data` must be an object")),
    };
    Ok((event, data))
}

/// The event called so, by its full name or its last part.
fn event(
    declaration: &Declaration,
    name: Option<&Value>,
) -> Result<&'static EventDeclaration, Problem> {
    let known = || {
        let names = declaration.events.iter().map(|event| event.full_name);
        names.collect::<Vec<_>>().join(", ")
    };
    let name = match (name, declaration.events) {
        (None, [event]) => return Ok(event),
        (None, _) => {
            let message = format!("the body has no `type`; it must be one of {}", known());
            return Err(Problem::bad_request(message));
        }
        (Some(name), _) => name.as_str().unwrap_or_default(),
    };
    let mut events = declaration.events.iter();
    events
        .find(|event| event.full_name == name || event.full_name.rsplit('.').next() == Some(name))
        .ok_or_else(|| {
            let topic = declaration.name;
            Problem::bad_request(format!("{topic} has no event {name:?}; it has {}", known()))
        })
}
