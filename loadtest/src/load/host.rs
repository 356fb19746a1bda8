//! The machine that sends, and what it sends to.

use std::fmt;

use millstream_control::restate::Restate;
use millstream_pipeline::config::Endpoints;
use rdkafka::util::get_rdkafka_version;
use serde::Serialize;

/// What figures depend on besides the workload.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Host {
    /// Of this program.
    pub millstream: &'static str,
    /// Of the Kafka client library.
    pub librdkafka: String,
    /// Of Restate, where it tells.
    pub restate: Option<String>,
    /// CPUs of this machine.
    pub cores: usize,
    /// Its load over a minute before the run, where it tells.
    pub load_before: Option<f64>,
    /// And at the end.
    pub load_after: Option<f64>,
}

impl Host {
    /// As it is before a run.
    pub async fn new(endpoints: &Endpoints) -> Self {
        let restate = match Restate::new(&endpoints.restate_admin) {
            Ok(restate) => restate.version().await.ok(),
            Err(_) => None,
        };
        Self {
            millstream: env!("CARGO_PKG_VERSION"),
            librdkafka: get_rdkafka_version().1,
            restate,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_before: load(),
            load_after: None,
        }
    }

    /// The run is over.
    pub fn ended(&mut self) {
        self.load_after = load();
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let restate = self.restate.as_deref().unwrap_or("unknown");
        write!(
            f,
            "Generator {} with librdkafka {} on {} cores, Restate {restate}",
            self.millstream, self.librdkafka, self.cores
        )?;
        if let (Some(before), Some(after)) = (self.load_before, self.load_after) {
            write!(
                f,
                "; load of this machine {before} before and {after} at the end"
            )?;
        }
        Ok(())
    }
}

/// Processes that ran or waited for a CPU, on average over the last minute.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}
