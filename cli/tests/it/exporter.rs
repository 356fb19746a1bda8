//! `millstream exporter`: what is shown of a whole installation, and of a part that is away.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::gateway::replica::{Replica, free_addresses};
use crate::support::{LIMIT, endpoints, until};

/// An exporter, and where it answers.
pub fn exporter(registry: &str) -> (Child, String) {
    let [listen, _] = free_addresses();
    let endpoints = endpoints();
    let process = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["exporter", "--interval", "1", "--metrics", &listen])
        .args(["--kafka", &endpoints.kafka])
        .args(["--restate-admin", &endpoints.restate_admin])
        .args(["--schema-registry", registry])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (process, format!("http://{listen}/metrics"))
}

/// Waits until it shows all of these lines.
async fn shows(url: &str, lines: &[&str]) {
    until(&format!("{lines:#?}"), async || {
        let text = millstream_pipeline::http::client()
            .get(url)
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        let has = |line: &&str| text.lines().any(|it| it.starts_with(*line));
        lines.iter().all(has).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exporter_shows_the_whole_installation() {
    let (_process, url) = exporter(&endpoints().schema_registry);
    shows(
        &url,
        &[
            r#"millstream_reachable{part="kafka"} 1"#,
            r#"millstream_reachable{part="restate"} 1"#,
            r#"millstream_reachable{part="registry"} 1"#,
            r#"millstream_subscription_lag{handler="ProductReservations/onEvent",topic="product-reservations"}"#,
            r#"millstream_subscription_active{handler="ProductReservations/onEvent",topic="product-reservations"} 1"#,
            r#"millstream_invocations{service="ProductReservations",state="paused"} 0"#,
            r#"millstream_invocations_oldest_waiting_seconds{service="ProductReservations"}"#,
            r#"millstream_schema_lookups_total{how="failed"} "#,
            r#"millstream_dead_letters_unmarked{topic="product-reservations"}"#,
            r#"millstream_deployment_invocations{address="http://127.0.0.1:"#,
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_does_not_answer_hides_no_other() {
    let [nobody, _] = free_addresses();
    let (_process, url) = exporter(&format!("http://{nobody}"));
    shows(
        &url,
        &[
            r#"millstream_reachable{part="registry"} 0"#,
            r#"millstream_reachable{part="kafka"} 1"#,
            r#"millstream_invocations{service="ProductReservations",state="paused"} 0"#,
        ],
    )
    .await;
}

/// Into a pipe the frames come one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn status_is_watched_until_it_is_interrupted() {
    use nix::sys::signal::{Signal, kill};
    use tokio::io::{AsyncBufReadExt, BufReader};

    let endpoints = endpoints();
    let mut process = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["status", "--watch", "--interval", "1"])
        .args(["--kafka", &endpoints.kafka])
        .args(["--restate-admin", &endpoints.restate_admin])
        .args(["--schema-registry", &endpoints.schema_registry])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut rates = Vec::new();
    while rates.len() < 2 {
        let next = tokio::time::timeout(LIMIT, lines.next_line()).await;
        let line = next.unwrap().unwrap().unwrap();
        // The first line of a frame; those of the table have no figure of paused invocations.
        if let Some((_, figures)) = line.split_once("events/s ")
            && figures.contains("paused ")
        {
            assert!(figures.contains("lag "), "{line}");
            rates.push(figures.split(' ').next().unwrap().to_owned());
        }
    }
    assert_eq!(rates[0], "-", "one look says nothing of a rate");
    rates[1].parse::<u64>().unwrap();
    let pid = i32::try_from(process.id().unwrap()).unwrap();
    kill(nix::unistd::Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let ended = tokio::time::timeout(LIMIT, process.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

/// Each program shows its counters before anything is counted: an alert sees only what increases.
#[tokio::test(flavor = "multi_thread")]
async fn counters_are_there_before_they_count() {
    let endpoints = endpoints();
    let gateway = Replica::start(endpoints, &[]).await;
    let registry = format!("{}/metrics", endpoints.schema_registry);
    for (url, lines) in [
        (
            endpoints.metrics.as_str(),
            [
                r#"millstream_compensation_retries_total{topic="shipments"} "#,
                r#"millstream_requests_timed_out_total{topic="upload-emails"} 0"#,
                r#"millstream_events_total{code="handler-crashed",handler="UserFeed/processPost","#,
            ],
        ),
        (
            &format!("{}/metrics", gateway.metrics.url),
            [
                r#"millstream_gateway_requests_total{code="overloaded",route="POST /v1/topics/{topic}/{key}",status="503"} 0"#,
                r#"millstream_reader_events_total{topic="flights-results",verdict="conflict"} 0"#,
                r#"millstream_publish_errors_total{reason="record"} 0"#,
            ],
        ),
        (
            &registry,
            [
                r#"millstream_registry_requests_total{method="DELETE",route="/mode/{subject}",status="500"} 0"#,
                r#"millstream_registry_requests_total{method="GET",route="/subjects","#,
                r#"millstream_kafka_clients_renewed_total{client="registry"} "#,
            ],
        ),
    ] {
        shows(url, &lines).await;
    }
}
