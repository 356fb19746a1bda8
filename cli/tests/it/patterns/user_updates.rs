//! User updates: three changes in order, and a busy system that holds up one user only.

use millstream_handlers::user_updates::DIRECTORY_REFUSED;
use millstream_schemas::shipments::CancelShipment;
use millstream_schemas::user_updates::{UserUpdate, UserUpdated};
use millstream_topics::{Shipments, UserUpdates};

use crate::support::directory::Directory;
use crate::support::{LIMIT, client, endpoints, failure, sql, unique, until};

fn update(permissions: &str) -> UserUpdate {
    UserUpdate {
        profile: "dev".into(),
        permissions: permissions.into(),
        resources: "all".into(),
    }
}

const IN_ORDER: [&str; 3] = ["profile", "permissions", "resources"];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_changed_in_order() {
    let (client, directory) = (client().await, Directory::of(endpoints()));
    let user = unique("user");
    for _ in 0..2 {
        let seen = client
            .request::<UserUpdates>(&user, update("all"), LIMIT)
            .await
            .unwrap();
        let answer: UserUpdated = seen.event().unwrap();
        assert_eq!(answer.profile, format!("profile-of-{user}"));
    }
    assert_eq!(
        directory.changes(&user).await,
        [IN_ORDER, IN_ORDER].concat()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_user_waits_alone() {
    let (client, directory) = (client().await, Directory::of(endpoints()));
    let slow = unique("slow");
    directory.set_busy(&slow, true).await;
    let waiting = client.meta();
    let (partition, _) = client
        .send::<UserUpdates>(&slow, update("all"), Some(&waiting))
        .await
        .unwrap();
    until("the durable timer", async || {
        let journals = sql::journals(endpoints(), "UserUpdates", &slow).await;
        let (_, entries) = journals.first()?;
        entries.contains(&"Command: Sleep".to_owned()).then_some(())
    })
    .await;

    // A user of the same partition, after the one who waits.
    let (quick, meta) = loop {
        let (user, meta) = (unique("quick"), client.meta());
        let sent = client.send::<UserUpdates>(&user, update("all"), Some(&meta));
        if sent.await.unwrap().0 == partition {
            break (user, meta);
        }
    };
    let seen = client.result_of(&meta, LIMIT).await.unwrap();
    seen.event::<UserUpdated>().unwrap();
    assert_eq!(directory.changes(&quick).await, IN_ORDER);
    assert_eq!(directory.changes(&slow).await, [""; 0]);
    let of_slow = || client.seen(|seen| seen.key.as_ref() == Some(&slow));
    assert!(of_slow().is_empty());

    directory.set_busy(&slow, false).await;
    let seen = client.result_of(&waiting, LIMIT).await.unwrap();
    seen.event::<UserUpdated>().unwrap();
    assert_eq!(directory.changes(&slow).await, IN_ORDER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_is_answered() {
    let (client, directory) = (client().await, Directory::of(endpoints()));
    let user = unique("user");
    let seen = client
        .request::<UserUpdates>(&user, update("refused"), LIMIT)
        .await
        .unwrap();
    assert_eq!(failure(&seen), DIRECTORY_REFUSED);
    assert_eq!(
        directory.changes(&user).await,
        ["profile"],
        "nothing after it"
    );
    // The user's next event is handled.
    let seen = client
        .request::<UserUpdates>(&user, update("all"), LIMIT)
        .await
        .unwrap();
    seen.event::<UserUpdated>().unwrap();
}

/// `..` is a place of its own in a path: the directory's `PUT /users/profile`.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_part_of_a_path() {
    let client = client().await;
    for user in ["..", "."] {
        let answer = client.request::<UserUpdates>(user, update("all"), LIMIT);
        assert_eq!(failure(&answer.await.unwrap()), "invalid-request");
        let cancel = client.request::<Shipments>(user, CancelShipment {}, LIMIT);
        assert_eq!(failure(&cancel.await.unwrap()), "invalid-request");
    }
    // All else is.
    let user = format!("{}/../a?b#%2e\t", unique("user"));
    let answer = client.request::<UserUpdates>(&user, update("all"), LIMIT);
    let updated: UserUpdated = answer.await.unwrap().event().unwrap();
    assert_eq!(updated.profile, format!("profile-of-{user}"));
}
