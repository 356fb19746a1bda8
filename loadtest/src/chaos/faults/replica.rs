//! One replica of the ledger's handlers, or of the catalogue's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_devstack::Ports;
use millstream_pipeline::config::Endpoints;
use nix::sys::signal::Signal;

use super::process::Process;

/// How a replica is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long the ledger takes over an entry.
    pub think: Duration,
    /// Offers one service more.
    pub second_version: bool,
    /// Does not await acknowledgements.
    pub careless: bool,
    /// Publishes some results of the batch ledger again, and some that are published once.
    pub repeats: bool,
    /// Leaves some entries of the batch ledger unanswered.
    pub omits: bool,
    /// Takes requests that Restate did not sign.
    pub unsigned: bool,
    /// Serves the catalogue and no ledger.
    pub catalogue: bool,
    /// Where it notes which attempts end the process; without, it does not.
    pub crash_marks: Option<PathBuf>,
    /// Where it writes its log, if not into the stack's folder.
    pub log: Option<PathBuf>,
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
    process: Option<Process>,
}

impl Replica {
    /// Starts one on a free port; comes back when it listens.
    pub async fn start(
        endpoints: &Endpoints,
        settings: Settings,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let port = Ports::choose(&[])?.handlers;
        let name = if settings.catalogue {
            "catalogue"
        } else {
            "ledger"
        };
        let mut replica = Self {
            port,
            settings,
            endpoints: endpoints.clone(),
            log: logs.join(format!("{name}-{port}.log")),
            process: None,
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
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let command = match self.settings.catalogue {
            true => "serve-catalogue",
            false => "serve-ledger",
        };
        let mut arguments = vec![
            command.to_owned(),
            format!("--kafka={}", self.endpoints.kafka),
            format!("--schema-registry={}", self.endpoints.schema_registry),
            format!("--listen={address}"),
        ];
        match (self.settings.catalogue, &self.endpoints.postgres) {
            (true, Some(url)) => arguments.push(format!("--postgres={url}")),
            (true, None) => {}
            (false, _) => {
                let think = self.settings.think.as_millis();
                arguments.push(format!("--think-ms={think}"));
            }
        }
        if self.settings.second_version {
            arguments.push("--second-version".into());
        }
        let key = self.endpoints.identity_key.as_ref();
        if let Some(key) = key.filter(|_| !self.settings.unsigned) {
            arguments.push(format!("--identity-key={key}"));
        }
        let mistakes = [
            (self.settings.careless, "--careless"),
            (self.settings.repeats, "--repeats"),
            (self.settings.omits, "--omits"),
        ];
        let made = mistakes.into_iter().filter(|(is_made, _)| *is_made);
        arguments.extend(made.map(|(_, name)| name.to_owned()));
        if let Some(folder) = &self.settings.crash_marks {
            arguments.push(format!("--crash-marks={}", folder.display()));
        }
        let variables = &self.settings.variables;
        let log = self.settings.log.as_ref().unwrap_or(&self.log);
        let process = Process::start(&arguments, variables, address, log).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it again if it has ended by itself; tells whether it had.
    pub async fn revive(&mut self) -> anyhow::Result<bool> {
        let has_ended = match &mut self.process {
            Some(process) => process.has_ended()?,
            None => false,
        };
        if has_ended {
            self.restart().await?;
        }
        Ok(has_ended)
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.end(signal).await,
            None => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref();
        process.map_or(Ok(()), |process| process.signal(signal))
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end(Signal::SIGKILL).await
    }

    /// Asks it to end, and waits.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::SIGTERM).await
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
        self.process.as_ref()?.memory()
    }
}
