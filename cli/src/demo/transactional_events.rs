//! Two posts of one user wait for the moderators, one after the other, while another user's post is
//! published and a third one's is rejected.

use millstream_schemas::social_media_posts::{PostProcessed, SocialMediaPost, Status};
use millstream_topics::SocialMediaPosts;

use super::Run;
use crate::stand_ins::{Call, NetworkControl, Verdict};

fn post(content: &str) -> SocialMediaPost {
    SocialMediaPost {
        content: content.to_owned(),
        metadata: "public".to_owned(),
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let network = NetworkControl::of(&run.endpoints)?;
    let (slow, quick, rude) = (run.key("userid1"), run.key("userid2"), run.key("userid3"));
    network.set_verdict(&slow, Verdict::Pending).await?;
    network.set_verdict(&rude, Verdict::Rejected).await?;
    let (first, second) = (run.meta(), run.meta());
    run.send::<SocialMediaPosts>(&slow, post("Hi! This is my first post!"), &first)
        .await?;
    run.send::<SocialMediaPosts>(&slow, post("Hi! This is my second post!"), &second)
        .await?;
    for (user, expected) in [(&quick, Status::Published), (&rude, Status::Rejected)] {
        let hello = post("Hi! This is my first post!");
        let done: PostProcessed = run.request::<SocialMediaPosts, _>(user, hello).await?;
        run.expect("another user's post", done.status, expected);
    }

    network.set_verdict(&slow, Verdict::Approved).await?;
    let first: PostProcessed = run.result_of(&first).await?.event()?;
    let second: PostProcessed = run.result_of(&second).await?.event()?;
    let mut calls = network.calls(&slow).await?;
    calls.retain(|call| !matches!(call, Call::Moderation(_)));
    let in_order = [first.post_id, second.post_id]
        .into_iter()
        .flat_map(|id| [Call::Create(id.clone()), Call::Feed(id)]);
    run.expect("the order of two posts", calls, in_order.collect());
    Ok(())
}
