//! User updates: each event changes three things in a system outside, in order, and waits while
//! that system is busy.
//!
//! The wait is a durable timer: it survives a crash, and only events of the same user wait behind
//! it. Each change is journaled when it is done, so a repeated attempt goes on where it stopped.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::http;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_schemas::user_updates::{UserUpdate, UserUpdated};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::settings::milliseconds;

/// The user directory refused a change.
pub const DIRECTORY_REFUSED: &str = "directory-refused";
/// The user directory did not answer for as long as we are willing to try.
pub const DIRECTORY_UNAVAILABLE: &str = "directory-unavailable";

/// Longest wait for a busy directory, in first waits: a minute, where the first is five seconds.
const MAX_DELAYS: u32 = 12;
/// Tries of one change before it is given up, about ten minutes.
const MAX_TRIES: u32 = 128;

/// Where the user directory is.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// URL of the user directory that user-updates brings up to date
    #[arg(
        long,
        default_value = "http://localhost:9480/user-directory",
        env = "MILLSTREAM_USER_DIRECTORY",
        value_name = "URL"
    )]
    pub user_directory: String,
    /// Milliseconds before a busy user directory is asked again
    #[arg(
        long = "busy-delay-ms",
        default_value = "5000",
        env = "MILLSTREAM_BUSY_DELAY_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub busy_delay: Duration,
}

/// The service. Its key is the user id.
pub struct UserUpdates {
    service: Service,
    directory: Directory,
    busy_delay: Duration,
}

impl UserUpdates {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(UserUpdates in millstream_topics::TOPICS)),
            directory: Directory {
                url: settings.user_directory.clone(),
                client: http::client(),
            },
            busy_delay: settings.busy_delay,
        }
    }
}

/// What the directory was brought to last.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    #[serde(default)]
    profile: String,
    #[serde(default)]
    permissions: String,
    #[serde(default)]
    resources: String,
}

/// The user directory: `PUT /users/{id}/{field}` with `{"value": ..}` answers `{"id": ..}`, 503
/// while it is busy, or 4xx when it refuses the value.
#[derive(Clone)]
struct Directory {
    url: String,
    client: reqwest::Client,
}

/// What came of one try to change a field.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Change {
    Done { id: String },
    Busy,
    Refused { status: u16 },
}

#[derive(Deserialize)]
struct Changed {
    id: String,
}

impl Directory {
    async fn put(&self, user: &str, field: &str, value: &str) -> HandlerResult<Json<Change>> {
        let url = http::address(&self.url, ["users", user, field])?;
        let request = self
            .client
            .put(url)
            .json(&serde_json::json!({ "value": value }));
        let answer = request.timeout(Duration::from_secs(10)).send().await?;
        let status = answer.status();
        Ok(Json(match status.as_u16() {
            429 | 503 => Change::Busy,
            400..=499 => Change::Refused {
                status: status.as_u16(),
            },
            _ => Change::Done {
                id: answer.error_for_status()?.json::<Changed>().await?.id,
            },
        }))
    }
}

impl UserUpdates {
    /// Changes one field, waiting durably while the directory is busy.
    async fn change(
        &self,
        ctx: &ObjectContext<'_>,
        field: &'static str,
        value: &str,
    ) -> HandlerResult<Result<String, Failure>> {
        let mut delay = self.busy_delay;
        loop {
            let (directory, user, value) = (
                self.directory.clone(),
                ctx.key().to_owned(),
                value.to_owned(),
            );
            let tried = ctx
                .run(async move || directory.put(&user, field, &value).await)
                .name(field)
                .retry_policy(
                    RunRetryPolicy::new()
                        .initial_delay(Duration::from_millis(100))
                        .exponentiation_factor(2.0)
                        .max_delay(Duration::from_secs(5))
                        .max_attempts(MAX_TRIES),
                )
                .await;
            match tried {
                Ok(Json(Change::Done { id })) => return Ok(Ok(id)),
                Ok(Json(Change::Busy)) => {
                    if let Err(error) = ctx.sleep(delay).await {
                        return Ok(Err(gave_up(field, &error)));
                    }
                    delay = next_delay(self.busy_delay, delay);
                }
                Ok(Json(Change::Refused { status })) => {
                    return Ok(Err(Failure::new(
                        DIRECTORY_REFUSED,
                        format!(
                            "the user directory answered {status} for {field}; check its value"
                        ),
                    )));
                }
                Err(error) => return Ok(Err(gave_up(field, &error))),
            }
        }
    }

    /// Profile, permissions, resources; the id that the directory gave the profile.
    async fn change_all(
        &self,
        ctx: &ObjectContext<'_>,
        update: &UserUpdate,
    ) -> HandlerResult<Result<String, Failure>> {
        let profile = match self.change(ctx, "profile", &update.profile).await? {
            Ok(id) => id,
            refused => return Ok(refused),
        };
        for (field, value) in [
            ("permissions", &update.permissions),
            ("resources", &update.resources),
        ] {
            if let Err(failure) = self.change(ctx, field, value).await? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(profile))
    }
}

/// A system that stays busy is asked less often: the journal must not grow for ever.
fn next_delay(first: Duration, delay: Duration) -> Duration {
    (delay * 2).min(first * MAX_DELAYS)
}

/// Why a change ended without the directory's word: somebody cancelled it, or the tries are used up.
fn gave_up(field: &str, error: &TerminalError) -> Failure {
    match error.code() {
        409 => Failure::new(
            failure::CANCELLED,
            format!("{field} was cancelled; send the event again"),
        ),
        _ => Failure::passing(
            DIRECTORY_UNAVAILABLE,
            format!(
                "{field} was tried {MAX_TRIES} times ({}); send the event again",
                error.message()
            ),
        ),
    }
}

#[restate_sdk::object]
impl UserUpdates {
    /// Handles `user-updates`.
    #[handler(name = "updateUserEvent")]
    async fn update_user_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive::<millstream_topics::UserUpdates, User>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        if let Err(failure) = http::check_segment(ctx.key()) {
            return turn.fail(failure).await;
        }
        let UserUpdate {
            profile,
            permissions,
            resources,
        } = turn.event.clone();
        match self.change_all(&ctx, &turn.event).await? {
            Ok(id) => {
                *turn.state() = User {
                    profile,
                    permissions,
                    resources,
                };
                turn.answer(UserUpdated { profile: id }).await
            }
            Err(failure) => turn.fail(failure).await,
        }
    }
}
