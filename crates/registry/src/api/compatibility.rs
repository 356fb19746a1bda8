//! `/compatibility`: would this schema be accepted?

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use serde_json::json;

use super::answer::{self, Answer, Query, QueryMap, answer, plain};
use super::body::Sent;
use crate::decide::{self, Registration, VersionName};
use crate::error::Refusal;
use crate::store::Store;

type Registry = State<Arc<Store>>;

pub fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/compatibility/subjects/{subject}/versions", post(all))
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(one),
        )
}

fn request(body: &Bytes, query: &Query) -> Result<Registration, Refusal> {
    let mut request: Registration = answer::body(body)?;
    request.normalize = query.flag("normalize");
    Ok(request)
}

fn verdict(messages: Vec<String>, query: &Query) -> Answer {
    let mut json = json!({ "is_compatible": messages.is_empty() });
    if query.flag("verbose") {
        json["messages"] = json!(messages);
    }
    answer(json)
}

async fn all(
    State(store): Registry,
    Path(subject): Path<String>,
    query: QueryMap,
    Sent(body): Sent,
) -> answer::Result {
    let query = Query::from(query);
    let request = request(&body, &query)?;
    let messages = store.read(|state| decide::check_all(state, plain(&subject), &request))?;
    Ok(verdict(messages, &query))
}

async fn one(
    State(store): Registry,
    Path((subject, version)): Path<(String, String)>,
    query: QueryMap,
    Sent(body): Sent,
) -> answer::Result {
    let query = Query::from(query);
    let request = request(&body, &query)?;
    let version = VersionName::parse(&version)?;
    let messages =
        store.read(|state| decide::check_version(state, plain(&subject), version, &request))?;
    Ok(verdict(messages, &query))
}
