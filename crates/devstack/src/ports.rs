//! Which ports the parts listen on, on 127.0.0.1.
//!
//! The ports of the last run on the same folder are taken first, since Restate remembers addresses
//! in its data; then the usual ones; then others. Others come from below the range that the system
//! uses for outgoing connections: a client that keeps connecting to a stopped part could otherwise
//! be given that very port as its own, and the part could not come back to it.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::DevStackError;

const BELOW_OUTGOING: std::ops::Range<u16> = 10_000..32_000;
const TRIES: u32 = 200;

/// Others that this process has chosen before: some part may be about to listen there.
static CHOSEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The ports of all parts, whether they run or not. A part that an older version did not have gets
/// its usual port; the others keep theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    /// Kafka's clients.
    pub kafka: u16,
    /// Kafka's controller.
    pub kafka_controller: u16,
    /// The schema registry.
    pub registry: u16,
    /// Restate's ingress.
    pub restate_ingress: u16,
    /// Restate's admin API.
    pub restate_admin: u16,
    /// Restate's port between nodes, which also shows its metrics.
    pub restate_node: u16,
    /// Postgres.
    pub postgres: u16,
    /// The stand-ins for systems outside.
    pub stand_ins: u16,
    /// The handlers, for Restate.
    pub handlers: u16,
    /// The handlers' metrics.
    pub metrics: u16,
    /// The guard's metrics.
    pub guard_metrics: u16,
    /// The gateway, for clients.
    pub gateway: u16,
    /// The gateway's metrics.
    pub gateway_metrics: u16,
    /// The console, for browsers.
    pub console: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self::usual()
    }
}

impl Ports {
    /// The ports that people expect.
    pub fn usual() -> Self {
        Self {
            kafka: 9092,
            kafka_controller: 9093,
            registry: 8081,
            restate_ingress: 8080,
            restate_admin: 9070,
            restate_node: 5122,
            postgres: 5432,
            stand_ins: 9480,
            handlers: 9080,
            // Not 9090, which is Prometheus' own.
            metrics: 9464,
            guard_metrics: 9465,
            gateway: 8088,
            gateway_metrics: 9466,
            console: 8087,
        }
    }

    /// Free ports: of each, the first that is free in `wanted`, else another one.
    pub fn choose(wanted: &[Self]) -> Result<Self, DevStackError> {
        Self::choose_besides(&mut BTreeSet::new(), wanted)
    }

    /// The same without the ports that are `taken`, to which it adds its own.
    pub(super) fn choose_besides(
        taken: &mut BTreeSet<u16>,
        wanted: &[Self],
    ) -> Result<Self, DevStackError> {
        let mut pick = |name: &'static str, of: fn(&Self) -> u16| {
            let others = std::iter::repeat_with(new).take(TRIES as usize);
            let port = wanted
                .iter()
                .map(of)
                .chain(others)
                .find(|port| !taken.contains(port) && is_free(*port))
                .ok_or(DevStackError::NoPort(name))?;
            taken.insert(port);
            Ok::<_, DevStackError>(port)
        };
        Ok(Self {
            kafka: pick("Kafka", |ports| ports.kafka)?,
            kafka_controller: pick("Kafka's controller", |ports| ports.kafka_controller)?,
            registry: pick("the schema registry", |ports| ports.registry)?,
            restate_ingress: pick("Restate's ingress", |ports| ports.restate_ingress)?,
            restate_admin: pick("Restate's admin API", |ports| ports.restate_admin)?,
            restate_node: pick("Restate's node", |ports| ports.restate_node)?,
            postgres: pick("Postgres", |ports| ports.postgres)?,
            stand_ins: pick("the stand-ins", |ports| ports.stand_ins)?,
            handlers: pick("the handlers", |ports| ports.handlers)?,
            metrics: pick("metrics", |ports| ports.metrics)?,
            guard_metrics: pick("the guard's metrics", |ports| ports.guard_metrics)?,
            gateway: pick("the gateway", |ports| ports.gateway)?,
            gateway_metrics: pick("the gateway's metrics", |ports| ports.gateway_metrics)?,
            console: pick("the console", |ports| ports.console)?,
        })
    }

    /// Whether nobody listens on any of them.
    pub fn are_free(&self) -> bool {
        [
            self.kafka,
            self.kafka_controller,
            self.registry,
            self.restate_ingress,
            self.restate_admin,
            self.restate_node,
            self.postgres,
            self.stand_ins,
            self.handlers,
            self.metrics,
            self.guard_metrics,
            self.gateway,
            self.gateway_metrics,
            self.console,
        ]
        .into_iter()
        .all(is_free)
    }
}

/// Whether nobody listens on the port, on this address or on all of them.
fn is_free(port: u16) -> bool {
    [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED]
        .into_iter()
        .all(|address| TcpListener::bind((address, port)).is_ok())
}

/// One that this process has not chosen yet.
fn new() -> u16 {
    let mut chosen = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tries = std::iter::repeat_with(random).take(TRIES as usize);
    let port = tries.find(|port| !chosen.contains(port));
    let port = port.unwrap_or_else(random);
    chosen.insert(port);
    port
}

fn random() -> u16 {
    let span = u64::from(BELOW_OUTGOING.end - BELOW_OUTGOING.start);
    // Each RandomState has keys of its own, which is random enough for a port.
    let offset = RandomState::new().hash_one(()) % span;
    BELOW_OUTGOING.start + u16::try_from(offset).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stacks_that_do_not_listen_yet_have_other_ports() {
        let kafka = || Ports::choose(&[]).unwrap().kafka;
        let chosen: BTreeSet<u16> = std::iter::repeat_with(kafka).take(1000).collect();
        assert_eq!(chosen.len(), 1000);
    }

    #[test]
    fn a_taken_port_is_replaced_and_the_others_are_kept() {
        let previous = Ports::choose(&[]).unwrap();
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, previous.registry)).unwrap();
        assert!(!previous.are_free());
        let next = Ports::choose(std::slice::from_ref(&previous)).unwrap();
        assert_ne!(next.registry, previous.registry);
        assert_eq!(
            Ports {
                registry: previous.registry,
                ..next
            },
            previous,
            "only the taken one moves"
        );
        drop(holder);
    }

    #[test]
    fn ports_that_an_older_version_chose_are_kept() {
        let read: Ports = serde_json::from_str(r#"{"kafka": 20123}"#).unwrap();
        let kept = Ports {
            kafka: 20_123,
            ..Ports::usual()
        };
        assert_eq!(read, kept);
    }

    #[test]
    fn no_port_is_given_twice() {
        let same = Ports {
            kafka: 20_123,
            kafka_controller: 20_123,
            registry: 20_123,
            restate_ingress: 20_123,
            restate_admin: 20_123,
            restate_node: 20_123,
            postgres: 20_123,
            stand_ins: 20_123,
            handlers: 20_123,
            metrics: 20_123,
            guard_metrics: 20_123,
            gateway: 20_123,
            gateway_metrics: 20_123,
            console: 20_123,
        };
        let ports = serde_json::to_value(Ports::choose(&[same]).unwrap()).unwrap();
        let ports: BTreeSet<_> = ports
            .as_object()
            .unwrap()
            .values()
            .map(|port| port.as_u64().unwrap())
            .collect();
        assert_eq!(ports.len(), 14);
    }
}
