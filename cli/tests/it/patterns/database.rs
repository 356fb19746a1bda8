//! Users in Postgres: stored, read, and credits added in four ways.

use millstream_handlers::database::{UNKNOWN_USER, USER_EXISTS};
use millstream_pipeline::client::Client;
use millstream_pipeline::failure::INVALID_REQUEST;
use millstream_schemas::db_credits::{AddCredits, AddMode, CreditsAdded};
use millstream_schemas::db_users::{
    DurableReadUser, InsertUser, ReadUser, UpdateUserName, UserRead, UserStored,
};
use millstream_topics::{DbCredits, DbUsers, DbUsersEvent};

use crate::support::{LIMIT, client, endpoints, failure, postgres, sql, unique};

const MODES: [AddMode; 4] = [
    AddMode::AtLeastOnce,
    AddMode::Conditional,
    AddMode::IdempotencyKey,
    AddMode::TwoPhaseCommit,
];

fn emm(credits: i64) -> InsertUser {
    InsertUser {
        name: "Emm".into(),
        address: "Paris".into(),
        credits,
    }
}

async fn stored(client: &Client, user: &str, command: impl Into<DbUsersEvent>) -> UserStored {
    let seen = client
        .request::<DbUsers>(user, command, LIMIT)
        .await
        .unwrap();
    seen.event().unwrap()
}

async fn read(client: &Client, user: &str, command: impl Into<DbUsersEvent>) -> UserRead {
    let seen = client
        .request::<DbUsers>(user, command, LIMIT)
        .await
        .unwrap();
    seen.event().unwrap()
}

async fn refused(client: &Client, user: &str, command: impl Into<DbUsersEvent>) -> String {
    let seen = client
        .request::<DbUsers>(user, command, LIMIT)
        .await
        .unwrap();
    failure(&seen)
}

fn row(name: &str, credits: i64) -> UserRead {
    UserRead {
        name: name.into(),
        address: "Paris".into(),
        credits,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_stored_renamed_and_read() {
    let (client, user) = (client().await, unique("user"));
    let update = || UpdateUserName {
        new_name: "Donald".into(),
    };
    assert_eq!(refused(&client, &user, ReadUser {}).await, UNKNOWN_USER);
    assert_eq!(
        refused(&client, &user, DurableReadUser {}).await,
        UNKNOWN_USER
    );
    assert_eq!(refused(&client, &user, update()).await, UNKNOWN_USER);
    for _ in 0..2 {
        assert_eq!(stored(&client, &user, emm(1337)).await.credits, 1337);
    }
    assert_eq!(read(&client, &user, ReadUser {}).await, row("Emm", 1337));
    assert_eq!(stored(&client, &user, update()).await.name, "Donald");
    let renamed = row("Donald", 1337);
    assert_eq!(read(&client, &user, DurableReadUser {}).await, renamed);

    assert_eq!(refused(&client, &user, emm(1337)).await, USER_EXISTS);
    let nameless = UpdateUserName::default();
    assert_eq!(refused(&client, &user, nameless).await, INVALID_REQUEST);
    let impossible = UpdateUserName {
        new_name: "\0".into(),
    };
    assert_eq!(refused(&client, &user, impossible).await, INVALID_REQUEST);
    assert_eq!(read(&client, &user, ReadUser {}).await, renamed);

    let other = unique("user");
    for bad in [InsertUser::default(), emm(-1)] {
        assert_eq!(refused(&client, &other, bad).await, INVALID_REQUEST);
    }
    assert_eq!(refused(&client, &other, ReadUser {}).await, UNKNOWN_USER);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_durable_read_is_journaled() {
    let (client, user) = (client().await, unique("user"));
    read_after_insert(&client, &user).await;
    let journals = sql::journals(endpoints(), "UserDatabase", &user).await;
    let runs = journals.iter().map(|(_, entries)| {
        let is_run = |entry: &&String| *entry == "Command: Run";
        entries.iter().filter(is_run).count()
    });
    let mut runs: Vec<_> = runs.collect();
    runs.sort_unstable();
    assert_eq!(runs, [0, 1, 1], "read, durable read and insert");
}

/// An attempt that is cut off after its answer reads again and may answer otherwise, under the same
/// id. With a number, readers would take that for a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_anew_at_each_attempt_has_no_number() {
    let (client, user) = (client().await, unique("user"));
    let mut numbers = Vec::new();
    for command in [
        DbUsersEvent::from(emm(1)),
        ReadUser {}.into(),
        DurableReadUser {}.into(),
    ] {
        let seen = client.request::<DbUsers>(&user, command, LIMIT).await;
        numbers.push(seen.unwrap().meta.unwrap().seq);
    }
    assert_eq!(numbers, [Some(1), None, Some(2)]);
    let nobody = unique("user");
    let unknown = client.request::<DbUsers>(&nobody, ReadUser {}, LIMIT);
    assert_eq!(unknown.await.unwrap().meta.unwrap().seq, None);
}

async fn read_after_insert(client: &Client, user: &str) {
    stored(client, user, emm(1)).await;
    read(client, user, ReadUser {}).await;
    read(client, user, DurableReadUser {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_are_added_in_each_mode() {
    let (client, user) = (client().await, unique("user"));
    let database = postgres::connect(endpoints()).await;
    let add = async |user: &str, amount, mode| {
        let command = AddCredits { amount, mode };
        let seen = client.request::<DbCredits>(user, command, LIMIT).await;
        seen.unwrap()
    };
    stored(&client, &user, emm(100)).await;
    for (mode, expected) in MODES.into_iter().zip([112, 124, 136, 148]) {
        let seen = add(&user, 12, mode).await;
        let added: CreditsAdded = seen.event().unwrap();
        assert_eq!(added.credits, expected, "{mode:?}");
        assert_eq!(postgres::credits(&database, &user).await, Some(expected));
    }
    let unknown = unique("user");
    for mode in MODES {
        for nothing in [0, -1, i64::MIN] {
            assert_eq!(failure(&add(&user, nothing, mode).await), INVALID_REQUEST);
        }
        let too_much = add(&user, i64::MAX, mode).await;
        assert_eq!(failure(&too_much), INVALID_REQUEST, "{mode:?}");
        assert_eq!(failure(&add(&unknown, 1, mode).await), UNKNOWN_USER);
    }
    assert_eq!(postgres::credits(&database, &user).await, Some(148));
    assert_eq!(postgres::credits(&database, &unknown).await, None);
}
