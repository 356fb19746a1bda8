//! A crate outside the workspace brings its own schemas, topics and handlers: `examples/greetings`.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::command::millstream_on;
use crate::support::{LIMIT, endpoints, stack_folder, unique};

const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/greetings");

/// Cargo on the crate. It shares the dependencies that the workspace has built already, so their
/// versions and settings have to be the same.
fn cargo(verb: &str) -> Command {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, Path::new(CRATE).join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command
        .args([verb, "--offline", "--quiet"])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .current_dir(CRATE)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_of_its_own_is_built_and_run() {
    let endpoints = endpoints();
    for verb in ["build", "test"] {
        let done = cargo(verb).stdout(Stdio::null()).status().await.unwrap();
        assert!(
            done.success(),
            "cargo {verb}; the compiler's message is above"
        );
    }

    // Free at this moment; the test fails if somebody else takes it before the crate does.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut greeter = cargo("run")
        .arg("--")
        .arg(stack_folder())
        .arg(format!("127.0.0.1:{port}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(greeter.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line == "ready" {
                return;
            }
        }
        panic!("the crate ended; its message is above");
    };
    tokio::time::timeout(LIMIT, ready)
        .await
        .expect("the crate becomes ready");

    let person = unique("ada");
    let event = |greeting: &str| json!({ "key": person, "data": { "greeting": greeting } });
    let input = format!(
        "{}\n{}\n{}\n",
        event("Hello"),
        event(""),
        event("Good morning")
    );
    let produced = millstream_on(endpoints, &["produce", "greetings"], &input).await;
    assert_eq!(produced.status, 0, "{produced:?}");
    let arguments = [
        "tail",
        "greetings-results",
        "--from-beginning",
        "--count",
        "3",
        "--key",
        &person,
    ];
    let results = millstream_on(endpoints, &arguments, "").await.json_lines();
    let data: Vec<_> = results.iter().map(|seen| seen["data"].clone()).collect();
    assert_eq!(data[0], json!({ "text": "Hello!", "count": 1 }));
    assert_eq!(data[1]["code"], "invalid-request");
    assert_eq!(data[2], json!({ "text": "Good morning!", "count": 2 }));
    for (seen, seq) in results.iter().zip(1..) {
        assert_eq!(seen["meta"]["seq"], seq);
        assert_eq!(seen["meta"]["source"], format!("Greeter/{person}"));
    }

    // `cargo run` has become the program, so the signal reaches it.
    let pid = Pid::from_raw(i32::try_from(greeter.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let ended = tokio::time::timeout(LIMIT, greeter.wait())
        .await
        .expect("it stops");
    assert!(ended.unwrap().success());
}
