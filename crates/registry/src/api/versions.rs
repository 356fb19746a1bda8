//! `/subjects/{subject}/versions` and what is below.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{self, Query, QueryMap, answer, extend, plain, verbatim, version_json};
use super::body::Sent;
use crate::decide::{self, Registration, VersionName};
use crate::error::Refusal;
use crate::record::SchemaValue;
use crate::store::Store;

type Registry = State<Arc<Store>>;
type Version = Path<(String, String)>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/subjects/{subject}/versions", get(list).post(register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(show).delete(delete),
        )
        .route("/subjects/{subject}/versions/{version}/schema", get(schema))
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(referenced_by),
        )
}

async fn list(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
) -> answer::Result {
    let query = Query::from(query);
    let subject = plain(&subject);
    let only_deleted = query.flag("deletedOnly");
    store.read(|state| {
        let mut versions = state
            .versions(subject, only_deleted || query.flag("deleted"))
            .peekable();
        if versions.peek().is_none() {
            return Err(Refusal::SubjectNotFound(subject.to_owned()));
        }
        let versions = versions.filter(|value| !only_deleted || value.deleted);
        Ok(answer(query.page(versions.map(|value| value.version))))
    })
}

async fn register(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
    Sent(body): Sent,
) -> answer::Result {
    let subject = plain(&subject);
    let mut request: Registration = answer::body(&body)?;
    request.normalize = Query::from(query).flag("normalize");
    // Every producer registers at every start: what is there already costs no write.
    let found = store.read(|state| {
        let found = decide::registered(state, subject, &request);
        Ok(found.map(registered_json))
    });
    if let Some(found) = found? {
        return Ok(answer(found));
    }
    let id = store
        .change(|state| decide::register(state, subject, &request))
        .await?;
    store.read(|state| {
        let mut versions = state.versions(subject, false).rev();
        let version = versions.find(|value| value.id == id);
        Ok(answer(
            version.map_or_else(|| json!({ "id": id }), registered_json),
        ))
    })
}

/// What a client is told of a schema that it registered. One that has metadata or rules is told
/// whole: they may be those of the version before, and the client has to carry them out.
fn registered_json(value: &SchemaValue) -> Value {
    match (&value.metadata, &value.rule_set) {
        (None, None) => json!({ "id": value.id }),
        _ => {
            let mut json = json!({ "id": value.id, "version": value.version });
            extend(&mut json, value);
            json
        }
    }
}

async fn show(
    State(store): Registry,
    Path((subject, version)): Version,
    query: QueryMap,
) -> answer::Result {
    let version = VersionName::parse(&version)?;
    let deleted = Query::from(query).flag("deleted");
    store.read(|state| {
        Ok(answer(version_json(version.find(
            state,
            plain(&subject),
            deleted,
        )?)))
    })
}

async fn schema(
    State(store): Registry,
    Path((subject, version)): Version,
    query: QueryMap,
) -> answer::Result {
    let version = VersionName::parse(&version)?;
    let deleted = Query::from(query).flag("deleted");
    store.read(|state| {
        Ok(verbatim(
            &version.find(state, plain(&subject), deleted)?.schema,
        ))
    })
}

async fn referenced_by(
    State(store): Registry,
    Path((subject, version)): Version,
) -> answer::Result {
    let version = VersionName::parse(&version)?;
    store.read(|state| {
        let value = version.find(state, plain(&subject), true)?;
        let mut ids = state
            .referrers(&value.subject, value.version, false)
            .iter()
            .map(|v| v.id)
            .collect::<Vec<_>>();
        ids.sort_unstable();
        ids.dedup();
        Ok(answer(ids))
    })
}

async fn delete(
    State(store): Registry,
    Path((subject, version)): Version,
    query: QueryMap,
) -> answer::Result {
    let version = VersionName::parse(&version)?;
    let permanent = Query::from(query).flag("permanent");
    let change =
        store.change(|state| decide::delete_version(state, plain(&subject), version, permanent));
    Ok(answer(change.await?))
}
