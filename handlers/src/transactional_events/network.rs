//! The social network's interface.

use std::time::Duration;

use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::http;
use millstream_schemas::social_media_posts::SocialMediaPost;
use reqwest::{Method, StatusCode};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The social network refused the post or the feed.
pub const POST_REFUSED: &str = "post-refused";
/// The social network did not answer for as long as we are willing to try.
pub const SOCIAL_NETWORK_UNAVAILABLE: &str = "social-network-unavailable";

/// How long the network may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// First and longest pause between tries; each is twice the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Tries of one call before it is given up, about ten minutes.
const MAX_TRIES: u32 = 128;

/// The social network. What comes twice changes nothing there.
///
/// - `PUT /posts/{id}` with `{"user": .., "content": .., "metadata": ..}` creates a post.
/// - `GET /posts/{id}/moderation` answers `{"status": "PENDING"}`, `APPROVED` or `REJECTED`.
/// - `PUT /feeds/{user}/{id}` puts a post into the feed of a user.
///
/// 4xx is a refusal; anything else that is no success is tried again.
#[derive(Clone)]
pub struct Network {
    url: String,
    client: reqwest::Client,
}

/// What the moderators say of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Nothing yet.
    Pending,
    /// It may be published.
    Approved,
    /// It may not.
    Rejected,
}

/// What came of one call.
#[derive(Debug, Serialize, Deserialize)]
enum Called {
    /// What the moderators say, if they were asked.
    Done(Option<Verdict>),
    /// With this status.
    Refused(u16),
}

#[derive(Deserialize)]
struct Moderation {
    status: Verdict,
}

impl Network {
    /// The network at this URL.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: http::client(),
        }
    }

    /// Creates a post.
    pub async fn create(
        &self,
        ctx: &ObjectContext<'_>,
        post_id: &str,
        post: &SocialMediaPost,
    ) -> Result<(), Failure> {
        let SocialMediaPost { content, metadata } = post;
        let body = json!({ "user": ctx.key(), "content": content, "metadata": metadata });
        let call = (Method::PUT, vec!["posts".to_owned(), post_id.to_owned()]);
        self.journaled(ctx, "create-post", call, body).await?;
        Ok(())
    }

    /// What the moderators say.
    pub async fn moderation(
        &self,
        ctx: &ObjectContext<'_>,
        post_id: &str,
    ) -> Result<Verdict, Failure> {
        let path = ["posts", post_id, "moderation"].map(str::to_owned);
        let call = (Method::GET, path.to_vec());
        let verdict = self.journaled(ctx, "moderation", call, json!(null)).await?;
        Ok(verdict.unwrap_or(Verdict::Pending))
    }

    /// Puts a post into the feed of the user.
    pub async fn add_to_feed(&self, ctx: &ObjectContext<'_>, post_id: &str) -> Result<(), Failure> {
        let path = ["feeds", ctx.key(), post_id].map(str::to_owned);
        let call = (Method::PUT, path.to_vec());
        self.journaled(ctx, "update-feed", call, json!({})).await?;
        Ok(())
    }

    /// Calls until there is an answer, which is journaled.
    async fn journaled(
        &self,
        ctx: &ObjectContext<'_>,
        name: &'static str,
        (method, path): (Method, Vec<String>),
        body: serde_json::Value,
    ) -> Result<Option<Verdict>, Failure> {
        let network = self.clone();
        let called = ctx
            .run(async move || network.call(method, &path, &body).await)
            .name(name)
            .retry_policy(
                RunRetryPolicy::new()
                    .initial_delay(PAUSES.0)
                    .exponentiation_factor(2.0)
                    .max_delay(PAUSES.1)
                    .max_attempts(MAX_TRIES),
            )
            .await;
        match called {
            Ok(Json(Called::Done(verdict))) => Ok(verdict),
            Ok(Json(Called::Refused(status))) => Err(Failure::new(
                POST_REFUSED,
                format!("the social network answered {status} to {name}; check the post"),
            )),
            Err(error) => Err(gave_up(name, &error)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &[String],
        body: &serde_json::Value,
    ) -> HandlerResult<Json<Called>> {
        let url = http::address(&self.url, path.iter().map(String::as_str))?;
        let asks = method == Method::GET;
        let mut request = self.client.request(method, url).timeout(ANSWER_LIMIT);
        if !asks {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            return Ok(Json(Called::Refused(status.as_u16())));
        }
        let answer = answer.error_for_status()?;
        let verdict = match asks {
            true => Some(answer.json::<Moderation>().await?.status),
            false => None,
        };
        Ok(Json(Called::Done(verdict)))
    }
}

/// Why a call ended without the network's word: somebody cancelled it, or the tries are used up.
fn gave_up(name: &str, error: &TerminalError) -> Failure {
    match error.code() {
        409 => Failure::new(
            failure::CANCELLED,
            format!("{name} was cancelled; send the event again"),
        ),
        _ => Failure::passing(
            SOCIAL_NETWORK_UNAVAILABLE,
            format!(
                "{name} was tried {MAX_TRIES} times ({}); send the event again",
                error.message()
            ),
        ),
    }
}
