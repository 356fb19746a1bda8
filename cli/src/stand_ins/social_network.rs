//! The social network that `transactional-events` publishes posts in.
//!
//! `PUT /posts/{id}` with `{"user": .., ..}` creates a post, `GET /posts/{id}/moderation` answers
//! `{"status": ..}`, `PUT /feeds/{user}/{id}` puts the post into a feed. The content `refused` is
//! answered with 422. Control: `PUT /verdicts/{user}` with `"PENDING"`, `"APPROVED"` (so it begins)
//! or `"REJECTED"`; `GET /calls/{user}` lists what was called, in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::http;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where it is below the stand-ins' address.
pub const PATH: &str = "/social-network";

/// What the moderators say of the posts of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Nothing.
    Pending,
    /// Yes.
    #[default]
    Approved,
    /// No.
    Rejected,
}

/// A call, with the id of its post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Creates the post.
    Create(String),
    /// Asks for its moderation.
    Moderation(String),
    /// Puts it into the feed.
    Feed(String),
}

#[derive(Default)]
struct Network {
    verdicts: HashMap<String, Verdict>,
    /// What each post was created with.
    posts: HashMap<String, Value>,
    calls: HashMap<String, Vec<Call>>,
}

type Shared = Arc<Mutex<Network>>;

/// Its routes.
pub fn routes() -> Router {
    Router::new()
        .route("/posts/{id}", put(create))
        .route("/posts/{id}/moderation", get(moderation))
        .route("/feeds/{user}/{id}", put(feed))
        .route("/verdicts/{user}", put(set_verdict))
        .route("/calls/{user}", get(calls))
        .with_state(Shared::default())
}

fn lock(network: &Shared) -> MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// Notes a call for a post; the user whose post it is.
    fn note(&mut self, id: &str, call: fn(String) -> Call) -> Result<String, StatusCode> {
        let post = self.posts.get(id).ok_or(StatusCode::NOT_FOUND)?;
        let user = post["user"].as_str().unwrap_or_default().to_owned();
        let calls = self.calls.entry(user.clone()).or_default();
        calls.push(call(id.to_owned()));
        Ok(user)
    }
}

async fn create(
    State(network): State<Shared>,
    Path(id): Path<String>,
    Json(post): Json<Value>,
) -> Result<(), StatusCode> {
    if post["content"] == "refused" {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let mut network = lock(&network);
    if *network.posts.entry(id.clone()).or_insert(post.clone()) != post {
        return Err(StatusCode::CONFLICT);
    }
    network.note(&id, Call::Create)?;
    Ok(())
}

async fn moderation(
    State(network): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let mut network = lock(&network);
    let user = network.note(&id, Call::Moderation)?;
    let verdict = network.verdicts.get(&user).copied().unwrap_or_default();
    Ok(Json(json!({ "status": verdict })))
}

async fn feed(
    State(network): State<Shared>,
    Path((user, id)): Path<(String, String)>,
) -> Result<(), StatusCode> {
    match lock(&network).note(&id, Call::Feed)? == user {
        true => Ok(()),
        false => Err(StatusCode::FORBIDDEN),
    }
}

async fn set_verdict(
    State(network): State<Shared>,
    Path(user): Path<String>,
    Json(verdict): Json<Verdict>,
) {
    lock(&network).verdicts.insert(user, verdict);
}

async fn calls(State(network): State<Shared>, Path(user): Path<String>) -> Json<Vec<Call>> {
    Json(lock(&network).calls.get(&user).cloned().unwrap_or_default())
}

/// Tells the network of a dev stack how to behave.
pub struct NetworkControl {
    url: String,
    client: reqwest::Client,
}

impl NetworkControl {
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

    /// What the moderators say of the posts of a user from now on.
    pub async fn set_verdict(&self, user: &str, verdict: Verdict) -> anyhow::Result<()> {
        let url = http::address(&self.url, ["verdicts", user])?;
        let request = self.client.put(url).json(&verdict);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// What was called for a user, in order.
    pub async fn calls(&self, user: &str) -> anyhow::Result<Vec<Call>> {
        let url = http::address(&self.url, ["calls", user])?;
        let answer = self.client.get(url).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
