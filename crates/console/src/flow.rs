//! What is declared: topics, who handles them, where results go. The page draws its picture of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use millstream_pipeline::events::{Declaration, Lane, is_system_service};
use serde_json::{Value, json};

use crate::Console;
use crate::answer::Answer;

/// Everything that is declared.
pub async fn flow(State(console): State<Arc<Console>>) -> Answer {
    let topics: Vec<Value> = console.declarations.iter().map(|it| topic(it)).collect();
    Ok(Json(json!({ "topics": topics })))
}

/// A topic as its file declares it.
pub fn topic(declaration: &Declaration) -> Value {
    let events = declaration.events.iter().map(|event| {
        json!({
            "name": event.full_name,
            "command": event.is_command(),
            "results": event.results,
        })
    });
    let handlers = declaration.subscriptions.iter().map(|it| {
        json!({
            "service": it.service,
            "handler": it.handler,
            "system": is_system_service(it.service),
        })
    });
    let routes = declaration.http.iter();
    let routes = routes.map(|it| format!("{} {}", it.method, it.path));
    json!({
        "name": declaration.name,
        "description": declaration.description,
        "key": declaration.key,
        "lane": match declaration.lane {
            Lane::Event => "event",
            Lane::Batch => "batch",
        },
        "access": declaration.access.as_str(),
        "open": declaration.is_open(),
        "of_results": declaration.is_of_results(),
        "of_states": declaration.is_of_states(),
        "guarded": declaration.guard.then(|| declaration.subscribed_topic()),
        "events": events.collect::<Vec<_>>(),
        "handlers": handlers.collect::<Vec<_>>(),
        "http": routes.collect::<Vec<_>>(),
        "results": declaration.results.as_ref().map(|results| results.name),
        "results_once": declaration.results.as_ref().and_then(|it| it.once).map(|once| once.name),
        "dead_letters": declaration.dead_letters.then(|| declaration.dead_letter_topic()),
    })
}
