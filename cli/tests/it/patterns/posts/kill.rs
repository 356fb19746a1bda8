//! Posts whose handlers are killed at every step, and moderators who never decide.

use millstream_devstack::Part;
use millstream_handlers::transactional_events::MODERATION_UNDECIDED;
use millstream_pipeline::client::Client;
use millstream_schemas::social_media_posts::Status;
use std::sync::Arc;

use super::{in_order, processed, send};
use crate::support::network::Network;
use crate::support::{LIMIT, OwnStack, client_of, failure, unique, until};

/// So often the moderators are asked in these tests.
const TRIES: usize = 50;

struct Posts {
    stack: OwnStack,
    client: Arc<Client>,
    network: Network,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_survives_a_kill_at_every_step() {
    let variables = [
        ("MILLSTREAM_MODERATION_POLL_MS", "200".to_owned()),
        ("MILLSTREAM_MODERATION_TRIES", TRIES.to_string()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let stack = OwnStack::start([(Part::Handlers, variables.into())].into()).await;
    let endpoints = stack.endpoints();
    let posts = Posts {
        client: client_of(&endpoints).await,
        network: Network::of(&endpoints),
        stack,
    };
    for step in ["create", "moderation", "feed"] {
        posts.killed_at(step, Part::Handlers).await;
    }
    posts.killed_at("moderation", Part::Restate).await;
    posts.never_decided().await;
}

impl Posts {
    async fn called(&self, user: &str, name: &str, count: usize) {
        until(&format!("{name} for {user}"), async || {
            (self.network.count(user, name).await >= count).then_some(())
        })
        .await;
    }

    /// Kills a part when a post has come to this step, with another one behind it.
    async fn killed_at(&self, step: &str, part: Part) {
        let (client, network, user) = (&self.client, &self.network, unique("user"));
        if step != "feed" {
            network.set_verdict(&user, "PENDING").await;
        }
        let (first, _) = send(client, &user, "first").await;
        let (second, _) = send(client, &user, "second").await;
        self.called(&user, step, 1).await;
        self.stack.kill_part(part).await.unwrap();
        let before = network.calls(&user).await;
        self.stack.start_part(part).await.unwrap();
        if step != "feed" {
            self.called(&user, "moderation", before.len() + 1).await;
        }
        network.set_verdict(&user, "APPROVED").await;
        let posts = [
            processed(client, &first).await,
            processed(client, &second).await,
        ];
        assert!(posts.iter().all(|it| it.status == Status::Published));
        assert_eq!(before[0].1, posts[0].post_id, "the post is the same");
        // A step may be done again with the same post, but none without the one before it.
        assert_eq!(network.changes(&user).await, in_order(&posts), "{step}");
    }

    async fn never_decided(&self) {
        let (client, network, user) = (&self.client, &self.network, unique("user"));
        network.set_verdict(&user, "PENDING").await;
        let (meta, _) = send(client, &user, "first").await;
        let refused = client.result_of(&meta, LIMIT).await.unwrap();
        assert_eq!(failure(&refused), MODERATION_UNDECIDED);
        assert_eq!(network.count(&user, "moderation").await, TRIES);
        // The user's next post has its turn.
        network.set_verdict(&user, "APPROVED").await;
        let (meta, _) = send(client, &user, "second").await;
        assert_eq!(processed(client, &meta).await.status, Status::Published);
    }
}
