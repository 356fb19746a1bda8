//! `loadtest run` against a real Kafka and Restate: what is sent is answered, the report says so,
//! and a limit that does not hold ends it with status 1.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use millstream_control::{DEFAULT_PREFIX, Settings, apply, plan};
use millstream_devstack::{DevStack, Options, Part, Ports, Progress};
use millstream_handlers::durable_rpc::product_reservations;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Topic};
use millstream_pipeline::serve;
use millstream_pipeline::service::Pipeline;
use millstream_topics::{ProductReservations, TOPICS};
use serde_json::Value;
use tokio::process::Command;

const DECLARED: &[&Declaration] = &[ProductReservations::DECLARATION];

/// A stack with a topic and its handler.
async fn start(folder: &Path) -> DevStack {
    let stack = DevStack::start(Options {
        folder: folder.join("stack"),
        parts: [Part::Kafka, Part::Restate, Part::Registry].into(),
        fresh: true,
        announce: false,
        usual_ports: false,
        progress: Progress::silent(),
        ..Options::new(env!("CARGO_BIN_EXE_loadtest"))
    })
    .await
    .unwrap();
    let endpoints = stack.endpoints();
    let port = Ports::choose(&[]).unwrap().handlers;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let pipeline = Pipeline::new(&endpoints, TOPICS, DEFAULT_PREFIX).unwrap();
    let builder = pipeline.endpoint().bind(product_reservations(&pipeline));
    let keys = endpoints.identity_key.as_slice();
    let served = serve::Handlers::signed_by(&pipeline, builder, keys).unwrap();
    tokio::spawn(served.serve(address, std::future::pending()));
    let settings = Settings {
        handlers: Some(format!("http://{address}")),
        ..Settings::default()
    };
    let plan = plan(DECLARED, &endpoints, &settings).await.unwrap();
    apply(&plan, &endpoints, |_| {}).await.unwrap();
    stack
}

/// Runs a workload; its exit status and report.
async fn run(endpoints: &Endpoints, folder: &Path, workload: &str) -> (i32, Value) {
    let (file, html) = (folder.join("workload.toml"), folder.join("report.html"));
    std::fs::write(&file, workload).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--json", "--kafka", &endpoints.kafka])
        .args(["--schema-registry", &endpoints.schema_registry])
        .arg("--html")
        .arg(&html)
        .arg(&file)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no report: {text}"));
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("http"));
    (ran.status.code().unwrap(), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_answered_and_a_broken_limit_fails_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let stack = start(folder.path()).await;
    let endpoints = stack.endpoints();
    let workload = "
        warm-up = 1
        arrivals = 'exponential'
        keys = { count = 20, distribution = 'zipf' }
        mix = [{ topic = 'product-reservations', idempotency-keys = true }]
        steps = [{ rate = 50, seconds = 4 }]
        thresholds = { failed = 0 }
    ";
    let (status, report) = run(&endpoints, folder.path(), workload).await;
    let total = &report["total"];
    assert_eq!(status, 0, "{report:#}");
    let sent = total["sent"].as_u64().unwrap();
    assert!(sent > 100, "{total}");
    assert_eq!(total["answered"], sent, "{total}");
    for nothing in ["missing", "duplicates", "failed", "unacknowledged"] {
        assert_eq!(total[nothing], 0, "{total}");
    }
    assert!(total["latency"]["p99_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(report["steps"][0]["warm_up"], true);
    assert!(report["series"].as_array().unwrap().len() >= 5);

    // The same, with a limit that nothing can hold.
    let hard = workload.replace("failed = 0", "p50-ms = 0.001");
    let (status, report) = run(&endpoints, folder.path(), &hard).await;
    assert_eq!((status, &report["ok"]), (1, &Value::from(false)));

    // Nobody reads these: they are missing, and the run fails without any limit.
    let url = &endpoints.restate_admin;
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    let subscriptions: Value = http
        .get(format!("{url}/subscriptions"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    for subscription in subscriptions["subscriptions"].as_array().unwrap() {
        let id = subscription["id"].as_str().unwrap();
        let gone = http.delete(format!("{url}/subscriptions/{id}"));
        gone.send().await.unwrap().error_for_status().unwrap();
    }
    let silent = format!(
        "deadline = 1\n{}",
        workload.replace("seconds = 4", "seconds = 1")
    );
    let (status, report) = run(&endpoints, folder.path(), &silent).await;
    let total = &report["total"];
    assert_eq!(
        (status, total["answered"].as_u64()),
        (1, Some(0)),
        "{total}"
    );
    assert_eq!(total["missing"], total["sent"], "{total}");
    stack.stop().await;
}
