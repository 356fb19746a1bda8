//! `/config`: compatibility levels.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Query, QueryMap, answer, plain};
use super::body::Sent;
use crate::decide;
use crate::error::Refusal;
use crate::level::Level;
use crate::record::ConfigValue;
use crate::store::Store;

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
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Members of Confluent's API that this registry does not act on, with the value that says what it
/// does anyway.
static NOT_DONE: [(&str, Value); 11] = [
    ("alias", Value::Null),
    ("aliasForDeks", Value::Null),
    ("compatibilityGroup", Value::Null),
    ("compatibilityPolicy", Value::Null),
    ("defaultMetadata", Value::Null),
    ("overrideMetadata", Value::Null),
    ("defaultRuleSet", Value::Null),
    ("overrideRuleSet", Value::Null),
    ("validateFields", Value::Bool(false)),
    ("validateNewSchemas", Value::Null),
    ("validateRules", Value::Bool(true)),
];

impl Change {
    /// Refuses what would be answered with 200 and not done.
    fn check(&self) -> Result<(), Refusal> {
        let not_done = NOT_DONE.iter().filter(|(name, as_it_is)| {
            let asked = self.other.get(*name);
            asked.is_some_and(|it| !it.is_null() && it != as_it_is)
        });
        let names = not_done.map(|(name, _)| *name).collect::<Vec<_>>();
        match names.is_empty() {
            true => Ok(()),
            false => Err(Refusal::NotPermitted(format!(
                "this registry does not act on {}; leave that out, and send metadata and rules with \
                 each schema",
                names.join(", ")
            ))),
        }
    }
}

fn shown(config: Option<&ConfigValue>, otherwise: Level) -> Value {
    let level = config
        .and_then(|config| config.compatibility_level)
        .unwrap_or(otherwise);
    let mut json = json!({ "compatibilityLevel": level.name() });
    if let Some(normalize) = config.and_then(|config| config.normalize) {
        json["normalize"] = json!(normalize);
    }
    // What another registry wrote is kept and shown.
    for (name, value) in config.iter().flat_map(|config| &config.other) {
        json[name] = value.clone();
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

async fn set_global(State(store): Registry, Sent(body): Sent) -> answer::Result {
    change(&store, None, &body).await
}

async fn set(
    State(store): Registry,
    Path(subject): Path<String>,
    Sent(body): Sent,
) -> answer::Result {
    change(&store, Some(plain(&subject)), &body).await
}

async fn change(store: &Store, subject: Option<&str>, body: &Bytes) -> answer::Result {
    let request: Change = answer::body(body)?;
    request.check()?;
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
