//! A real Kafka, Restate, Postgres, schema registry and the handlers on this machine, each a process of its
//! own.
//!
//! What it guarantees: programs are fetched once and then used without the network; ports are free
//! ones, on 127.0.0.1 alone; a part counts as started when it answers; everything is stopped by
//! [`DevStack::stop`], killed when the stack is dropped, and cleaned up by the next start on the
//! same folder when this process was killed; Kafka's, Restate's and Postgres' data are kept together
//! or wiped together.

mod data;
mod error;
mod fetch;
mod kafka;
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
use std::path::PathBuf;

pub use error::DevStackError;
pub use fetch::fetch_all;
pub use keys::{Key, Keys};
pub use own::{END_WITH_STDIN, dev_stack_is_gone};
pub use ports::Ports;
pub use progress::{Progress, Step};
pub use restate::SETTINGS as RESTATE_SETTINGS;
pub use stack::{Death, DevStack};

/// A part of the dev stack, in the order in which they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The Kafka broker and controller.
    Kafka,
    /// Restate's server.
    Restate,
    /// Postgres, which the handlers keep users in.
    Postgres,
    /// The built-in schema registry.
    Registry,
    /// Stand-ins for systems outside that the handlers call.
    StandIns,
    /// The handlers.
    Handlers,
    /// The gateway.
    Gateway,
    /// The guard, where a topic is declared with one.
    Guard,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kafka,
        Self::Restate,
        Self::Postgres,
        Self::Registry,
        Self::StandIns,
        Self::Handlers,
        Self::Gateway,
        Self::Guard,
    ];

    /// Its name: in `pids`, and of its log file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Restate => "restate",
            Self::Postgres => "postgres",
            Self::Registry => "registry",
            Self::StandIns => "stand-ins",
            Self::Handlers => "handlers",
            Self::Gateway => "gateway",
            Self::Guard => "guard",
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
    /// want it need not fetch it.
    pub parts: BTreeSet<Part>,
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
    /// Where it is shown what goes on.
    pub progress: Progress,
}

impl Options {
    /// All parts but the guard in the usual folder, with the registry and the handlers run by
    /// `binary` (mostly `std::env::current_exe()`).
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            folder: crate::config::DEV_FOLDER.into(),
            binary: binary.into(),
            parts: Part::ALL
                .into_iter()
                .filter(|part| *part != Part::Guard)
                .collect(),
            fresh: false,
            announce: true,
            usual_ports: true,
            variables: BTreeMap::new(),
            progress: Progress::stderr(),
        }
    }
}
