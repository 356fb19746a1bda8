//! The catalogue on Kafka, Restate and Postgres in containers, with the handlers in this process.
//!
//! Without Docker nothing of it runs; it says so. `MILLSTREAM_REQUIRE_DOCKER` makes that a failure.
//! Which images are run, variables say: see `millstream_containers::Images`.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catalogue;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use millstream_containers::Stack;
use millstream_devstack::{END_WITH_STDIN, Ports};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::identity::Proofs;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline};
use millstream_topics::TOPICS;
use serde_json::Value;
use tokio::process::{Child, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_millstream");
/// How long a part may take to listen.
const LIMIT: Duration = Duration::from_secs(60);

/// One test, since all share the containers, and a stack must end in the runtime that it began in.
#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_runs_on_containers() {
    let what = "the catalogue on containers (cli/tests/containers)";
    let Some(stack) = Stack::start_or_skip(what).await.unwrap() else {
        return;
    };
    // The payment provider sends its webhooks through a gateway.
    let (_gateway, gateway) = start(stack.endpoints(), "gateway", |address| {
        vec![
            "--insecure-dev".into(),
            "--listen".into(),
            address,
            "--metrics".into(),
            "127.0.0.1:0".into(),
        ]
    })
    .await;
    let (_stand_ins, url) = start(stack.endpoints(), "stand-ins", |address| {
        vec!["--listen".into(), address, "--gateway".into(), gateway]
    })
    .await;
    let endpoints = Endpoints {
        stand_ins: Some(url.clone()),
        ..stack.endpoints().clone()
    };
    let proofs = Proofs {
        anonymous: true,
        ..Proofs::default()
    };
    let pipeline = Pipeline::with_proofs(&endpoints, TOPICS, DEFAULT_PREFIX, proofs).unwrap();
    let handlers = catalogue::handlers(&pipeline, &endpoints, &url);
    stack.serve(&pipeline, handlers).await.unwrap();
    let differences = stack.differences(TOPICS, DEFAULT_PREFIX).await.unwrap();
    assert!(differences.is_empty(), "{differences:?}");

    // Each scenario sends events to the topics and checks the results that come back.
    let folder = tempfile::tempdir().unwrap();
    let described = serde_json::to_vec(&endpoints).unwrap();
    std::fs::write(folder.path().join("dev.json"), described).unwrap();
    let played = Command::new(PROGRAM)
        .args(["demo", "--json", "--folder"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(played.stdout).unwrap();
    let outcomes: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed: Vec<&Value> = outcomes
        .iter()
        .filter(|outcome| outcome["ok"] != true)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for name in [
        "durable-rpc",
        "enrichment",
        "user-updates",
        "database",
        "saga",
    ] {
        assert!(
            outcomes.iter().any(|outcome| outcome["scenario"] == name),
            "{name} was not played: {text}"
        );
    }
    assert!(played.status.success());
}

/// A part of the program, and its URL. It ends with this process.
async fn start(
    endpoints: &Endpoints,
    part: &str,
    arguments: impl FnOnce(String) -> Vec<String>,
) -> (Child, String) {
    let port = Ports::choose(&[]).unwrap().handlers;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let child = Command::new(PROGRAM)
        .arg(part)
        .args(arguments(address.to_string()))
        .args(["--kafka", &endpoints.kafka])
        .args(["--schema-registry", &endpoints.schema_registry])
        .env(END_WITH_STDIN, "1")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let started = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(started.elapsed() < LIMIT, "{part} does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (child, format!("http://{address}"))
}
