//! OpenAPI 3.1: all routes of the gateway.
//!
//! The document is exact: a body that is valid by it is taken, and one that is not is refused. So
//! programs can be made of it, and tests.

mod answers;
mod bodies;
mod headers;

use std::collections::BTreeMap;

use millstream_events::{Declaration, EventDeclaration, Signature};
use serde_json::{Map, Value, json};

use super::schema::{Schemas, reference};
use crate::routes::{self, Route, parameters};
use crate::tickets;
use crate::{requests, topics};

/// What the gateway serves whatever is declared.
const OWN: &str = "requests";

/// The document for these topics.
pub fn openapi(declarations: &[&'static Declaration]) -> Value {
    let served = || declarations.iter().filter(|it| it.is_served());
    let events = served().flat_map(|topic| topic.events);
    let mut schemas = Schemas::new(events.map(|event| (event.schema)()));
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
    let open = declarations.iter().filter(|it| it.is_open());
    for declaration in open {
        let path = topics::PATH.replace("{topic}", declaration.name);
        let operation = generic(&path, declaration, &mut schemas);
        paths
            .entry(path)
            .or_default()
            .insert("post".into(), operation);
    }
    paths.extend(own(served().copied(), &mut schemas));
    let mixed = declarations
        .iter()
        .any(|it| it.is_open() && answers::is_mixed(it.events.iter()));
    answers::define(&mut schemas, mixed);
    let tags = served().map(|it| json!({ "name": it.name, "description": it.description }));
    let tags = tags.chain([json!({ "name": OWN, "description": "Results of earlier requests." })]);
    let tags: Vec<Value> = tags.collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millstream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands and facts as HTTP requests; results as their responses.",
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        // The gateway does not know under which name clients reach it.
        "servers": [{ "url": "/", "description": "The gateway that served this document." }],
        "tags": tags,
        "paths": paths,
        "security": [{ "key": [] }, { "bearer": [] }],
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An API key, or a token (JWT) of the identity provider.",
                },
                "ticket": {
                    "type": "apiKey", "in": "query", "name": tickets::QUERY,
                    "description": "For one stream and a minute.",
                },
            },
            "schemas": schemas.finish(),
            "parameters": headers::parameters(),
            "headers": headers::headers(),
            "responses": answers::components(mixed),
        },
    })
}

fn declared(route: &Route, schemas: &mut Schemas) -> Value {
    let (declaration, event) = (route.declaration, route.event);
    let path = parameters(route.http.path).map(|name| {
        let schema = bodies::parameter(route, name, schemas);
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let path: Vec<Value> = path.collect();
    let name = answers::name_of_results(declaration, event);
    // A provider is told no result.
    let is_told = !route.is_signed();
    let mut operation = json!({
        "operationId": operation_id(&[route.http.method, route.http.path]),
        "summary": format!("{} {}", declaration.description, short(event.full_name)),
        "tags": [declaration.name],
        "responses": answers::responses(declaration, &[event], &name, is_told, schemas),
    });
    operation["parameters"] = match route.http.signature {
        None => headers::parameters_of(path, route.http.method != "GET"),
        Some(Signature::Stripe) => {
            operation["security"] = json!([]);
            let header = json!({
                "name": "Stripe-Signature", "in": "header", "required": true,
                "description": "`t=<seconds>,v1=<hex>`: HMAC-SHA256 over time, dot and body.",
                "schema": { "type": "string" },
            });
            [path, vec![header]].concat().into()
        }
    };
    if let Some(body) = bodies::declared(route, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

fn generic(path: &str, declaration: &'static Declaration, schemas: &mut Schemas) -> Value {
    let events: Vec<&EventDeclaration> = declaration.events.iter().collect();
    let name = format!("{}.Result", declaration.name);
    let key = json!({
        "name": "key", "in": "path", "required": true,
        "schema": bodies::key(declaration.key, 0, 1),
    });
    json!({
        // By its path: a declared route may be called like the topic.
        "operationId": operation_id(&["POST", path]),
        "summary": declaration.description,
        "tags": [declaration.name],
        "parameters": headers::parameters_of(vec![key], true),
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": bodies::generic(declaration, schemas) } },
        },
        "responses": answers::responses(declaration, &events, &name, true, schemas),
    })
}

fn own(
    served: impl Iterator<Item = &'static Declaration>,
    schemas: &mut Schemas,
) -> [(String, Map<String, Value>); 3] {
    let id = json!({
        "name": "id", "in": "path", "required": true, "description": "Id of the request.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$" },
    });
    let wait = json!({
        "name": "wait", "in": "query",
        "schema": { "type": "integer", "format": "int32", "minimum": 0, "maximum": i32::MAX },
        "description": "Seconds to wait for the result, which the gateway cuts to its limit.",
    });
    let results = served.flat_map(|it| {
        let names: Vec<&str> = it
            .events
            .iter()
            .flat_map(|it| it.results)
            .copied()
            .collect();
        let known = it.results.iter().flat_map(|it| it.schemas);
        let known = known.map(|schema| schema());
        known.filter(move |schema| names.contains(&schema.full_name))
    });
    let results: BTreeMap<&str, _> = results.map(|it| (it.full_name, it)).collect();
    let results: Vec<_> = results.into_values().collect();
    let result = answers::one_of(&results, "Result", schemas);
    let with_problems = |responses: Value| {
        let mut responses = responses.as_object().cloned().unwrap_or_default();
        responses.extend(answers::problems());
        responses
    };
    let operation = |method: &str, path: &str, value: Value| {
        (
            path.to_owned(),
            Map::from_iter([(method.to_owned(), value)]),
        )
    };
    [
        operation(
            "get",
            requests::PATH,
            json!({
                "operationId": "getRequest",
                "summary": "The result of a request, as the request itself would be answered by now.",
                "tags": [OWN],
                "parameters": [id, wait, headers::parameter("Prefer")],
                "responses": with_problems(json!({
                    "200": { "description": "The result.", "content": { "application/json": { "schema": result } } },
                    "202": answers::response("StillPending"),
                })),
            }),
        ),
        operation(
            "get",
            requests::EVENTS_PATH,
            json!({
                "operationId": "streamRequest",
                "summary": "Server-sent events: `accepted`, then `result` or `problem`.",
                "description": "The data of `accepted` is an object with `request` and `event.id`, that of `result` a `Result`, that of `problem` a `Problem`.",
                "tags": [OWN],
                "security": [{ "key": [] }, { "bearer": [] }, { "ticket": [] }],
                "parameters": [id],
                "responses": with_problems(json!({
                    "200": { "description": "The stream.", "content": { "text/event-stream": { "schema": { "type": "string" } } } },
                })),
            }),
        ),
        operation(
            "post",
            tickets::PATH,
            json!({
                "operationId": "createTicket",
                "summary": "A ticket that opens the request's stream instead of a key, for a minute.",
                "tags": [OWN],
                "parameters": [id],
                "responses": with_problems(json!({
                    "200": { "description": "The ticket.", "content": { "application/json": { "schema": reference("Ticket") } } },
                })),
            }),
        ),
    ]
}

/// Alternatives that a member tells apart.
fn alternatives(references: Vec<Value>, member: &str, mapping: Map<String, Value>) -> Value {
    json!({
        "oneOf": references,
        "discriminator": { "propertyName": member, "mapping": mapping },
    })
}

/// The name of the definition of one of a topic's events.
fn component(declaration: &Declaration, event: &EventDeclaration) -> String {
    let last = short(event.full_name);
    let same = |it: &&EventDeclaration| short(it.full_name) == last;
    let is_one = declaration.events.iter().filter(same).count() == 1;
    // Those two are the topic's own.
    let name = match is_one && !matches!(last, "Event" | "Result") {
        true => last,
        false => event.full_name,
    };
    format!("{}.{name}", declaration.name)
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
