//! `millstream dev` when it is killed, and where it cannot start.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_pipeline::config::Endpoints;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{LIMIT, own_stack_permit, until};

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
    let mut dev = dev(folder).stderr(Stdio::piped()).spawn().unwrap();
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

/// What it says on standard error, as it comes.
fn heard(dev: &mut Child) -> Arc<Mutex<String>> {
    let (said, mut from) = (
        Arc::new(Mutex::new(String::new())),
        dev.stderr.take().unwrap(),
    );
    let heard = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]);
            heard.lock().unwrap().push_str(&text);
        }
    });
    said
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
async fn a_part_that_dies_is_brought_back_and_kill_9_leaves_nothing() {
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
    let said = heard(&mut second);
    for (part, by) in [("gateway", Signal::SIGSEGV), ("registry", Signal::SIGKILL)] {
        // Rust's own handler of SIGSEGV ends at the second one, since it expects a fault to come again.
        while !is_gone(endpoints.pids[part]) {
            let _ = signal(endpoints.pids[part], by);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        until(&format!("{part} is brought back"), || async {
            let now = Endpoints::read(folder.path()).unwrap()?;
            (now.pids.get(part)? != &endpoints.pids[part]).then_some(())
        })
        .await;
    }
    let said = || said.lock().unwrap().clone();
    let crash = "gateway ended (signal: 11 (SIGSEGV)";
    until(
        "a crash of the client library is told from another end",
        || async {
            let said = said();
            let crash = said.lines().find(|line| line.starts_with(crash))?;
            let other = said
                .lines()
                .find(|line| line.starts_with("registry ended"))?;
            assert!(crash.contains("Kafka client library"), "{crash}");
            assert!(!other.contains("Kafka client library"), "{other}");
            Some(())
        },
    )
    .await;
    let endpoints = Endpoints::read(folder.path()).unwrap().unwrap();
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
