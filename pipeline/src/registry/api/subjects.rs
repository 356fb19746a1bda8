//! `/subjects` and `/subjects/{subject}`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};

use super::answer::{self, Query, QueryMap, answer, plain, version_json};
use crate::registry::decide::{self, Registration};
use crate::registry::store::Store;

type Registry = State<Arc<Store>>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/subjects", get(list))
        .route("/subjects/{subject}", post(lookup).delete(delete))
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
    body: Bytes,
) -> answer::Result {
    let query = Query::from(query);
    let mut request: Registration = answer::body(&body)?;
    request.normalize = query.flag("normalize");
    store.read(|state| {
        let found = decide::lookup(state, plain(&subject), &request, query.flag("deleted"))?;
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
