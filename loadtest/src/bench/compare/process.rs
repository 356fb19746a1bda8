//! A peer's process.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_devstack::{END_WITH_STDIN, Ports};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use super::bench::Place;
use super::install;
use super::peer::{Fed, Peer};

/// How long a peer may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A process; it is killed when this is dropped.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    /// What a peer that consumes by itself says when it has done what it was told.
    answers: Option<Lines<BufReader<ChildStdout>>>,
    log: PathBuf,
    /// Where Restate calls it.
    pub url: Option<String>,
}

impl Process {
    /// Builds the peer if need be and starts it; comes back when Restate can call it. None for the
    /// object that does nothing, which this process serves.
    pub async fn start(peer: Peer, place: &Place, ballast: usize) -> anyhow::Result<Option<Self>> {
        let port = Ports::choose(&[])?.handlers;
        let Some((mut command, url)) = command(peer, place, port, ballast).await? else {
            return Ok(None);
        };
        let log = place.logs.join(format!("{}.log", peer.name()));
        let by_itself = peer.fed() == Fed::ByItself;
        let output = File::create(&log)?;
        let output = if by_itself {
            Stdio::piped()
        } else {
            output.into()
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(File::options().append(true).open(&log)?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", peer.name()))?;
        let stdin = child.stdin.take().context("it has no standard input")?;
        let answers = child
            .stdout
            .take()
            .map(|stdout| BufReader::new(stdout).lines());
        let mut process = Self {
            child,
            stdin,
            answers,
            log,
            url,
        };
        if !by_itself {
            process.listening(port).await?;
        }
        Ok(Some(process))
    }

    async fn listening(&mut self, port: u16) -> anyhow::Result<()> {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            self.check()?;
            ensure!(
                begun.elapsed() < START_LIMIT,
                "it does not listen; see {}",
                self.log.display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Fails when the process has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let text = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let end = lines[lines.len().saturating_sub(20)..].join("\n");
                anyhow::bail!("it ended ({status}). The end of its log:\n{end}")
            }
        }
    }

    /// Its id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Tells a peer that consumes by itself to `start` or to `stop`; comes back when it has.
    pub async fn tell(&mut self, word: &str) -> anyhow::Result<()> {
        self.stdin.write_all(format!("{word}\n").as_bytes()).await?;
        self.stdin.flush().await?;
        let answers = self
            .answers
            .as_mut()
            .context("it cannot be told anything")?;
        let answer = tokio::time::timeout(START_LIMIT, answers.next_line()).await;
        match answer.context("it does not answer")?? {
            Some(_) => Ok(()),
            None => self.check(),
        }
    }
}

/// How a peer is started, and where Restate calls it.
async fn command(
    peer: Peer,
    place: &Place,
    port: u16,
    ballast: usize,
) -> anyhow::Result<Option<(Command, Option<String>)>> {
    let url = format!("http://127.0.0.1:{port}");
    let mut command = match peer {
        Peer::Noop => return Ok(None),
        Peer::Millstream | Peer::MillstreamBatch => {
            let mut command = own("serve-counter", place)?;
            if peer == Peer::MillstreamBatch {
                command.arg("--batch");
                command.arg(format!("--batch-interval={}", place.batch_interval));
            }
            command
                .arg(format!("--listen=127.0.0.1:{port}"))
                .arg(format!(
                    "--metrics=127.0.0.1:{}",
                    Ports::choose(&[])?.metrics
                ))
                .arg(format!("--ballast={ballast}"))
                .arg(format!("--partitions={}", place.partitions));
            if let Some(key) = &place.identity_key {
                command.arg(format!("--identity-key={key}"));
            }
            command
        }
        Peer::Plain => {
            let mut command = own("peer-plain", place)?;
            command
                .arg(format!("--topic={}", peer.topic()))
                .arg(format!("--results={}", peer.results().unwrap_or_default()));
            command
        }
        Peer::TsRestate => {
            let (folder, node) = install::ts_restate().await?;
            let mut command = Command::new(node);
            command
                .args(["--disable-warning=ExperimentalWarning", "main.ts"])
                .env("NODE_ENV", "production")
                .current_dir(folder);
            command
        }
        Peer::JavaRestate => java(&install::JAVA_RESTATE, "peer.JavaCounter", "512m").await?,
        Peer::KafkaStreams => java(&install::KAFKA_STREAMS, "peer.StreamsCounter", "512m").await?,
    };
    let state = place.logs.join(format!("{}.state", peer.name()));
    command
        .env("PEER_KAFKA", &place.endpoints.kafka)
        .env("PEER_REGISTRY", &place.endpoints.schema_registry)
        .env("PEER_TOPIC", peer.topic())
        .env("PEER_RESULTS", peer.results().unwrap_or_default())
        .env("PEER_RESULT_SCHEMA", install::result_schema())
        .env("PEER_PORT", port.to_string())
        .env("PEER_STATE", state)
        .env_remove("PEER_IDENTITY_KEY");
    if let Some(key) = &place.identity_key {
        command.env("PEER_IDENTITY_KEY", key);
    }
    let called = matches!(peer.fed(), Fed::BySubscription(_));
    Ok(Some((command, called.then_some(url))))
}

/// A hidden command of this program.
fn own(name: &str, place: &Place) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(name)
        .arg(format!("--kafka={}", place.endpoints.kafka))
        .arg(format!(
            "--schema-registry={}",
            place.endpoints.schema_registry
        ))
        .env(END_WITH_STDIN, "1");
    Ok(command)
}

async fn java(source: &install::Source, main: &str, heap: &str) -> anyhow::Result<Command> {
    let folder = install::java(source).await?;
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let java = home.filter(|java| java.is_file());
    let mut classes = OsString::from(folder.join("target/classes"));
    classes.push(":");
    classes.push(folder.join("libs/*"));
    let mut command = Command::new(java.unwrap_or_else(|| "java".into()));
    command
        .arg(format!("-Xmx{heap}"))
        .arg("-cp")
        .arg(classes)
        .arg(main);
    Ok(command)
}
