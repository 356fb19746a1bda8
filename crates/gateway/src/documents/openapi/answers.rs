//! What requests are answered with.

use millstream_events::{Declaration, EventDeclaration, EventMeta, EventSchema};
use serde_json::{Map, Value, json};

use super::super::schema::{Schemas, Way, described, integer, object, reference};
use super::{alternatives, component};
use crate::answer::SHOWN_META;
use millstream_pipeline::failure;
use millstream_pipeline::http::status::status_of;

/// Names of definitions.
const META: &str = "Meta";
const PROBLEM: &str = "Problem";
/// Where both commands and facts are sent.
const TAKEN: &str = "Taken";

/// The responses of an operation that sends these events.
pub fn responses(
    declaration: &'static Declaration,
    events: &[&'static EventDeclaration],
    name: &str,
    is_told: bool,
    schemas: &mut Schemas,
) -> Map<String, Value> {
    let has_commands = events.iter().any(|event| event.is_command());
    let taken = match has_commands {
        _ if is_mixed(events.iter().copied()) => TAKEN,
        true => "Pending",
        false => "Accepted",
    };
    let mut responses = Map::new();
    responses.insert("202".into(), response(taken));
    if has_commands && is_told {
        let names = events.iter().flat_map(|event| event.results);
        let mut names: Vec<&str> = names.copied().collect();
        names.sort_unstable();
        names.dedup();
        let known = declaration.results.iter().flat_map(|it| it.schemas);
        let results = known.map(|schema| schema());
        let results: Vec<_> = results
            .filter(|schema| names.contains(&schema.full_name))
            .collect();
        let schema = one_of(&results, name, schemas);
        responses.insert(
            "200".into(),
            json!({ "description": "The result.", "headers": {
            "Preference-Applied": header("Preference-Applied"),
        }, "content": { "application/json": { "schema": schema } } }),
        );
    }
    responses.extend(problems());
    responses
}

/// Whether there are both commands and facts.
pub fn is_mixed<'e>(events: impl Iterator<Item = &'e EventDeclaration> + Clone) -> bool {
    events.clone().any(EventDeclaration::is_command)
        && !events.clone().all(EventDeclaration::is_command)
}

/// What is no result and no 202.
pub fn problems() -> [(String, Value); 2] {
    ["4XX", "5XX"].map(|status| (status.to_owned(), response(PROBLEM)))
}

/// The name that alternatives of an event's results have.
pub fn name_of_results(declaration: &Declaration, event: &EventDeclaration) -> String {
    format!("{}.Result", component(declaration, event))
}

/// One of these results, told apart by `type`; a definition of this name where there are several.
pub fn one_of(results: &[&'static EventSchema], name: &str, schemas: &mut Schemas) -> Value {
    let (mut references, mut mapping) = (Vec::new(), Map::new());
    for result in results {
        let data = schemas.event(result, Way::Told);
        let name = format!("{}.Result", result.full_name);
        let members = json!({
            "request": { "type": "string", "description": "Id of the request." },
            "key": { "type": "string", "description": "Id of the entity." },
            "type": { "type": "string", "enum": [result.full_name] },
            "data": data,
            "meta": reference(META),
        });
        let required = ["request", "key", "type", "data", "meta"];
        let reference = schemas.define(&name, object(members, &required, Way::Told));
        mapping.insert(result.full_name.to_owned(), reference["$ref"].clone());
        references.push(reference);
    }
    match references.as_slice() {
        [only] => only.clone(),
        _ => schemas.define(name, alternatives(references, "type", mapping)),
    }
}

/// What all answers refer to; `mixed`: also [`TAKEN`].
pub fn define(schemas: &mut Schemas, mixed: bool) {
    schemas.define(META, meta());
    let request = || {
        described(
            json!({ "type": "string" }),
            "Id of the request: ask for its result.",
        )
    };
    let status = |status: &str| json!({ "type": "string", "enum": [status] });
    let event = |required: &[&str]| {
        let members = json!({
            "id": { "type": "string", "description": "Id of the event." },
            "type": { "type": "string", "description": "Full name of the event." },
            "key": { "type": "string", "description": "Id of the entity." },
            "data": {
                "type": "object",
                "description": "Ids that the gateway made for the event, by the names of its fields.",
                "additionalProperties": { "type": "string" },
            },
        });
        object(members, required, Way::Told)
    };
    let taken = ["id", "type", "key"];
    let pending = |event: Value| {
        let members = json!({ "status": status("pending"), "request": request(), "event": event });
        object(members, &["status", "request", "event"], Way::Told)
    };
    let pending_command = schemas.define("Pending", pending(event(&taken)));
    schemas.define("StillPending", pending(event(&["id"])));
    let accepted = json!({ "status": status("accepted"), "event": event(&taken) });
    let accepted = object(accepted, &["status", "event"], Way::Told);
    let accepted = schemas.define("Accepted", accepted);
    let mapping = Map::from_iter([
        ("pending".to_owned(), pending_command["$ref"].clone()),
        ("accepted".to_owned(), accepted["$ref"].clone()),
    ]);
    if mixed {
        let both = alternatives(vec![pending_command, accepted], "status", mapping);
        schemas.define(TAKEN, both);
    }
    let ticket = json!({
        "ticket": { "type": "string", "description": "For the query of the stream's address." },
        "expires_in": { "type": "integer", "format": "int32", "description": "Seconds that it is good for." },
        "events": { "type": "string", "description": "The stream's address with the ticket, on this gateway." },
    });
    let required = ["ticket", "expires_in", "events"];
    schemas.define("Ticket", object(ticket, &required, Way::Told));
    let problem = problem(request());
    schemas.define(PROBLEM, problem);
}

/// Those of meta's members that clients are told.
fn meta() -> Value {
    let schema = EventMeta::schema();
    let apache_avro::Schema::Record(record) = schema else {
        return json!({});
    };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for name in SHOWN_META {
        let Some(field) = record.fields.iter().find(|field| field.name == name) else {
            continue;
        };
        let is_number = matches!(name, "time" | "seq");
        let mut schema = match is_number {
            true => integer(64),
            false => json!({ "type": "string" }),
        };
        if let Some(doc) = &field.doc {
            schema = described(schema, doc);
        }
        properties.insert(name.to_owned(), schema);
        // What is null is left out.
        if field.default.is_none() {
            required.push(name);
        }
    }
    object(Value::Object(properties), &required, Way::Told)
}

fn problem(request: Value) -> Value {
    let codes = [
        failure::INVALID_REQUEST,
        failure::IDEMPOTENCY_MISMATCH,
        failure::FORBIDDEN,
        failure::EXPIRED,
        failure::CANCELLED,
        failure::HANDLER_FAILED,
        failure::HANDLER_CRASHED,
    ];
    let of_results = codes.map(|code| format!("`{code}` {}", status_of(code).as_u16()));
    let error = json!({ "field": { "type": "string" }, "detail": { "type": "string" } });
    let members = json!({
        "type": { "type": "string" },
        "title": { "type": "string" },
        "status": { "type": "integer", "format": "int32" },
        "detail": { "type": "string" },
        "code": {
            "type": "string",
            "description": format!("Stable. Of commands that failed: {}; a service's own code 409.", of_results.join(", ")),
        },
        "errors": {
            "type": "array",
            "description": "All fields that do not fit.",
            "items": object(error, &["field", "detail"], Way::Told),
        },
        "request": request,
        "instance": { "type": "string", "description": "Of a command's result: where it is asked for." },
        "key": { "type": "string", "description": "Of a command's result: id of the entity." },
        "meta": reference(META),
    });
    let required = ["type", "title", "status", "detail", "code"];
    described(object(members, &required, Way::Told), "RFC 9457.")
}

/// The responses that operations share.
pub fn components(mixed: bool) -> Value {
    let json_of = |name: &str| json!({ "application/json": { "schema": reference(name) } });
    let pending = json!({
        "Location": header("Location"),
        "Retry-After": header("Retry-After"),
        "Preference-Applied": header("Preference-Applied"),
    });
    let mut components = json!({
        "Pending": {
            "description": "The command was taken and has no result yet.",
            "headers": pending,
            "content": json_of("Pending"),
        },
        "StillPending": {
            "description": "The request has no result yet.",
            "headers": pending,
            "content": json_of("StillPending"),
        },
        "Accepted": {
            "description": "The fact was taken; it has no result.",
            "headers": { "Preference-Applied": header("Preference-Applied") },
            "content": json_of("Accepted"),
        },
        PROBLEM: {
            "description": "There is no result, or the command failed; `code` says why.",
            "headers": {
                "Retry-After": header("Retry-After"),
                "Preference-Applied": header("Preference-Applied"),
                "WWW-Authenticate": header("WWW-Authenticate"),
                "Allow": header("Allow"),
            },
            "content": { "application/problem+json": { "schema": reference(PROBLEM) } },
        },
    });
    if mixed {
        components[TAKEN] = json!({
            "description": "A command that has no result yet, or a fact, which has none.",
            "headers": pending,
            "content": json_of(TAKEN),
        });
    }
    components
}

/// A reference to one of [`components`].
pub fn response(name: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/{name}") })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}
