//! Transactional events: a post is created in a social network, waits for its moderators, and is put
//! into the feed of its user. Posts of one user are strictly in order; a user who waits holds up
//! nobody else.
//!
//! Each step is journaled, the wait is a durable timer, and the post's id is made of the event. So a
//! repeated attempt goes on where it stopped, with the same post.

mod network;

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::http;
use millstream_pipeline::record::digest::{digest, hex};
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepResult, Steps};
use millstream_schemas::social_media_posts::{PostProcessed, SocialMediaPost, Status};
use millstream_topics::{SocialMediaPosts, TOPICS};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::settings::milliseconds;

use network::{Network, Verdict};

pub use network::{POST_REFUSED, SOCIAL_NETWORK_UNAVAILABLE};

/// The moderators have not decided for as long as we are willing to ask.
pub const MODERATION_UNDECIDED: &str = "moderation-undecided";

/// Longest text of a post, and longest metadata, in characters.
pub const MAX_CHARACTERS: usize = 10_000;

/// What the service needs to know.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// URL of the social network that posts are published in
    #[arg(
        long,
        default_value = "http://localhost:9480/social-network",
        env = "MILLSTREAM_SOCIAL_NETWORK",
        value_name = "URL"
    )]
    pub social_network: String,
    /// Milliseconds before it is asked again whether a post was moderated
    #[arg(
        long = "moderation-poll-ms",
        default_value = "5000",
        env = "MILLSTREAM_MODERATION_POLL_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub moderation_poll: Duration,
    /// How often it is asked at most; by default for an hour
    #[arg(
        long,
        default_value = "720",
        env = "MILLSTREAM_MODERATION_TRIES",
        value_name = "COUNT"
    )]
    pub moderation_tries: u32,
}

/// The service. Its key is the user id.
pub struct UserFeed {
    service: Service,
    network: Network,
    settings: Settings,
}

impl UserFeed {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(UserFeed in TOPICS)),
            network: Network::new(&settings.social_network),
            settings: settings.clone(),
        }
    }

    /// All steps of one post.
    async fn publish(
        &self,
        ctx: &ObjectContext<'_>,
        steps: &Steps<'_>,
        (post_id, post): (&str, &SocialMediaPost),
    ) -> StepResult<Status> {
        check(post)?;
        self.network.create(ctx, post_id, post).await?;
        let verdict = self.moderated(ctx, steps, post_id).await?;
        if verdict == Verdict::Rejected {
            return Ok(Status::Rejected);
        }
        self.network.add_to_feed(ctx, post_id).await?;
        Ok(Status::Published)
    }

    /// Asks the moderators until they have decided.
    async fn moderated(
        &self,
        ctx: &ObjectContext<'_>,
        steps: &Steps<'_>,
        post_id: &str,
    ) -> StepResult<Verdict> {
        let tries = self.settings.moderation_tries;
        for _ in 0..tries {
            match self.network.moderation(ctx, post_id).await? {
                Verdict::Pending => steps.sleep(self.settings.moderation_poll).await?,
                verdict => return Ok(verdict),
            }
        }
        Err(undecided(post_id, tries).into())
    }
}

/// What the object shows of a feed. The feed itself is the network's.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_post: Option<String>,
}

/// What the network needs not be asked about.
fn check(post: &SocialMediaPost) -> Result<(), Failure> {
    if post.content.trim().is_empty() {
        return Err(Failure::invalid_request(
            "content is empty; write something",
        ));
    }
    for (field, text) in [("content", &post.content), ("metadata", &post.metadata)] {
        if text.chars().count() > MAX_CHARACTERS {
            return Err(Failure::invalid_request(format!(
                "{field} has more than {MAX_CHARACTERS} characters; shorten it"
            )));
        }
    }
    Ok(())
}

/// The same for every attempt at an event, another one for every other event.
fn post_id(user: &str, event_id: &str) -> String {
    hex::<16>(&digest(&[user.as_bytes(), event_id.as_bytes()]))
}

fn undecided(post_id: &str, tries: u32) -> Failure {
    let message = format!(
        "the moderators have not decided on the post {post_id}, asked {tries} times; look at it there \
         before you send the event again"
    );
    Failure::passing(MODERATION_UNDECIDED, message)
}

#[restate_sdk::object]
impl UserFeed {
    /// Handles `social-media-posts`.
    #[handler(name = "processPost")]
    async fn process_post(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<SocialMediaPosts, Feed>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        if let Err(failure) = http::check_segment(ctx.key()) {
            return turn.fail(failure).await;
        }
        let post_id = post_id(ctx.key(), &turn.meta().id);
        let steps = turn.steps();
        let published = self.publish(&ctx, &steps, (&post_id, &turn.event));
        let status = published.await;
        if let Ok(Status::Published) = status {
            turn.state().last_post = Some(post_id.clone());
        }
        turn.finish(status.map(|status| PostProcessed { post_id, status }))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(content: &str, metadata: &str) -> SocialMediaPost {
        SocialMediaPost {
            content: content.into(),
            metadata: metadata.into(),
        }
    }

    #[test]
    fn a_post_has_content_of_bounded_length() {
        let full = "ä".repeat(MAX_CHARACTERS);
        let long = format!("{full}x");
        for good in [post("Hi!", ""), post(&full, &full)] {
            assert_eq!(check(&good), Ok(()));
        }
        let bad = [("", "public"), (" \n", ""), (&long, ""), ("Hi!", &long)];
        for (content, metadata) in bad {
            let refused = check(&post(content, metadata)).unwrap_err();
            assert_eq!(refused.code, "invalid-request");
        }
    }

    #[test]
    fn each_event_has_its_own_post() {
        let id = post_id("userid1", "event1");
        assert_eq!(id, post_id("userid1", "event1"));
        for (user, event) in [
            ("userid2", "event1"),
            ("userid1", "event2"),
            ("userid", "1event1"),
        ] {
            assert_ne!(id, post_id(user, event));
        }
    }
}
