//! `/mode`: what may be written.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Query, QueryMap, answer, plain};
use super::body::Sent;
use crate::decide;
use crate::error::Refusal;
use crate::level::Mode;
use crate::store::Store;

type Registry = State<Arc<Store>>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route(
            "/mode",
            get(show_global).put(set_global).delete(delete_global),
        )
        .route("/mode/{subject}", get(show).put(set).delete(delete))
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    mode: String,
}

fn shown(mode: Mode) -> Value {
    json!({ "mode": mode.name() })
}

async fn show_global(State(store): Registry) -> answer::Result {
    store.read(|state| Ok(answer(shown(state.mode(None).unwrap_or_default()))))
}

async fn show(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
) -> answer::Result {
    let subject = plain(&subject);
    let global = Query::from(query).flag("defaultToGlobal");
    store.read(|state| match state.mode(Some(subject)) {
        None if !global => Err(Refusal::NoMode(subject.to_owned())),
        None => Ok(answer(shown(state.mode_in_scope(Some(subject))))),
        Some(own) => Ok(answer(shown(own))),
    })
}

async fn set_global(State(store): Registry, query: QueryMap, Sent(body): Sent) -> answer::Result {
    change(&store, None, query, &body).await
}

async fn set(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
    Sent(body): Sent,
) -> answer::Result {
    change(&store, Some(plain(&subject)), query, &body).await
}

async fn change(
    store: &Store,
    subject: Option<&str>,
    query: QueryMap,
    body: &Bytes,
) -> answer::Result {
    let request: Change = answer::body(body)?;
    let mode = Mode::of(&request.mode).ok_or(Refusal::InvalidMode)?;
    let force = Query::from(query).flag("force");
    store
        .change(|state| decide::set_mode(state, subject, mode, force))
        .await?;
    Ok(answer(shown(mode)))
}

async fn delete_global(State(store): Registry) -> answer::Result {
    Ok(answer(shown(
        store
            .change(|state| decide::delete_mode(state, None))
            .await?,
    )))
}

async fn delete(State(store): Registry, Path(subject): Path<String>) -> answer::Result {
    let change = store.change(|state| decide::delete_mode(state, Some(plain(&subject))));
    Ok(answer(shown(change.await?)))
}
