//! A real Kafka, Restate, Postgres, schema registry and the handlers on this machine, each a process of its
//! own; the first three in containers, where their programs cannot be had otherwise.
//!
//! What it guarantees: programs are fetched once and then used without the network; ports are free
//! ones, on 127.0.0.1 alone; a part counts as started when it answers; everything is stopped by
//! [`DevStack::stop`], killed when the stack is dropped, and cleaned up by the next start on the
//! same folder when this process was killed; Kafka's, Restate's and Postgres' data are kept together
//! or wiped together.

mod balancer;
mod data;
mod docker;
mod error;
mod fetch;
mod images;
mod kafka;
mod keep_up;
mod keys;
mod leftovers;
mod own;
mod ports;
mod postgres;
mod prerequisites;
mod process;
mod progress;
mod ready;
pub mod request;
mod restate;
mod stack;
mod start;
pub mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use millstream_events::Declaration;

pub use balancer::balance;
pub use data::Lock;
pub use docker::fetch_images;
pub use error::DevStackError;
pub use fetch::fetch_all;
pub use images::Images;
pub use keys::{Key, Keys};
pub use own::{END_WITH_STDIN, dev_stack_is_gone};
pub use ports::Ports;
pub use prerequisites::With;
pub use progress::{Progress, Step};
pub use restate::SETTINGS as RESTATE_SETTINGS;
pub use stack::{Death, DevStack};

/// Kafka's jars (a folder) and Restate's server, fetched if they are not there: for who starts them
/// in another way than the dev stack does.
pub async fn programs(progress: &Progress) -> Result<(PathBuf, PathBuf), DevStackError> {
    let cache = fetch::cache()?;
    let kafka = fetch::fetch(&cache, &fetch::kafka(), progress).await?;
    let restate = fetch::fetch(&cache, &fetch::restate(), progress).await?;
    Ok((kafka.join("libs"), restate::binary(&restate)?))
}

/// A part of the dev stack, in the order in which they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The Kafka broker and controller.
    Kafka,
    /// The second broker of a cluster.
    Kafka2,
    /// The third broker of a cluster.
    Kafka3,
    /// Restate's server.
    Restate,
    /// The second server of a cluster.
    Restate2,
    /// The third server of a cluster.
    Restate3,
    /// Postgres, which the handlers keep users in.
    Postgres,
    /// The built-in schema registry.
    Registry,
    /// Stand-ins for systems outside that the handlers call.
    StandIns,
    /// The handlers.
    Handlers,
    /// The second replica of the handlers in a cluster.
    Handlers2,
    /// What spreads Restate's connections over the replicas of the handlers in a cluster.
    Balancer,
    /// The gateway.
    Gateway,
    /// The second replica of the gateway in a cluster.
    Gateway2,
    /// The guard, where a topic is declared with one.
    Guard,
    /// The console.
    Console,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Kafka,
        Self::Kafka2,
        Self::Kafka3,
        Self::Restate,
        Self::Restate2,
        Self::Restate3,
        Self::Postgres,
        Self::Registry,
        Self::StandIns,
        Self::Handlers,
        Self::Handlers2,
        Self::Balancer,
        Self::Gateway,
        Self::Gateway2,
        Self::Guard,
        Self::Console,
    ];

    /// Whether only a cluster has it.
    pub fn is_of_cluster(self) -> bool {
        self.node() > 0 || self == Self::Balancer
    }

    /// Whether it is this project's own program.
    pub(crate) fn is_own(self) -> bool {
        self >= Self::Registry
    }

    /// Which of its kind it is, from 0.
    pub(crate) fn node(self) -> usize {
        match self {
            Self::Kafka2 | Self::Restate2 | Self::Handlers2 | Self::Gateway2 => 1,
            Self::Kafka3 | Self::Restate3 => 2,
            _ => 0,
        }
    }

    /// Its name: in `pids`, and of its log file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Kafka2 => "kafka-2",
            Self::Kafka3 => "kafka-3",
            Self::Restate => "restate",
            Self::Restate2 => "restate-2",
            Self::Restate3 => "restate-3",
            Self::Postgres => "postgres",
            Self::Registry => "registry",
            Self::StandIns => "stand-ins",
            Self::Handlers => "handlers",
            Self::Handlers2 => "handlers-2",
            Self::Balancer => "balancer",
            Self::Gateway => "gateway",
            Self::Gateway2 => "gateway-2",
            Self::Guard => "guard",
            Self::Console => "console",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How a dev stack is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder; made if it is not there.
    pub folder: PathBuf,
    /// This project's own program, which is the registry and the handlers.
    pub binary: PathBuf,
    /// What is started. The other parts can be started later, except for Postgres: who does not
    /// want it need not fetch it. With parts of a cluster it is one.
    pub parts: BTreeSet<Part>,
    /// Where Kafka, Restate and Postgres run; `None`: on this machine, or in containers where what that
    /// takes is not installed and Docker is.
    pub with: Option<With>,
    /// Whether to begin without the data of the last run.
    pub fresh: bool,
    /// Whether `dev.json` is written as soon as the parts are up. If not,
    /// [`DevStack::announce`] does it.
    pub announce: bool,
    /// Whether parts get the ports that people expect, where they are free. Tests say no, so that
    /// they do not take them away from people.
    pub usual_ports: bool,
    /// Further variables for a part's process: `RESTATE_...` for Restate, `MILLSTREAM_...` for ours.
    pub variables: BTreeMap<Part, BTreeMap<String, String>>,
    /// Further arguments of a part's process, if it is our own program.
    pub arguments: BTreeMap<Part, Vec<OsString>>,
    /// What is declared: topics whose webhooks are signed get a secret.
    pub topics: &'static [&'static Declaration],
    /// How the handlers find the stand-ins: variables, and the path of the stand-in whose URL each is.
    pub stand_in_paths: &'static [(&'static str, &'static str)],
    /// Further variables of the handlers that go with the stand-ins.
    pub stand_in_variables: &'static [(&'static str, &'static str)],
    /// Where it is shown what goes on.
    pub progress: Progress,
}

impl Options {
    /// All parts but the guard in the usual folder, with the registry and the handlers run by
    /// `binary` (mostly `std::env::current_exe()`).
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            folder: millstream_pipeline::config::DEV_FOLDER.into(),
            binary: binary.into(),
            parts: Part::ALL
                .into_iter()
                .filter(|part| *part != Part::Guard && !part.is_of_cluster())
                .collect(),
            with: None,
            fresh: false,
            announce: true,
            usual_ports: true,
            variables: BTreeMap::new(),
            arguments: BTreeMap::new(),
            topics: &[],
            stand_in_paths: &[],
            stand_in_variables: &[],
            progress: Progress::stderr(),
        }
    }

    /// How many brokers and Restate servers there are: one, or three in a cluster.
    pub(crate) fn nodes(&self) -> usize {
        match self.parts.iter().any(|part| part.is_of_cluster()) {
            true => 3,
            false => 1,
        }
    }
}
