//! `millstream dev` when it is killed, and where it cannot start.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_pipeline::config::Endpoints;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{LIMIT, own_stack_permit};

fn dev(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command
        .args(["dev", "--other-ports", "--folder"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

async fn start(folder: &Path) -> (Child, Endpoints) {
    let mut dev = dev(folder).spawn().unwrap();
    let begun = Instant::now();
    loop {
        if let Some(endpoints) = Endpoints::read(folder).unwrap() {
            return (dev, endpoints);
        }
        assert_eq!(dev.try_wait().unwrap(), None, "its message is above");
        assert!(begun.elapsed() < 5 * LIMIT, "no dev.json: {begun:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn signal(pid: u32, signal: Signal) -> nix::Result<()> {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal)
}

/// A process that has ended and that nobody has waited for counts as gone.
fn is_gone(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_leaves_nothing_that_prevents_the_next_start() {
    let _permit = own_stack_permit().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut killed, first) = start(folder.path()).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    // What it left is not to be taken for the next one's.
    std::fs::remove_file(folder.path().join("dev.json")).unwrap();
    let (mut second, endpoints) = start(folder.path()).await;
    assert_ne!(first.pids["kafka"], endpoints.pids["kafka"]);
    for pid in first.pids.values() {
        assert!(is_gone(*pid), "{pid} of the first stack runs");
    }
    signal(second.id(), Signal::SIGTERM).unwrap();
    let status = tokio::task::spawn_blocking(move || second.wait().unwrap());
    assert!(status.await.unwrap().success());
    for (name, pid) in &endpoints.pids {
        assert!(is_gone(*pid), "{name} runs on");
    }
    assert!(!folder.path().join("dev.json").exists());
}

#[test]
fn missing_programs_are_named_in_one_message() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = dev(folder.path())
        .env("PATH", "")
        .env_remove("JAVA_HOME")
        .env("MILLSTREAM_CACHE", cache.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for program in ["Java", "Maven", "npm"] {
        assert!(said.contains(program), "{program} in: {said}");
    }
    assert_eq!(said.matches("error").count(), 1, "one message: {said}");
    assert!(!said.contains("panicked"), "{said}");
}
