//! Posts: created, moderated and put into the feed, strictly in order for each user.

mod kill;

use std::collections::BTreeSet;
use std::time::Instant;

use futures::future::try_join_all;
use millstream_handlers::transactional_events::{MAX_CHARACTERS, POST_REFUSED};
use millstream_pipeline::client::Client;
use millstream_pipeline::events::EventMeta;
use millstream_schemas::social_media_posts::{PostProcessed, SocialMediaPost, Status};
use millstream_topics::SocialMediaPosts;

use crate::support::network::Network;
use crate::support::{LIMIT, client, endpoints, failure, sql, unique, until};

pub fn post(content: &str) -> SocialMediaPost {
    SocialMediaPost {
        content: content.to_owned(),
        metadata: "public".to_owned(),
    }
}

/// What is done for posts that are published one after the other.
pub fn in_order(posts: &[PostProcessed]) -> Vec<(String, String)> {
    let changes = |id: &str| ["create", "feed"].map(|name| (name.to_owned(), id.to_owned()));
    posts
        .iter()
        .flat_map(|post| changes(&post.post_id))
        .collect()
}

pub async fn send(client: &Client, user: &str, content: &str) -> (EventMeta, i32) {
    let meta = client.meta();
    let sent = client.send::<SocialMediaPosts>(user, post(content), Some(&meta));
    let (partition, _) = sent.await.unwrap();
    (meta, partition)
}

pub async fn processed(client: &Client, meta: &EventMeta) -> PostProcessed {
    let seen = client.result_of(meta, LIMIT).await.unwrap();
    seen.event().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_a_user_are_published_in_order() {
    let (client, network, user) = (client().await, Network::of(endpoints()), unique("user"));
    network.set_verdict(&user, "PENDING").await;
    let mut metas = Vec::new();
    for n in 0..5 {
        metas.push(send(&client, &user, &format!("post {n}")).await.0);
    }
    until("the moderators to be asked twice", async || {
        (network.count(&user, "moderation").await >= 2).then_some(())
    })
    .await;
    assert_eq!(
        network.changes(&user).await.len(),
        1,
        "the first post waits"
    );
    network.set_verdict(&user, "APPROVED").await;
    let mut posts = Vec::new();
    for meta in &metas {
        posts.push(processed(&client, meta).await);
    }
    assert!(posts.iter().all(|it| it.status == Status::Published));
    let ids: BTreeSet<_> = posts.iter().map(|it| &it.post_id).collect();
    assert_eq!(ids.len(), posts.len(), "each event has its post");
    assert_eq!(network.changes(&user).await, in_order(&posts));
    let last = &posts[4].post_id;
    until("the state", async || {
        let (_, state) = sql::state(endpoints(), "UserFeed", &user).await.pop()?;
        (state["last_post"] == last.as_str()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_post_is_reported_and_not_published() {
    let (client, network, user) = (client().await, Network::of(endpoints()), unique("user"));
    network.set_verdict(&user, "REJECTED").await;
    let (meta, _) = send(&client, &user, "rude").await;
    let rejected = processed(&client, &meta).await;
    assert_eq!(rejected.status, Status::Rejected);
    network.set_verdict(&user, "APPROVED").await;
    let (meta, _) = send(&client, &user, "polite").await;
    let published = processed(&client, &meta).await;
    let mut expected = in_order(&[rejected, published]);
    expected.remove(1);
    assert_eq!(network.changes(&user).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_makes_no_sense_reaches_nobody() {
    let (client, network, user) = (client().await, Network::of(endpoints()), unique("user"));
    let long = "x".repeat(MAX_CHARACTERS + 1);
    for content in ["", "  ", &long] {
        let refused = client.request::<SocialMediaPosts>(&user, post(content), LIMIT);
        assert_eq!(failure(&refused.await.unwrap()), "invalid-request");
    }
    assert_eq!(network.calls(&user).await, []);
    let refused = client.request::<SocialMediaPosts>(&user, post("refused"), LIMIT);
    assert_eq!(failure(&refused.await.unwrap()), POST_REFUSED);
    // The user's next post is published.
    let (meta, _) = send(&client, &user, "Hi!").await;
    let published = processed(&client, &meta).await;
    assert_eq!(network.changes(&user).await, in_order(&[published]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_post_is_not_published_again() {
    let (client, network, user) = (client().await, Network::of(endpoints()), unique("user"));
    let copied = client.meta();
    for _ in 0..2 {
        let sent = client.send::<SocialMediaPosts>(&user, post("Hi!"), Some(&copied));
        sent.await.unwrap();
    }
    let (marker, _) = send(&client, &user, "Bye!").await;
    let posts = [
        processed(&client, &copied).await,
        processed(&client, &marker).await,
    ];
    assert_eq!(network.changes(&user).await, in_order(&posts));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_waits_holds_up_nobody() {
    const OTHERS: usize = 1000;
    let (client, network, stuck) = (client().await, Network::of(endpoints()), unique("stuck"));
    network.set_verdict(&stuck, "PENDING").await;
    let (waiting, partition) = send(&client, &stuck, "first").await;
    let (second, _) = send(&client, &stuck, "second").await;
    until("the moderators to be asked", async || {
        (network.count(&stuck, "moderation").await > 0).then_some(())
    })
    .await;

    let begun = Instant::now();
    let users: Vec<_> = (0..OTHERS).map(|_| unique("user")).collect();
    let metas: Vec<_> = users.iter().map(|_| client.meta()).collect();
    let sent = try_join_all(users.iter().zip(&metas).map(|(user, meta)| {
        let post = post("Hi! This is my first post!");
        client.send::<SocialMediaPosts>(user, post, Some(meta))
    }));
    let sent = sent.await.unwrap();
    let behind = sent.iter().filter(|(it, _)| *it == partition).count();
    assert!(
        behind > 0,
        "some stand in the partition of the one who waits"
    );
    for meta in &metas {
        let post = processed(&client, meta).await;
        assert_eq!(post.status, Status::Published);
    }
    let took = begun.elapsed();
    println!("{OTHERS} users in {took:?}, {behind} of them in the partition of the one who waits");

    let of_stuck = client.seen(|seen| seen.key.as_ref() == Some(&stuck));
    assert!(of_stuck.is_empty(), "{of_stuck:?}");
    network.set_verdict(&stuck, "APPROVED").await;
    let posts = [
        processed(&client, &waiting).await,
        processed(&client, &second).await,
    ];
    assert_eq!(network.changes(&stuck).await, in_order(&posts));
}
