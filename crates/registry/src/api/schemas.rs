//! `/schemas` and what is below: schemas by id.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::json;

use super::answer::{self, Query, QueryMap, answer, extend, plain, verbatim, version_json};
use crate::error::Refusal;
use crate::store::Store;

type Registry = State<Arc<Store>>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/schemas", get(list))
        .route("/schemas/types", get(|| async { answer(["AVRO"]) }))
        .route("/schemas/ids/{id}", get(show))
        .route("/schemas/ids/{id}/schema", get(schema))
        .route("/schemas/ids/{id}/subjects", get(subjects))
        .route("/schemas/ids/{id}/versions", get(versions))
}

fn number(id: &str) -> Result<i32, Refusal> {
    id.parse().map_err(|_| Refusal::NoRoute)
}

async fn list(State(store): Registry, query: QueryMap) -> answer::Result {
    let query = Query::from(query);
    let prefix = plain(query.text("subjectPrefix").unwrap_or_default());
    let deleted = query.flag("deleted");
    store.read(|state| {
        let latest = |subject: &str| {
            state
                .versions(subject, deleted)
                .next_back()
                .map(|v| v.version)
        };
        let found = state
            .all(deleted)
            .filter(|value| value.subject.starts_with(prefix))
            .filter(|value| {
                !query.flag("latestOnly") || latest(&value.subject) == Some(value.version)
            })
            .map(version_json);
        Ok(answer(query.page(found)))
    })
}

async fn show(State(store): Registry, Path(id): Path<String>, query: QueryMap) -> answer::Result {
    let id = number(&id)?;
    let with_highest = Query::from(query).flag("fetchMaxId");
    store.read(|state| {
        let mut json = json!({});
        extend(&mut json, state.schema(id).ok_or(Refusal::IdNotFound(id))?);
        if with_highest {
            json["maxId"] = json!(state.highest_id());
        }
        Ok(answer(json))
    })
}

async fn schema(State(store): Registry, Path(id): Path<String>) -> answer::Result {
    let id = number(&id)?;
    store.read(|state| {
        Ok(verbatim(
            &state.schema(id).ok_or(Refusal::IdNotFound(id))?.schema,
        ))
    })
}

async fn subjects(
    State(store): Registry,
    Path(id): Path<String>,
    query: QueryMap,
) -> answer::Result {
    let id = number(&id)?;
    let query = Query::from(query);
    store.read(|state| {
        state.schema(id).ok_or(Refusal::IdNotFound(id))?;
        let uses = state
            .uses(id)
            .filter(|value| query.flag("deleted") || !value.deleted);
        let subjects = uses
            .map(|value| value.subject.as_str())
            .collect::<BTreeSet<_>>();
        Ok(answer(query.page(subjects.into_iter())))
    })
}

async fn versions(
    State(store): Registry,
    Path(id): Path<String>,
    query: QueryMap,
) -> answer::Result {
    let id = number(&id)?;
    let query = Query::from(query);
    store.read(|state| {
        state.schema(id).ok_or(Refusal::IdNotFound(id))?;
        let uses = state
            .uses(id)
            .filter(|value| query.flag("deleted") || !value.deleted);
        let uses = uses.map(|value| json!({ "subject": value.subject, "version": value.version }));
        Ok(answer(query.page(uses)))
    })
}
