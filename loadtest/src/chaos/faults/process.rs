//! A process of this program that is killed, paused and started again.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_devstack::END_WITH_STDIN;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

const START_LIMIT: Duration = Duration::from_secs(60);

/// A process, killed when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts this program with `arguments`; comes back when it listens at `address`.
    pub async fn start(
        arguments: &[String],
        variables: &[(String, String)],
        address: SocketAddr,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let name = arguments.first().map_or("", String::as_str);
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .env(END_WITH_STDIN, "1")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(open()?)
            .stderr(open()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{name} ended ({status}); see {}", log.display());
            }
            anyhow::ensure!(begun.elapsed() < START_LIMIT, "{name} does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self(child))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if let Some(pid) = self.0.id() {
            killpg(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        Ok(())
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Sends a signal that ends it, and waits for that.
    pub async fn end(mut self, signal: Signal) -> anyhow::Result<()> {
        self.signal(signal)?;
        // Kept until then, or its standard input would close first.
        let _stdin = self.0.stdin.take();
        self.0.wait().await?;
        Ok(())
    }

    /// Memory that it holds, in bytes.
    pub fn memory(&self) -> Option<u64> {
        memory(self.0.id()?)
    }
}

/// Resident memory of a process, in bytes; `None` where the system does not tell.
pub fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
