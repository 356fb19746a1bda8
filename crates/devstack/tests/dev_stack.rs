//! The dev stack with a real Kafka, Restate and Postgres: they come up, survive a crash of each with
//! their data, and leave nothing behind. Fetches them when they are not in the cache.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use millstream_devstack::{DevStack, DevStackError, Options, Part, Progress};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka::client;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

const COUNT: &str = "SELECT count(*) FROM kept";

fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        parts: [Part::Kafka, Part::Restate, Part::Postgres].into(),
        usual_ports: false,
        progress: Progress::silent(),
        ..Options::new("not started here")
    }
}

async fn create_topic(stack: &DevStack) {
    let admin: AdminClient<DefaultClientContext> =
        client(&stack.endpoints().kafka).create().unwrap();
    let topic = NewTopic::new("kept", 1, TopicReplication::Fixed(1));
    let made = admin
        .create_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(made, [Ok("kept".to_owned())]);
}

async fn produce(stack: &DevStack) {
    let producer: FutureProducer = client(&stack.endpoints().kafka)
        .set("acks", "all")
        .create()
        .unwrap();
    producer
        .send(
            FutureRecord::to("kept").key("k").payload("v"),
            Duration::from_secs(30),
        )
        .await
        .unwrap();
}

/// How many records the topic has.
async fn count(stack: &DevStack) -> i64 {
    let config = client(&stack.endpoints().kafka);
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer
            .fetch_watermarks("kept", 0, Duration::from_secs(30))
            .unwrap()
            .1
    })
    .await
    .unwrap()
}

async fn query(stack: &DevStack, sql: &str) -> Vec<Option<String>> {
    let url = stack.endpoints().postgres.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    // Ends with the client, or with the server.
    tokio::spawn(connection);
    let rows = client.simple_query(sql).await.unwrap();
    let first = |row| match row {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    };
    rows.into_iter().filter_map(first).collect()
}

async fn setting(stack: &DevStack, name: &str) -> String {
    let rows = query(stack, &format!("SHOW {name}")).await;
    rows[0].clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_crashes_with_its_data_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let stack = DevStack::start(options(folder.path())).await.unwrap();
    let first = stack.endpoints();
    assert_eq!(Endpoints::read(folder.path()).unwrap(), Some(first.clone()));
    create_topic(&stack).await;
    produce(&stack).await;

    assert_eq!(setting(&stack, "max_prepared_transactions").await, "1000");
    assert_eq!(setting(&stack, "fsync").await, "on");
    query(
        &stack,
        "CREATE TABLE kept (); INSERT INTO kept DEFAULT VALUES",
    )
    .await;
    let url = stack.endpoints().postgres.unwrap();
    let (busy, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);

    let second = DevStack::start(options(folder.path())).await;
    assert!(
        matches!(second, Err(DevStackError::Locked { .. })),
        "one stack in a folder"
    );

    // A crash that is meant is not reported; one that is not is.
    stack.kill_part(Part::Kafka).await.unwrap();
    stack.start_part(Part::Kafka).await.unwrap();
    assert_eq!(count(&stack).await, 1);
    // Also with a session that is busy when it happens.
    let sleeping = tokio::spawn(async move { busy.simple_query("SELECT pg_sleep(60)").await });
    stack.kill_part(Part::Postgres).await.unwrap();
    stack.start_part(Part::Postgres).await.unwrap();
    assert!(sleeping.await.unwrap().is_err());
    assert_eq!(query(&stack, COUNT).await, [Some("1".to_owned())]);
    let restate = i32::try_from(stack.endpoints().pids["restate"]).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(restate),
        nix::sys::signal::SIGKILL,
    )
    .unwrap();
    let death = stack.wait().await;
    assert_eq!(death.part, Part::Restate);
    assert!(
        death.status.contains("SIGKILL") && death.tail.contains("restate"),
        "{death}"
    );
    stack.start_part(Part::Restate).await.unwrap();
    let now = stack.endpoints();
    assert_ne!(now.pids, first.pids);
    assert_eq!(
        Endpoints {
            pids: first.pids.clone(),
            ..now.clone()
        },
        first,
        "same ports"
    );
    assert_eq!(Endpoints::read(folder.path()).unwrap(), Some(now));

    stack.stop().await;
    assert_eq!(Endpoints::read(folder.path()).unwrap(), None);
    let stack = DevStack::start(options(folder.path())).await.unwrap();
    assert_eq!(
        stack.endpoints().kafka,
        first.kafka,
        "the ports of the last run"
    );
    assert_eq!(count(&stack).await, 1);
    assert_eq!(query(&stack, COUNT).await, [Some("1".to_owned())]);
    // Not stopped: the next start finds it dead or dying.
    drop(stack);

    let fresh = Options {
        fresh: true,
        ..options(folder.path())
    };
    let stack = DevStack::start(fresh).await.unwrap();
    create_topic(&stack).await;
    query(&stack, "CREATE TABLE kept ()").await;
    // A client that stays does not hold it up.
    let url = stack.endpoints().postgres.unwrap();
    let staying = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    let begun = Instant::now();
    stack.stop_part(Part::Postgres).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(9), "{begun:?}");
    stack.stop().await;
    drop(staying);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_cannot_start_is_an_error_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [(
        "RESTATE_DEFAULT_NUM_PARTITIONS".to_owned(),
        "many".to_owned(),
    )]
    .into_iter()
    .collect();
    let broken = Options {
        parts: [Part::Restate].into(),
        variables: [(Part::Restate, variables)].into(),
        ..options(folder.path())
    };
    match DevStack::start(broken).await {
        Err(
            error @ DevStackError::Ended {
                part: "restate", ..
            },
        ) => {
            assert!(
                error.to_string().contains("found string \"many\""),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}
