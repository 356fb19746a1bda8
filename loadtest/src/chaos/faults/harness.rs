//! What scenarios stand on: a real stack of their own, and two replicas of the ledger behind a
//! proxy, or, in a cluster, behind the dev stack's balancer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use millstream_control::Settings;
use millstream_control::restate::Restate;
use millstream_devstack::{DevStack, Options, Part, Ports, Progress, balance};
use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka::publisher::Publisher;
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use super::catalogue::Catalogue;
use super::proxy::Proxy;
use super::replica::{self, Replica};
use super::trial::Trial;
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::event::Book;
use crate::random::Random;

/// How long the ledger thinks, so that there is always an attempt to be hit.
const THINK: Duration = Duration::from_millis(10);
/// How long Restate waits for a silent attempt before it gives it up, in scenarios with
/// [`Needs::ShortTimeouts`]; eleven minutes in production.
pub const ABORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The brokers of a cluster.
pub const BROKERS: [Part; 3] = [Part::Kafka, Part::Kafka2, Part::Kafka3];
/// The Restate servers of a cluster.
pub const SERVERS: [Part; 3] = [Part::Restate, Part::Restate2, Part::Restate3];

/// What a scenario needs of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it runs with production's settings.
    Usual,
    /// Restate gives a silent attempt up after seconds, so that one which still runs is met. On a
    /// machine that is short of processors attempts are given up that only had to wait, and come
    /// again on top of the load: so no other scenario has it.
    ShortTimeouts,
    /// A database.
    Postgres,
}

/// How large scenarios are.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub events: u64,
    pub keys: usize,
    /// Whether faults last as long as in life.
    pub full: bool,
    /// Whether there are three brokers and three Restate servers.
    pub cluster: bool,
}

/// Which of the rules under test are in force.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub sequence_rule: bool,
    pub awaited_publish: bool,
    /// Restate's log of a cluster has copies.
    pub copies: bool,
    /// Nobody publishes again what is there once: the batch ledger's results, and those of the topic that
    /// has each of the other ledger's once.
    pub once: bool,
    /// It publishes every one.
    pub every_result: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            sequence_rule: true,
            awaited_publish: true,
            copies: true,
            once: true,
            every_result: true,
        }
    }
}

/// The stack and the replicas.
pub struct Harness {
    pub stack: DevStack,
    pub endpoints: Endpoints,
    pub codec: Arc<Codec>,
    pub publisher: Arc<Publisher>,
    pub size: Size,
    pub rules: Rules,
    fleet: tokio::sync::Mutex<Fleet>,
    current: Mutex<Current>,
    has_short_timeouts: AtomicBool,
    catalogue: tokio::sync::OnceCell<Catalogue>,
    runs: AtomicU64,
    _folder: Option<TempDir>,
}

/// The replicas behind one URL: the balancer's, if there is one.
pub struct Fleet {
    pub proxy: Proxy,
    pub balancer: Option<Balancer>,
    pub replicas: Vec<Replica>,
}

/// The balancer of a cluster. Dropping it closes its port.
pub struct Balancer {
    url: String,
    _task: AbortOnDropHandle<std::io::Result<()>>,
}

impl Fleet {
    fn url(&self) -> String {
        match &self.balancer {
            Some(balancer) => balancer.url.clone(),
            None => self.proxy.url(),
        }
    }
}

#[derive(Debug, Clone)]
struct Current {
    scenario: &'static str,
    random: Random,
    seed: u64,
}

impl Harness {
    /// Starts everything and applies the declarations.
    pub async fn start(
        folder: Option<PathBuf>,
        size: Size,
        rules: Rules,
        postgres: bool,
    ) -> anyhow::Result<Self> {
        let (folder, temporary) = match folder {
            Some(folder) => (folder, None),
            None => {
                let temporary = tempfile::tempdir()?;
                (temporary.path().join("stack"), Some(temporary))
            }
        };
        let nodes = if size.cluster { 3 } else { 1 };
        let mut parts: Vec<_> = [&BROKERS[..nodes], &SERVERS[..nodes], &[Part::Registry]].concat();
        parts.extend(postgres.then_some(Part::Postgres));
        let copies = ("RESTATE_DEFAULT_REPLICATION".to_owned(), "1".to_owned());
        // Brokers live for minutes: compiling themselves well would take more than the events do.
        let compile = (
            "JAVA_TOOL_OPTIONS".to_owned(),
            "-XX:TieredStopAtLevel=1".to_owned(),
        );
        let mut variables: BTreeMap<_, _> = BROKERS
            .map(|part| (part, BTreeMap::from([compile.clone()])))
            .into();
        if !rules.copies {
            variables.extend(SERVERS.map(|part| (part, BTreeMap::from([copies.clone()]))));
        }
        let stack = DevStack::start(Options {
            folder,
            parts: parts.into_iter().collect(),
            variables,
            fresh: true,
            announce: false,
            usual_ports: false,
            progress: Progress::silent(),
            ..Options::new(std::env::current_exe()?)
        })
        .await?;
        let endpoints = stack.endpoints();
        let codec = Arc::new(Codec::new(&endpoints.schema_registry, OWN_TOPICS)?);
        let kafka = millstream_pipeline::kafka::client(&endpoints.kafka);
        let settings = usual(rules);
        let logs = stack.folder().join("logs");
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(Replica::start(&endpoints, settings.clone(), &logs).await?);
        }
        let ports: Vec<_> = replicas.iter().map(Replica::port).collect();
        let proxy = Proxy::start(Ports::choose(&[])?.handlers, &ports).await?;
        let balancer = match size.cluster {
            true => Some(start_balancer(&ports)?),
            false => None,
        };
        let fleet = Fleet {
            proxy,
            balancer,
            replicas,
        };
        let current = Current {
            scenario: "",
            random: Random::new(0),
            seed: 0,
        };
        let harness = Self {
            stack,
            endpoints,
            codec,
            publisher: Arc::new(Publisher::new(kafka)?),
            size,
            rules,
            fleet: tokio::sync::Mutex::new(fleet),
            current: Mutex::new(current),
            has_short_timeouts: AtomicBool::new(false),
            catalogue: tokio::sync::OnceCell::new(),
            runs: AtomicU64::new(0),
            _folder: temporary,
        };
        harness.apply().await?;
        Ok(harness)
    }

    /// Stops everything.
    pub async fn stop(self) {
        drop(self.fleet);
        drop(self.catalogue);
        self.stack.stop().await;
    }

    /// Gives the stack what a scenario needs. Restate keeps its data.
    pub async fn prepare(&self, needs: Needs) -> anyhow::Result<()> {
        let short = needs == Needs::ShortTimeouts;
        if self.has_short_timeouts.swap(short, Ordering::Relaxed) == short {
            return Ok(());
        }
        let seconds = format!("{}s", ABORT_TIMEOUT.as_secs());
        let timeouts = [
            "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT",
            "RESTATE_WORKER__INVOKER__ABORT_TIMEOUT",
        ]
        .map(|name| (name.to_owned(), seconds.clone()));
        let variables = match short {
            true => timeouts.into(),
            false => BTreeMap::new(),
        };
        self.stack.restart_with(Part::Restate, variables).await?;
        Ok(())
    }

    /// The catalogue's handlers, started when they are asked for first.
    pub async fn catalogue(&self) -> anyhow::Result<&Catalogue> {
        let start = || Catalogue::start(self);
        self.catalogue.get_or_try_init(start).await
    }

    /// A new scenario begins.
    pub fn begin(&self, scenario: &'static str, random: Random, seed: u64) {
        *self.current() = Current {
            scenario,
            random,
            seed,
        };
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name of the scenario and the seed of the run.
    pub fn name(&self) -> (&'static str, u64) {
        let current = self.current();
        (current.scenario, current.seed)
    }

    /// Random numbers for a part of the scenario.
    pub fn random(&self) -> Random {
        self.current().random.fork()
    }

    /// The replicas.
    pub async fn fleet(&self) -> tokio::sync::MutexGuard<'_, Fleet> {
        self.fleet.lock().await
    }

    /// Memory of the replicas together, in megabytes.
    pub async fn fleet_mb(&self) -> f64 {
        let fleet = self.fleet().await;
        let bytes = fleet.replicas.iter().filter_map(Replica::memory);
        bytes.sum::<u64>() as f64 / 1e6
    }

    /// How the replicas are started unless a scenario says otherwise.
    pub fn replica_settings(&self) -> replica::Settings {
        usual(self.rules)
    }

    /// A new replica, of which nobody knows yet.
    pub async fn new_replica(&self, settings: replica::Settings) -> anyhow::Result<Replica> {
        let logs = self.stack.folder().join("logs");
        Replica::start(&self.endpoints, settings, &logs).await
    }

    /// Brings the stack to the declarations.
    pub async fn apply(&self) -> anyhow::Result<()> {
        let url = self.fleet().await.url();
        self.apply_with(&url).await
    }

    /// Brings it to the catalogue's, too, if that is served.
    pub async fn apply_catalogue(&self) -> anyhow::Result<()> {
        match self.catalogue.get() {
            Some(catalogue) => catalogue.apply(&self.endpoints).await,
            None => Ok(()),
        }
    }

    /// The same with the handlers at another URL.
    pub async fn apply_with(&self, url: &str) -> anyhow::Result<()> {
        let settings = Settings {
            handlers: Some(url.to_owned()),
            ..Settings::default()
        };
        let plan = millstream_control::plan(OWN_TOPICS, &self.endpoints, &settings).await?;
        millstream_control::apply(&plan, &self.endpoints, |_| {})
            .await
            .context("the declarations cannot be applied")
    }

    /// Restate's admin API.
    pub fn restate(&self) -> anyhow::Result<Restate> {
        Ok(Restate::new(&self.endpoints.restate_admin)?)
    }

    /// A run of events, half of them in the main ledger and half in that of the batch lane.
    pub async fn trial(&self) -> anyhow::Result<Trial<'_>> {
        self.trial_of(Book::Main, Some(Book::Batch)).await
    }

    /// A run of events in any ledger.
    pub async fn trial_in(&self, book: Book) -> anyhow::Result<Trial<'_>> {
        self.trial_of(book, None).await
    }

    /// A run of events in any ledger, or in two.
    pub async fn trial_of(&self, book: Book, beside: Option<Book>) -> anyhow::Result<Trial<'_>> {
        let (name, seed) = self.name();
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        Trial::start(self, book, beside, &format!("{name}-{seed}-{number}")).await
    }
}

/// How replicas are started where these rules are in force.
fn usual(rules: Rules) -> replica::Settings {
    replica::Settings {
        think: THINK,
        careless: !rules.awaited_publish,
        repeats: !rules.once,
        omits: !rules.every_result,
        ..replica::Settings::default()
    }
}

fn start_balancer(replicas: &[u16]) -> anyhow::Result<Balancer> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen = local(Ports::choose(&[])?.handlers);
    let replicas = replicas.iter().copied().map(local).collect();
    Ok(Balancer {
        url: format!("http://{listen}"),
        _task: AbortOnDropHandle::new(tokio::spawn(balance(listen, replicas))),
    })
}
