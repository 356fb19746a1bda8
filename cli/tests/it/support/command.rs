//! The real binary, run to its end.

use std::process::Stdio;

use millstream_pipeline::config::Endpoints;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::LIMIT;

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Each line of standard output as JSON.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

/// Runs `millstream` with these arguments, knowing of no installation.
pub async fn millstream(arguments: &[&str]) -> Ran {
    run(arguments, None, "").await
}

/// Runs `millstream` on an installation.
pub async fn millstream_on(endpoints: &Endpoints, arguments: &[&str], input: &str) -> Ran {
    run(arguments, Some(endpoints), input).await
}

async fn run(arguments: &[&str], endpoints: Option<&Endpoints>, input: &str) -> Ran {
    // A folder of its own: a dev stack that happens to run is not the test's business.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command
        .args(arguments)
        .current_dir(&folder)
        .kill_on_drop(true);
    if let Some(endpoints) = endpoints {
        command
            .env("MILLSTREAM_KAFKA", &endpoints.kafka)
            .env("MILLSTREAM_SCHEMA_REGISTRY", &endpoints.schema_registry)
            .env("MILLSTREAM_RESTATE_ADMIN", &endpoints.restate_admin)
            .env("MILLSTREAM_RESTATE_INGRESS", &endpoints.restate_ingress);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    tokio::spawn(async move {
        // A command that does not read it may have ended.
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("millstream {arguments:?} did not end within {LIMIT:?}"))
        .unwrap();
    Ran {
        status: output.status.code().expect("not ended by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
