//! OpenAPI 3.1: all routes of the gateway.

use std::collections::BTreeMap;

use millstream_schemas::{Event, RequestFailed};
use millstream_topics::{Declaration, EventDeclaration, Signature};
use serde_json::{Map, Value, json};

use super::schema::Schemas;
use crate::code;
use crate::gateway::problem::status_of;
use crate::gateway::routes::{self, Route, parameters};
use crate::gateway::template::{Source, Template};
use crate::gateway::{requests, topics};

/// The document for these topics.
pub fn openapi(declarations: &[&'static Declaration]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    // A route that cannot be read keeps the gateway from starting, which says why.
    let groups = routes::declared(declarations).unwrap_or_default();
    for route in groups.values().flat_map(|group| group.values()) {
        let path = paths.entry(route.http.path.to_owned()).or_default();
        path.insert(
            route.http.method.to_ascii_lowercase(),
            declared(route, &mut schemas),
        );
    }
    let open = declarations.iter().filter(|it| topics::is_open(it));
    for declaration in open {
        let path = topics::PATH.replace("{topic}", declaration.name);
        let operation = generic(&path, declaration, &mut schemas);
        paths
            .entry(path)
            .or_default()
            .insert("post".into(), operation);
    }
    own(&mut paths, &mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millstream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands and facts as HTTP requests; results as their responses.",
        },
        "paths": paths,
        "security": [{ "key": [] }, { "bearer": [] }],
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An API key, or a token (JWT) of the identity provider.",
                },
            },
            "schemas": schemas.finish(),
            "parameters": headers(),
            "responses": {
                "Pending": {
                    "description": "The event was taken and has no result yet.",
                    "headers": { "Location": { "schema": { "type": "string" } } },
                    "content": { "application/json": { "schema": { "type": "object" } } },
                },
                "Problem": {
                    "description": "RFC 9457; `code` is stable.",
                    "content": { "application/problem+json": { "schema": problem() } },
                },
            },
        },
    })
}

fn declared(route: &Route, schemas: &mut Schemas) -> Value {
    let schema = (route.event.schema)();
    let mut operation = operation(route.declaration, route.event, schemas);
    operation["operationId"] = operation_id(&[route.http.method, route.http.path]).into();
    let path = parameters(route.http.path).map(|name| {
        let takes = |template: &Template| *template == Template::parse(&format!("{{{name}}}"));
        let field = route.fields.iter().find(|(_, template)| takes(template));
        let schema = match field {
            Some((field, _)) => schemas.field(schema, field),
            None => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let path: Vec<Value> = path.collect();
    if let Some(Signature::Stripe) = route.http.signature {
        operation["security"] = json!([]);
        let header = json!({
            "name": "Stripe-Signature", "in": "header", "required": true,
            "description": "`t=<seconds>,v1=<hex>`: HMAC-SHA256 over time, dot and body.",
            "schema": { "type": "string" },
        });
        operation["parameters"] = [path, vec![header]].concat().into();
        // A provider is told no result.
        if let Some(responses) = operation["responses"].as_object_mut() {
            responses.remove("200");
        }
    } else {
        operation["parameters"] = parameters_of(path, route.http.method != "GET");
    }
    if let Some(body) = body(route, schemas) {
        operation["requestBody"] = json!({
            "required": !takes_alternatives(route),
            "content": { "application/json": { "schema": body } },
        });
    }
    operation
}

fn takes_alternatives(route: &Route) -> bool {
    let of_body = |source: &Source| *source != Source::Id;
    let mut templates = route.templates().map(Template::sources);
    templates.all(|sources| sources.is_empty() || !sources.iter().all(of_body))
}

/// The schema of a route's body; `None`: it takes none.
fn body(route: &Route, schemas: &mut Schemas) -> Option<Value> {
    let schema = (route.event.schema)();
    let mut members = json!({ "type": "object", "properties": {} });
    let (mut takes_members, mut whole) = (false, None);
    let fields = route
        .fields
        .iter()
        .map(|(field, template)| (Some(*field), template));
    for (field, template) in fields.chain([(None, &route.key)]) {
        for source in template.sources() {
            let Some(way) = source.way() else {
                let schema = match (source, field) {
                    (Source::Id, _) => continue,
                    (Source::Body, Some(field)) => schemas.field(schema, field),
                    _ => json!({}),
                };
                whole = Some(schema);
                continue;
            };
            takes_members = true;
            let value = match (source, field) {
                (Source::Seconds(_), _) => {
                    json!({ "type": "integer", "description": "Seconds since 1970." })
                }
                (_, Some(field)) => schemas.field(schema, field),
                (_, None) => json!({ "type": "string" }),
            };
            let mut at = &mut members;
            for name in way {
                if at.get("properties").is_none() {
                    *at = json!({ "type": "object", "properties": {} });
                }
                at = &mut at["properties"][name.as_str()];
            }
            // What is an object for another field stays one.
            if at.is_null() {
                *at = value;
            }
        }
    }
    match takes_members {
        true => Some(members),
        false => whole,
    }
}

fn generic(path: &str, declaration: &'static Declaration, schemas: &mut Schemas) -> Value {
    let events = declaration.events.iter().map(|event| {
        json!({
            "type": "object",
            "properties": {
                "type": { "enum": [event.full_name, short(event.full_name)] },
                "data": schemas.event((event.schema)()),
            },
        })
    });
    let events: Vec<Value> = events.collect();
    let mut operation = json!({
        // By its path: a declared route may be called like the topic.
        "operationId": operation_id(&["POST", path]),
        "summary": declaration.description,
        "tags": [declaration.name],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": { "oneOf": events } } },
        },
    });
    let results = declaration.events.iter().flat_map(|event| event.results);
    let is_fact = declaration.events.iter().all(|event| !event.is_command());
    operation["responses"] = responses(declaration, results.copied(), is_fact, schemas);
    let key = json!({
        "name": "key", "in": "path", "required": true,
        "description": declaration.key, "schema": { "type": "string" },
    });
    operation["parameters"] = parameters_of(vec![key], true);
    operation
}

fn operation(
    declaration: &'static Declaration,
    event: &'static EventDeclaration,
    schemas: &mut Schemas,
) -> Value {
    let results = event.results.iter().copied();
    json!({
        "summary": format!("{} {}", declaration.description, short(event.full_name)),
        "tags": [declaration.name],
        "responses": responses(declaration, results, !event.is_command(), schemas),
    })
}

fn responses(
    declaration: &'static Declaration,
    results: impl Iterator<Item = &'static str>,
    is_fact: bool,
    schemas: &mut Schemas,
) -> Value {
    let mut responses = Map::new();
    responses.insert(
        "202".into(),
        json!({ "$ref": "#/components/responses/Pending" }),
    );
    if !is_fact {
        let mut names: Vec<&str> = results.collect();
        names.sort_unstable();
        names.dedup();
        let known = declaration.results.iter().flat_map(|it| it.schemas);
        let known: Vec<_> = known.map(|schema| schema()).collect();
        let results = names.iter().filter_map(|name| {
            let schema = known.iter().find(|schema| schema.full_name == *name)?;
            let data = schemas.event(schema);
            Some(json!({
                "type": "object",
                "properties": {
                    "request": { "type": "string" },
                    "key": { "type": "string" },
                    "type": { "const": name },
                    "data": data,
                    "meta": { "type": "object" },
                },
                "required": ["request", "key", "type", "data", "meta"],
            }))
        });
        let results: Vec<Value> = results.collect();
        responses.insert(
            "200".into(),
            json!({
                "description": "The result.",
                "content": { "application/json": { "schema": { "oneOf": results } } },
            }),
        );
    }
    responses.insert(
        "default".into(),
        json!({ "$ref": "#/components/responses/Problem" }),
    );
    Value::Object(responses)
}

/// What the gateway serves whatever is declared.
fn own(paths: &mut BTreeMap<String, Map<String, Value>>, schemas: &mut Schemas) {
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    let wait = json!({
        "name": "wait", "in": "query", "schema": { "type": "integer", "minimum": 0 },
        "description": "Seconds to wait for the result.",
    });
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let get = |id: &str, value: Value| (id.to_owned(), Map::from_iter([("get".to_owned(), value)]));
    paths.extend([
        get(requests::PATH, json!({
            "operationId": "getRequest",
            "summary": "The result of a request, as the request itself would be answered by now.",
            "parameters": [id, wait],
            "responses": {
                "200": { "description": "The result.", "content": { "application/json": { "schema": { "type": "object" } } } },
                "202": { "$ref": "#/components/responses/Pending" },
                "default": problem,
            },
        })),
        get(requests::EVENTS_PATH, json!({
            "operationId": "streamRequest",
            "summary": "Server-sent events: `accepted`, then `result` or `problem`.",
            "parameters": [id],
            "responses": {
                "200": { "description": "The stream.", "content": { "text/event-stream": { "schema": { "type": "string" } } } },
                "default": problem,
            },
        })),
    ]);
    let failed = json!({
        "description": "A command that could not be carried out: the problem's code and detail.",
        "type": "object",
        "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
    });
    schemas.define(RequestFailed::FULL_NAME, failed);
}

fn parameters_of(mut parameters: Vec<Value>, takes_key: bool) -> Value {
    let mut names = vec!["Prefer", "Millstream-Expires", "traceparent"];
    if takes_key {
        names.insert(0, "Idempotency-Key");
    }
    parameters.extend(
        names
            .into_iter()
            .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })),
    );
    Value::Array(parameters)
}

fn headers() -> Value {
    let header = |name: &str, description: &str| {
        (
            name.to_owned(),
            json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } }),
        )
    };
    Value::Object(Map::from_iter([
        header(
            "Idempotency-Key",
            "Makes a repeated request the same request.",
        ),
        header("Prefer", "`respond-async`, or `wait=<seconds>` (RFC 7240)."),
        header(
            "Millstream-Expires",
            "A command handled later than this RFC 3339 time is answered with `expired`.",
        ),
        header("traceparent", "W3C trace context."),
    ]))
}

fn problem() -> Value {
    let codes = [
        code::INVALID_REQUEST,
        code::IDEMPOTENCY_MISMATCH,
        code::FORBIDDEN,
        code::EXPIRED,
        code::CANCELLED,
        code::HANDLER_FAILED,
    ];
    let of_results = codes.map(|code| format!("`{code}` {}", status_of(code).as_u16()));
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": {
                "type": "string",
                "description": format!("Of commands that failed: {}; a service's own code 409.", of_results.join(", ")),
            },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "field": { "type": "string" }, "detail": { "type": "string" } },
                },
            },
        },
        "required": ["type", "title", "status", "detail", "code"],
    })
}

fn short(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

fn operation_id(parts: &[&str]) -> String {
    let text = parts.join("-").to_ascii_lowercase();
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}
