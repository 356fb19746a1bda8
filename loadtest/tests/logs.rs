//! A log that cannot be written does not end a guard. No topic of the catalogue is guarded, so its other
//! programs are tried with the catalogue's command, and the guard here.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use millstream_devstack::Ports;
use millstream_pipeline::observe::metrics::LOG_LINES_LOST_TOTAL;
use tokio::process::Command;

/// How long anything may take. Machines under load are slow.
const LIMIT: Duration = Duration::from_secs(60);
/// More than the lines of a start.
const LINES: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_does_not_end_a_guard() {
    let port = Ports::choose(&[]).unwrap().guard_metrics;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut guard = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["guard", "--instance", "full"])
        // No broker answers, so that the client has much to log, in its own threads too.
        .args(["--kafka", "127.0.0.1:1"])
        .args(["--schema-registry", "http://127.0.0.1:1"])
        .args(["--listen", &address.to_string()])
        .env("RUST_LOG", "debug")
        .stdin(Stdio::null())
        .stdout(full())
        .stderr(full())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (begun, url) = (Instant::now(), format!("http://{address}/metrics"));
    let http = millstream_pipeline::http::builder().no_proxy().build();
    let http = http.unwrap();
    let mut lost = 0;
    while lost <= LINES {
        assert!(begun.elapsed() < LIMIT, "it has lost {lost} lines");
        assert_eq!(guard.try_wait().unwrap(), None, "it has ended");
        if let Ok(answer) = http.get(&url).send().await {
            let text = answer.text().await.unwrap();
            let mut lines = text.lines();
            let line = lines.find(|it| it.starts_with(LOG_LINES_LOST_TOTAL));
            let number = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
            lost = number.unwrap_or(0);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(guard.try_wait().unwrap(), None, "it has ended");
    guard.kill().await.unwrap();
}
