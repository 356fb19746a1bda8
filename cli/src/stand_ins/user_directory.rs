//! The system that `user-updates` brings up to date.
//!
//! `PUT /users/{id}/{field}` with `{"value": ..}` answers `{"id": ..}`, 503 while the user is busy,
//! or 422 for the value `refused`. Control: `PUT` and `DELETE /busy/{id}`; `GET /users/{id}` lists the changed fields in order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::http;
use serde_json::{Value, json};

/// Where it is below the stand-ins' address.
pub const PATH: &str = "/user-directory";

#[derive(Default)]
struct Directory {
    busy: HashSet<String>,
    changes: HashMap<String, Vec<String>>,
}

type Shared = Arc<Mutex<Directory>>;

/// Its routes.
pub fn routes() -> Router {
    Router::new()
        .route("/users/{id}", get(changes))
        .route("/users/{id}/{field}", put(change))
        .route("/busy/{id}", put(set_busy).delete(set_free))
        .with_state(Shared::default())
}

fn lock(directory: &Shared) -> std::sync::MutexGuard<'_, Directory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn change(
    State(directory): State<Shared>,
    Path((id, field)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let mut directory = lock(&directory);
    if directory.busy.contains(&id) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    if body["value"] == "refused" {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let answer = json!({ "id": format!("{field}-of-{id}") });
    directory.changes.entry(id).or_default().push(field);
    Ok(Json(answer))
}

async fn changes(State(directory): State<Shared>, Path(id): Path<String>) -> Json<Vec<String>> {
    Json(
        lock(&directory)
            .changes
            .get(&id)
            .cloned()
            .unwrap_or_default(),
    )
}

async fn set_busy(State(directory): State<Shared>, Path(id): Path<String>) {
    lock(&directory).busy.insert(id);
}

async fn set_free(State(directory): State<Shared>, Path(id): Path<String>) {
    lock(&directory).busy.remove(&id);
}

/// Tells the directory of a dev stack how to behave.
pub struct DirectoryControl {
    url: String,
    client: reqwest::Client,
}

impl DirectoryControl {
    /// The control of the dev stack at `endpoints`.
    pub fn of(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let url = endpoints
            .stand_ins
            .as_ref()
            .context("this installation has no stand-ins; the scenario runs on a dev stack only")?;
        Ok(Self {
            url: format!("{url}{PATH}"),
            client: http::client(),
        })
    }

    /// Makes changes of a user fail, or work again.
    pub async fn set_busy(&self, user: &str, busy: bool) -> anyhow::Result<()> {
        let url = http::address(&self.url, ["busy", user])?;
        let request = if busy {
            self.client.put(url)
        } else {
            self.client.delete(url)
        };
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// The fields of a user that were changed, in order.
    pub async fn changes(&self, user: &str) -> anyhow::Result<Vec<String>> {
        let url = http::address(&self.url, ["users", user])?;
        Ok(self
            .client
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }
}
