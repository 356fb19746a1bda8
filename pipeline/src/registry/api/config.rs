//! `/config`: compatibility levels.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Query, QueryMap, answer, plain};
use crate::registry::decide;
use crate::registry::error::Refusal;
use crate::registry::level::Level;
use crate::registry::record::ConfigValue;
use crate::registry::store::Store;

type Registry = State<Arc<Store>>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route(
            "/config",
            get(show_global).put(set_global).delete(delete_global),
        )
        .route("/config/{subject}", get(show).put(set).delete(delete))
}

#[derive(Deserialize)]
struct Change {
    // The request says `compatibility`, the answer to a GET `compatibilityLevel`: both are taken.
    #[serde(default, alias = "compatibilityLevel")]
    compatibility: Option<String>,
    #[serde(default)]
    normalize: Option<bool>,
}

fn shown(config: Option<&ConfigValue>, otherwise: Level) -> Value {
    let level = config
        .and_then(|config| config.compatibility_level)
        .unwrap_or(otherwise);
    let mut json = json!({ "compatibilityLevel": level.name() });
    if let Some(normalize) = config.and_then(|config| config.normalize) {
        json["normalize"] = json!(normalize);
    }
    json
}

async fn show_global(State(store): Registry) -> answer::Result {
    store.read(|state| Ok(answer(shown(state.config(None), Level::default()))))
}

async fn show(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
) -> answer::Result {
    let subject = plain(&subject);
    let global = Query::from(query).flag("defaultToGlobal");
    store.read(|state| match state.config(Some(subject)) {
        None if !global => Err(Refusal::NoConfig(subject.to_owned())),
        None => Ok(answer(shown(state.config(None), Level::default()))),
        own => Ok(answer(shown(own, state.level(subject)))),
    })
}

async fn set_global(State(store): Registry, body: Bytes) -> answer::Result {
    change(&store, None, &body).await
}

async fn set(State(store): Registry, Path(subject): Path<String>, body: Bytes) -> answer::Result {
    change(&store, Some(plain(&subject)), &body).await
}

async fn change(store: &Store, subject: Option<&str>, body: &Bytes) -> answer::Result {
    let request: Change = answer::body(body)?;
    let level = match request.compatibility.as_deref().map(Level::of) {
        Some(Some(level)) => Some(level),
        None if request.normalize.is_some() => None,
        _ => return Err(Refusal::InvalidLevel),
    };
    store
        .change(|state| decide::set_config(state, subject, level, request.normalize))
        .await?;
    let mut echo = json!({});
    if let Some(level) = level {
        echo["compatibility"] = json!(level.name());
    }
    if let Some(normalize) = request.normalize {
        echo["normalize"] = json!(normalize);
    }
    Ok(answer(echo))
}

async fn delete_global(State(store): Registry) -> answer::Result {
    let old = store
        .change(|state| decide::delete_config(state, None))
        .await?;
    Ok(answer(shown(Some(&old), Level::default())))
}

async fn delete(State(store): Registry, Path(subject): Path<String>) -> answer::Result {
    let old = store
        .change(|state| decide::delete_config(state, Some(plain(&subject))))
        .await?;
    Ok(answer(shown(Some(&old), Level::default())))
}
