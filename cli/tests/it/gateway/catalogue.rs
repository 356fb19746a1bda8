//! Every declared route and event, whatever is declared: with a command that has expired, which no
//! business code sees.

use millstream_pipeline::events::{EventSchema, HttpRoute};
use millstream_topics::TOPICS;
use reqwest::Method;
use serde_json::{Value, json};

use super::{got, shared};
use crate::support::unique;

const PAST: &str = "2026-01-01T00:00:00Z";

fn example(schema: &EventSchema) -> Value {
    serde_json::from_str(schema.example).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_can_be_sent_to_its_topic() {
    let http = shared();
    for topic in TOPICS.iter().filter(|topic| topic.is_open()) {
        for event in topic.events.iter().filter(|event| event.is_command()) {
            let path = format!("/v1/topics/{}/{}", topic.name, unique("key"));
            let body = json!({ "type": event.full_name, "data": example((event.schema)()) });
            let request = http.post(&path).header("millstream-expires", PAST);
            got(request.json(&body)).await.problem(410, "expired");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_declared_route_makes_its_event() {
    let http = shared();
    for topic in TOPICS {
        for route in topic.http {
            let event = topic.event(route.event).unwrap();
            // For what a provider signs see `webhooks`.
            if !event.is_command() || route.signature.is_some() {
                continue;
            }
            let example = example((event.schema)());
            let method: Method = route.method.parse().unwrap();
            let mut request = http
                .request(method, &path(route, &example))
                .header("millstream-expires", PAST)
                .header("prefer", "wait=30");
            if let Some(body) = body(route, &example) {
                request = request.json(&body);
            }
            let answer = got(request).await;
            assert_eq!(
                answer.status, 410,
                "{} {}: {answer:?}",
                route.method, route.path
            );
        }
    }
}

/// The path with an example in each place: of the field that takes it, or a key of its own.
fn path(route: &HttpRoute, example: &Value) -> String {
    let segments = route.path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        let field = route
            .fields
            .iter()
            .find(|(_, template)| *template == segment);
        match field.map(|(name, _)| &example[*name]) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::Null) | None => unique("key"),
            Some(other) => other.to_string(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// A body from which the route takes the example.
fn body(route: &HttpRoute, example: &Value) -> Option<Value> {
    let key = Value::from(unique("key"));
    let fields = route.fields.iter();
    let fields = fields.map(|(name, template)| (*template, &example[*name]));
    let is_set = |name: &str| {
        let mut set = route.fields.iter().chain(route.constants);
        set.any(|(known, _)| *known == name)
    };
    let rest = example.as_object().unwrap().iter();
    let rest: serde_json::Map<String, Value> = rest
        .filter(|(name, _)| route.method != "GET" && !is_set(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut body = (!rest.is_empty()).then_some(Value::Object(rest));
    for (template, value) in fields.chain([(route.key, &key)]) {
        for source in template.split(" or ") {
            if matches!(source, "$body" | "$raw") {
                return Some(value.clone());
            }
            if let Some(way) = source.strip_prefix("$body.") {
                let mut at = body.get_or_insert_with(|| json!({}));
                for name in way.split('.') {
                    at = &mut at[name];
                }
                *at = value.clone();
            }
        }
    }
    body
}
