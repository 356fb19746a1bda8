//! The REST API, route by route; Confluent's API is its specification.

mod answer;
mod body;
mod compatibility;
mod config;
mod known;
mod media;
mod mode;
mod schemas;
mod subjects;
mod versions;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use self::answer::{Answer, answer};
use super::error::Refusal;
use super::store::Store;
use millstream_pipeline::observe::metrics::metrics;
use millstream_pipeline::serve::metrics_text;

pub use self::known::routes;

/// All routes.
pub fn router(store: Arc<Store>) -> Router {
    Router::new()
        .route("/", get(|| async { answer(json!({})) }))
        .route(
            "/health",
            get(|| async { answer(json!({ "status": "ready" })) }),
        )
        .route("/contexts", get(|| async { answer(json!(["."])) }))
        .route("/v1/metadata/id", get(metadata))
        .route("/v1/metadata/version", get(version))
        .merge(subjects::routes())
        .merge(versions::routes())
        .merge(schemas::routes())
        .merge(config::routes())
        .merge(mode::routes())
        .merge(compatibility::routes())
        .fallback(|| async { Refusal::NoRoute })
        .method_not_allowed_fallback(|| async { Refusal::NoMethod })
        .layer(middleware::from_fn_with_state(store.clone(), when_ready))
        .layer(from_fn(media::negotiate))
        .layer(from_fn(observe))
        // Told also while the log is read.
        .route("/metrics", get(metrics_text))
        .with_state(store)
}

/// Nothing is answered from a state that does not contain the log yet.
async fn when_ready(State(store): State<Arc<Store>>, request: Request, next: Next) -> Response {
    match store.check_ready() {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal::Store(error).into_response(),
    }
}

/// Counts a request.
async fn observe(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "PUT" | "DELETE") => known.to_owned(),
        // Whatever a client sends must not make a series of its own.
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    metrics()
        .registry_requests
        .with_label_values(&[&method, route, response.status().as_str()])
        .inc();
    metrics()
        .registry_duration
        .with_label_values(&[route])
        .observe(begun.elapsed().as_secs_f64());
    response
}

async fn metadata() -> Answer {
    answer(
        json!({ "scope": { "path": [], "clusters": { "schema-registry-cluster": "millstream" } } }),
    )
}

async fn version() -> Answer {
    answer(json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "millstream" }))
}
