//! `/subjects` and `/subjects/{subject}`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query as RawQuery, State};
use axum::routing::{get, post};
use serde_json::Value;

use super::answer::{self, Query, QueryMap, answer, plain, version_json};
use super::body::Sent;
use crate::decide::{self, Registration};
use crate::error::Refusal;
use crate::record::SchemaValue;
use crate::store::Store;

type Registry = State<Arc<Store>>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/subjects", get(list))
        .route("/subjects/{subject}", post(lookup).delete(delete))
        .route("/subjects/{subject}/metadata", get(with_metadata))
}

async fn list(State(store): Registry, query: QueryMap) -> answer::Result {
    let query = Query::from(query);
    let prefix = plain(query.text("subjectPrefix").unwrap_or_default());
    store.read(|state| {
        let only_deleted = query.flag("deletedOnly");
        let subjects = state
            .subjects(only_deleted || query.flag("deleted"))
            .filter(|subject| subject.starts_with(prefix))
            .filter(|subject| !only_deleted || state.versions(subject, false).next().is_none());
        Ok(answer(query.page(subjects)))
    })
}

async fn lookup(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
    Sent(body): Sent,
) -> answer::Result {
    let query = Query::from(query);
    let mut request: Registration = answer::body(&body)?;
    request.normalize = query.flag("normalize");
    store.read(|state| {
        let found = decide::lookup(state, plain(&subject), &request, query.flag("deleted"))?;
        Ok(answer(version_json(found)))
    })
}

/// The latest version whose metadata has these properties: `key` and `value`, each as often as
/// wanted.
async fn with_metadata(
    State(store): Registry,
    Path(subject): Path<String>,
    RawQuery(pairs): RawQuery<Vec<(String, String)>>,
) -> answer::Result {
    let subject = plain(&subject);
    let all = |name: &'static str| {
        let of_name = pairs.iter().filter(move |(key, _)| key == name);
        of_name.map(|(_, value)| value)
    };
    let wanted = all("key").zip(all("value")).collect::<Vec<_>>();
    let deleted = all("deleted").any(|it| it.eq_ignore_ascii_case("true"));
    store.read(|state| {
        let mut versions = state.versions(subject, deleted).rev().peekable();
        if versions.peek().is_none() {
            return Err(Refusal::SubjectNotFound(subject.to_owned()));
        }
        let fits = |value: &&SchemaValue| {
            let properties = value.metadata.as_ref().and_then(|it| it.get("properties"));
            wanted.iter().all(|(key, wanted)| {
                let property = properties.and_then(|it| it.get(key.as_str()));
                property.and_then(Value::as_str) == Some(wanted.as_str())
            })
        };
        let found = versions.find(fits).ok_or(Refusal::SchemaNotFound)?;
        Ok(answer(version_json(found)))
    })
}

async fn delete(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
) -> answer::Result {
    let permanent = Query::from(query).flag("permanent");
    let change = store.change(|state| decide::delete_subject(state, plain(&subject), permanent));
    Ok(answer(change.await?))
}
