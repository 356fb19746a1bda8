//! A dev stack that runs: its addresses, and starting and stopping single parts of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::data::Lock;
use super::error::DevStackError;
use super::keys::Keys;
use super::leftovers::{self, Started};
use super::own::url;
use super::ports::Ports;
use super::process::{CommandLine, Process, tail};
use super::{Part, data, own, postgres, ready};
use millstream_pipeline::config::Endpoints;

/// How each part is started.
pub(super) type Lines = BTreeMap<Part, CommandLine>;

/// A part that ended without being asked to.
#[derive(Debug, Clone)]
pub struct Death {
    /// Which.
    pub part: Part,
    /// How it ended, as the system says it.
    pub status: String,
    /// Its log file.
    pub log: PathBuf,
    /// The last lines of its log.
    pub tail: String,
}

impl Death {
    /// How it ended, and what that means where it is known.
    pub fn reason(&self) -> String {
        match self.is_crash() {
            true => format!(
                "{}: by all signs a crash of the Kafka client library, docs/decisions/0024",
                self.status
            ),
            false => self.status.clone(),
        }
    }

    /// Whether a program of ours died of a fault in memory, which safe Rust does not have: by all
    /// signs it was librdkafka's. That is no failure of what was being done.
    pub fn is_crash(&self) -> bool {
        self.part.is_own()
            && ["SIGSEGV", "SIGBUS"]
                .iter()
                .any(|it| self.status.contains(it))
    }
}

impl std::fmt::Display for Death {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            part, log, tail, ..
        } = self;
        let reason = self.reason();
        write!(
            formatter,
            "{part} ended ({reason}). The end of {}:\n{tail}",
            log.display()
        )
    }
}

/// A dev stack that runs. Dropping it kills what it started.
#[derive(Debug)]
pub struct DevStack {
    folder: PathBuf,
    /// Of each node; those of the first one are those of all parts that are there once.
    nodes: Vec<Ports>,
    keys: Keys,
    lines: Lines,
    running: Mutex<Running>,
    tell: mpsc::UnboundedSender<(Part, String)>,
    dead: tokio::sync::Mutex<mpsc::UnboundedReceiver<(Part, String)>>,
    _lock: Lock,
}

#[derive(Debug, Default)]
struct Running {
    processes: BTreeMap<Part, Process>,
    started: Started,
    /// Set since the stack was started.
    variables: BTreeMap<Part, BTreeMap<String, String>>,
    announced: bool,
}

impl DevStack {
    pub(super) fn new(folder: PathBuf, lock: Lock, keys: Keys) -> Self {
        let (tell, dead) = mpsc::unbounded_channel();
        Self {
            folder,
            keys,
            nodes: vec![Ports::usual()],
            lines: Lines::new(),
            running: Mutex::default(),
            tell,
            dead: tokio::sync::Mutex::new(dead),
            _lock: lock,
        }
    }

    pub(super) fn set(&mut self, nodes: Vec<Ports>, lines: Lines) {
        // Who died of an earlier choice of ports is no news.
        while self.dead.get_mut().try_recv().is_ok() {}
        self.nodes = nodes;
        self.lines = lines;
    }

    /// The folder, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ports of all parts; of a cluster, those of the first of each kind.
    pub fn ports(&self) -> &Ports {
        &self.nodes[0]
    }

    /// The ports of each node: of a cluster three, in the order of its brokers and servers.
    pub fn nodes(&self) -> &[Ports] {
        &self.nodes
    }

    /// The keys that its parts sign with.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Where Restate reaches the handlers.
    pub fn handlers_url(&self) -> String {
        match self.lines.contains_key(&Part::Balancer) {
            true => url(own::balanced(&self.nodes)),
            false => url(self.ports().handlers),
        }
    }

    /// Whether the gateway has found the topics that it reads.
    pub async fn gateway_is_ready(&self) -> bool {
        let url = format!("{}/ready", url(self.ports().gateway_metrics));
        let client = millstream_pipeline::http::builder().no_proxy().build();
        match client {
            Ok(client) => client
                .get(url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success()),
            Err(_) => false,
        }
    }

    /// Where everything is, and the process ids of what runs now.
    pub fn endpoints(&self) -> Endpoints {
        self.describe(&self.running())
    }

    fn describe(&self, running: &Running) -> Endpoints {
        let ports = self.ports();
        Endpoints {
            kafka: own::kafka(&self.nodes),
            schema_registry: url(ports.registry),
            restate_ingress: url(ports.restate_ingress),
            restate_admin: url(ports.restate_admin),
            metrics: format!("{}/metrics", url(ports.metrics)),
            identity_key: Some(self.keys.restate.public.to_string()),
            stand_ins: running
                .processes
                .contains_key(&Part::StandIns)
                .then(|| url(ports.stand_ins)),
            postgres: self
                .lines
                .contains_key(&Part::Postgres)
                .then(|| postgres::url(ports)),
            gateway: running
                .processes
                .contains_key(&Part::Gateway)
                .then(|| url(ports.gateway)),
            console: running
                .processes
                .contains_key(&Part::Console)
                .then(|| url(ports.console)),
            pids: running
                .processes
                .iter()
                .map(|(part, process)| (part.name().to_owned(), process.pid()))
                .collect(),
        }
    }

    /// Writes `dev.json`, and keeps it up to date from now on.
    pub fn announce(&self) -> Result<(), DevStackError> {
        let mut running = self.running();
        running.announced = true;
        self.write_down(&running)
    }

    /// Starts a part that does not run, on its own port; comes back when it answers.
    pub async fn start_part(&self, part: Part) -> Result<(), DevStackError> {
        let Some(line) = self.lines.get(&part) else {
            return Ok(());
        };
        if self.runs(part) {
            return Ok(());
        }
        if part == Part::Postgres {
            postgres::settle(&self.folder.join("data/postgres")).await;
        }
        let process = {
            let mut running = self.running();
            let mut line = line.clone();
            line.set
                .extend(running.variables.get(&part).cloned().unwrap_or_default());
            let process = Process::start(part, &line, &self.log(part), self.tell.clone())?;
            running.started.insert(process.pid(), line.shown());
            // Before it is ready: if we are killed now, the next start must find it.
            leftovers::write(&self.folder, &running.started)?;
            process
        };
        ready::wait(part, &process, &self.nodes).await?;
        let mut running = self.running();
        running.processes.insert(part, process);
        self.write_down(&running)
    }

    /// Stops a part, as one would for maintenance; comes back when it has ended.
    pub async fn stop_part(&self, part: Part) -> Result<(), DevStackError> {
        if let Some(process) = self.take(part) {
            process.stop().await;
        }
        self.write_down(&self.running())
    }

    /// Kills a part, as a crash would; comes back when it has ended.
    pub async fn kill_part(&self, part: Part) -> Result<(), DevStackError> {
        if let Some(mut process) = self.take(part) {
            process.kill().await;
        }
        self.write_down(&self.running())
    }

    /// Stops a part and starts it again on the same port.
    pub async fn restart(&self, part: Part) -> Result<(), DevStackError> {
        self.stop_part(part).await?;
        self.start_part(part).await
    }

    /// Stops a part and starts it again with these variables beside those that it was declared with.
    pub async fn restart_with(
        &self,
        part: Part,
        variables: BTreeMap<String, String>,
    ) -> Result<(), DevStackError> {
        self.running().variables.insert(part, variables);
        self.restart(part).await
    }

    /// Resolves when a part ends that was not asked to.
    pub async fn wait(&self) -> Death {
        // The channel stays open: this stack has a sender itself.
        match self.dead.lock().await.recv().await {
            Some((part, status)) => {
                let log = self.log(part);
                Death {
                    part,
                    status,
                    tail: tail(&log),
                    log,
                }
            }
            None => std::future::pending().await,
        }
    }

    /// Stops everything, the last started first.
    pub async fn stop(self) {
        self.stop_all().await;
    }

    pub(super) async fn stop_all(&self) {
        self.forget();
        for part in Part::ALL.into_iter().rev() {
            if let Some(process) = self.take(part) {
                process.stop().await;
            }
        }
    }

    fn runs(&self, part: Part) -> bool {
        let running = self.running();
        let process = running.processes.get(&part);
        process.is_some_and(|process| process.status().is_none())
    }

    fn take(&self, part: Part) -> Option<Process> {
        self.running().processes.remove(&part)
    }

    pub(super) fn log(&self, part: Part) -> PathBuf {
        self.folder.join("logs").join(format!("{part}.log"))
    }

    fn write_down(&self, running: &Running) -> Result<(), DevStackError> {
        if running.announced {
            data::write_json(&self.folder.join("dev.json"), &self.describe(running))?;
        }
        Ok(())
    }

    /// Nobody should find a stack that is going away.
    fn forget(&self) {
        self.running().announced = false;
        // It may never have been written.
        let _ = std::fs::remove_file(self.folder.join("dev.json"));
    }

    /// No code panics while it holds this, and a spoiled map would still name what to kill.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DevStack {
    fn drop(&mut self) {
        // Dropping the processes kills them.
        self.forget();
    }
}
