//! One replica of the ledger's handlers: a process that is killed, paused and started again.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::dev_stack::{END_WITH_STDIN, Ports};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

const START_LIMIT: Duration = Duration::from_secs(30);

/// How a replica is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long the ledger takes over an entry.
    pub think: Duration,
    /// Offers one service more.
    pub second_version: bool,
    /// Does not await acknowledgements.
    pub careless: bool,
    /// Further variables.
    pub variables: Vec<(String, String)>,
}

/// A replica.
#[derive(Debug)]
pub struct Replica {
    port: u16,
    settings: Settings,
    endpoints: Endpoints,
    log: PathBuf,
    child: Option<Child>,
}

impl Replica {
    /// Starts one on a free port; comes back when it listens.
    pub async fn start(
        endpoints: &Endpoints,
        settings: Settings,
        logs: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let port = Ports::choose(&[])?.handlers;
        let mut replica = Self {
            port,
            settings,
            endpoints: endpoints.clone(),
            log: logs.join(format!("ledger-{port}.log")),
            child: None,
        };
        replica.restart().await?;
        Ok(replica)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again on the same port, with these settings from now on.
    pub async fn restart_with(&mut self, settings: Settings) -> anyhow::Result<()> {
        self.settings = settings;
        self.kill().await?;
        self.restart().await
    }

    /// Starts it again on the same port.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let open = || OpenOptions::new().create(true).append(true).open(&self.log);
        let address = format!("127.0.0.1:{}", self.port);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["serve-ledger", "--kafka", &self.endpoints.kafka])
            .args(["--schema-registry", &self.endpoints.schema_registry])
            .args(["--listen", &address])
            .args(["--think-ms", &self.settings.think.as_millis().to_string()])
            .env(END_WITH_STDIN, "1")
            .envs(
                self.settings
                    .variables
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(open()?)
            .stderr(open()?)
            .process_group(0)
            .kill_on_drop(true);
        if self.settings.second_version {
            command.arg("--second-version");
        }
        if self.settings.careless {
            command.arg("--careless");
        }
        let child = self
            .child
            .insert(command.spawn().context("cannot start a replica")?);
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("a replica ended ({status}); see {}", self.log.display());
            }
            anyhow::ensure!(begun.elapsed() < START_LIMIT, "a replica does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if let Some(pid) = self.pid() {
            killpg(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        Ok(())
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await
    }

    /// Asks it to end, and waits.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.wait().await
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            // Kept until then, or its standard input would close first.
            let _stdin = child.stdin.take();
            child.wait().await?;
        }
        Ok(())
    }

    /// Stops it in the middle of whatever it does.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Memory that it holds, in bytes.
    pub fn memory(&self) -> Option<u64> {
        memory(self.pid()?)
    }
}

/// Resident memory of a process, in bytes; `None` where the system does not tell.
pub fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
