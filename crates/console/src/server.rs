//! Who may see the page and use its API, and what every response carries.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use millstream_gateway::access::{Caller, Verb};
use millstream_gateway::{Problem, is_foreign};
use serde_json::json;

use crate::answer::Answer;
use crate::{Console, assets, flow, guide, journeys, letters, live, objects, send, timers, topics};

/// Bytes of a body.
const MAX_BODY: usize = 1024 * 1024;
/// What is asked of a topic when the right to see or change all of them is meant: only a scope whose
/// pattern is `*` fits it.
pub const ALL: &str = "*";

/// Nothing but what this program serves, no text becomes markup, and nobody else frames the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
/// On every response.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The page, its API and `/health`.
pub fn routes(console: Arc<Console>) -> Router {
    let acting = Router::new()
        .route("/api/letters/replay", post(letters::replay))
        .route("/api/letters/discard", post(letters::discard))
        .route("/api/send", post(send::send))
        .layer(from_fn(operators));
    let api = Router::new()
        .route("/api/me", get(me))
        .route("/api/flow", get(flow::flow))
        .route("/api/live", get(live::live))
        .route("/api/journey", get(journeys::journey))
        .route("/api/guide", get(guide::guide))
        .route("/api/letters", get(letters::list))
        .route(
            "/api/letters/{topic}/{partition}/{offset}",
            get(letters::one),
        )
        .route("/api/topics/{topic}", get(topics::topic))
        .route("/api/topics/{topic}/records", get(topics::records))
        .route(
            "/api/topics/{topic}/records/{partition}/{offset}",
            get(topics::record),
        )
        .route("/api/topics/{topic}/tail", get(topics::tail))
        .route("/api/stuck", get(objects::stuck))
        .route("/api/objects/{service}", get(objects::keys))
        .route("/api/objects/{service}/{key}", get(objects::object))
        .route("/api/timers", get(timers::timers))
        .merge(acting)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::clone(&console), identify));
    let nothing = || async { Problem::not_found("there is nothing at this path") };
    Router::new()
        .merge(assets::routes())
        .route("/health", get(|| async { "ok\n" }))
        .merge(api)
        .fallback(nothing)
        .layer(from_fn(mark))
        .with_state(console)
}

/// Lets through whoever may see the installation.
async fn identify(
    State(console): State<Arc<Console>>,
    mut request: Request,
    next: Next,
) -> Response {
    if console.access.is_open()
        && let Err(problem) = is_of_this_page(request.headers())
    {
        return problem.into_response();
    }
    let caller = match console.access.identify(request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if let Err(problem) = caller.check(Verb::Read, ALL) {
        return problem.into_response();
    }
    let (pass, reads) = (caller.pass.clone(), request.method() == Method::GET);
    request.extensions_mut().insert(caller);
    let answering = next.run(request);
    if !reads {
        // What was done is told to whoever was allowed to do it.
        return answering.await;
    }
    tokio::select! {
        biased;
        response = answering => response,
        // A search may take long.
        refusal = console.access.over(&pass, Verb::Read, ALL) => refusal.problem().into_response(),
    }
}

/// Lets through whoever may change it.
async fn operators(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    match caller.check(Verb::Operate, ALL) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Where nobody has to show a key, any page that is open in the same browser could use it: by its own
/// origin, or by a name of its own that it lets point here.
fn is_of_this_page(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    match host {
        Some(host) if is_local(host) && !is_foreign(headers) => Ok(()),
        _ => Err(Problem::forbidden_because(
            "a console that asks nobody for a key answers its own page alone, at localhost or an IP \
             address; give it --keys to reach it by a name",
        )),
    }
}

/// Whether a host cannot be the name of somebody else's.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<IpAddr>().is_ok()
}

/// Adds what every response carries.
async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    // Small, and of a program that may be another one tomorrow.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Who asks, what he may do, and where other pages are.
async fn me(State(console): State<Arc<Console>>, Extension(caller): Extension<Caller>) -> Answer {
    let settings = &console.settings;
    Ok(Json(json!({
        "name": caller.principal.name(),
        "operate": caller.may(Verb::Operate, ALL),
        "open": console.access.is_open(),
        "application": settings.application,
        "version": env!("CARGO_PKG_VERSION"),
        "gateway": settings.gateway.is_some(),
        "restate_ui": settings.restate_ui,
        "trace_ui": settings.trace_ui,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_console_answers_its_own_page_alone() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            is_of_this_page(&headers).is_ok()
        };
        assert!(of(&[("host", "localhost:8087")]));
        assert!(of(&[
            ("host", "127.0.0.1:8087"),
            ("origin", "http://127.0.0.1:8087")
        ]));
        assert!(of(&[("host", "[::1]:8087")]));
        assert!(!of(&[]));
        assert!(
            !of(&[("host", "evil.example:8087")]),
            "a name that points here"
        );
        assert!(!of(&[
            ("host", "localhost:8087"),
            ("origin", "https://evil.example")
        ]));
        assert!(!of(&[
            ("host", "localhost:8087"),
            ("sec-fetch-site", "cross-site")
        ]));
    }
}
