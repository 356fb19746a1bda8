//! Sending events to the gateway as HTTP requests, whose responses are the results.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::http;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::{Account, Outgoing};
use crate::load::plan::Plan;

/// Requests under way at once: each has a connection of its own. Beyond that events are sent late,
/// which the account shows.
const IN_FLIGHT: usize = 2_000;
/// The gateway cuts longer waits.
const LONGEST_WAIT: f64 = 60.0;
/// Longer than the gateway waits for a result.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// A client of the gateway.
pub struct Gateway {
    plan: Arc<Plan>,
    url: String,
    api_key: Option<String>,
    http: Client,
    runtime: Handle,
    free: Arc<Semaphore>,
    account: Account,
}

/// A request, and when what comes of it is no longer awaited.
pub struct Request {
    builder: RequestBuilder,
    expires: u64,
    is_command: bool,
}

/// What the gateway says, as far as it matters.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

impl Gateway {
    /// A client of the installation's gateway.
    pub fn new(
        plan: &Arc<Plan>,
        endpoints: &Endpoints,
        api_key: Option<&str>,
        account: &Account,
    ) -> anyhow::Result<Self> {
        let url = endpoints.gateway.clone();
        let url = url.context("no gateway is known; say where it is with --gateway")?;
        if let Some(topic) = plan.declarations().iter().find(|topic| !topic.is_open()) {
            anyhow::bail!(
                "{} is not open at the gateway (`access` in its topic file is \"{}\"); use \
                 target = \"kafka\"",
                topic.name,
                topic.access.as_str()
            );
        }
        Ok(Self {
            plan: Arc::clone(plan),
            url: url.trim_end_matches('/').to_owned(),
            api_key: api_key.map(str::to_owned),
            http: millstream_pipeline::http::builder()
                .no_proxy()
                .tcp_nodelay(true)
                .timeout(ANSWER_LIMIT)
                .build()?,
            runtime: Handle::current(),
            free: Arc::new(Semaphore::new(IN_FLIGHT)),
            account: account.clone(),
        })
    }

    /// The request of an event.
    pub fn prepare(&self, event: Outgoing) -> anyhow::Result<Request> {
        let part = &self.plan.parts[event.part];
        let data = Value::try_from(event.body).context("an event has no form in JSON")?;
        let path = ["v1", "topics", part.topic.name, &event.key];
        let url = http::address(&self.url, path)?;
        let body = json!({ "type": part.event.full_name, "data": data });
        let wait = self.plan.workload.deadline.min(LONGEST_WAIT);
        let mut builder = self.http.post(url).json(&body);
        builder = builder.header("Prefer", format!("wait={}", wait.ceil()));
        if let Some(key) = &self.api_key {
            builder = builder.header("X-API-Key", key);
        }
        if part.idempotency_keys {
            let key = format!("{}-{}", self.plan.run, event.number);
            builder = builder.header("Idempotency-Key", key);
        }
        Ok(Request {
            builder,
            expires: event.micros + (self.plan.workload.deadline * 1e6) as u64,
            is_command: part.event.is_command(),
        })
    }

    /// Sends a request. Waits only while too many are under way.
    pub fn hand_over(&self, number: usize, request: Request) {
        let free = Arc::clone(&self.free);
        let Ok(permit) = self.runtime.block_on(free.acquire_owned()) else {
            unreachable!("the semaphore is never closed")
        };
        let (account, http) = (self.account.clone(), self.http.clone());
        let results = format!("{}/v1/requests", self.url);
        let api_key = self.api_key.clone();
        self.runtime.spawn(async move {
            let _permit = permit;
            let is_command = request.is_command;
            let follow = |id: &str| {
                let follow = http.get(format!("{results}/{id}?wait=30"));
                match &api_key {
                    Some(key) => follow.header("X-API-Key", key),
                    None => follow,
                }
            };
            let outcome = outcome(request, &account, number, follow).await;
            let at = account.clock.now();
            let mut tracker = account.tracker();
            match outcome {
                Ok(Outcome::Answered) if is_command => tracker.responded(number, at, None),
                Ok(Outcome::Failed(code)) => tracker.responded(number, at, Some(code)),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, number, "no response");
                    tracker.unacknowledged(number);
                }
            }
        });
    }
}

enum Outcome {
    Answered,
    Failed(String),
    Pending,
}

/// What comes of a request until it expires.
async fn outcome(
    request: Request,
    account: &Account,
    number: usize,
    follow: impl Fn(&str) -> RequestBuilder,
) -> reqwest::Result<Outcome> {
    let (mut builder, mut is_taken) = (request.builder, false);
    loop {
        let response = builder.send().await?;
        let status = response.status();
        // The whole body is read, so that the connection can be used again.
        let body = response.bytes().await?;
        if status.is_success() && !is_taken {
            is_taken = true;
            account.tracker().acknowledged(number, account.clock.now());
        }
        if status == StatusCode::OK {
            return Ok(Outcome::Answered);
        }
        let said: Said = serde_json::from_slice(&body).unwrap_or_default();
        match said.request {
            Some(id) if status == StatusCode::ACCEPTED => {
                if account.clock.now() >= request.expires {
                    return Ok(Outcome::Pending);
                }
                builder = follow(&id);
            }
            _ if status.is_success() => return Ok(Outcome::Answered),
            _ => {
                let code = said.code;
                return Ok(Outcome::Failed(
                    code.unwrap_or_else(|| format!("http-{}", status.as_u16())),
                ));
            }
        }
    }
}
