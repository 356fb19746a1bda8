//! Where events go: to Kafka or to the gateway.

mod gateway;
mod kafka;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apache_avro::types::Value;
use millstream_pipeline::config::Endpoints;

pub use gateway::Gateway;
pub use kafka::Kafka;

use super::clock::Clock;
use super::plan::Plan;
use super::track::Tracker;
use super::workload::Target;

/// The account of a run, shared by those who send and those who see results.
#[derive(Clone)]
pub struct Account {
    tracker: Arc<Mutex<Tracker>>,
    /// The time of the run.
    pub clock: Clock,
}

impl Account {
    /// A new one.
    pub fn new(tracker: Tracker, clock: Clock) -> Self {
        Self {
            tracker: Arc::new(Mutex::new(tracker)),
            clock,
        }
    }

    /// The account itself. A poisoned lock only means that somebody else panicked.
    pub fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that is to be sent.
pub struct Outgoing {
    /// Which part of the mix it is.
    pub part: usize,
    /// Its number.
    pub number: usize,
    /// When it is to be sent.
    pub micros: u64,
    /// Its key.
    pub key: String,
    /// Its body.
    pub body: Value,
}

/// One of both.
pub enum Outlet {
    /// Produces.
    Kafka(Kafka),
    /// Makes HTTP requests.
    Gateway(Gateway),
}

/// An event with all work done that can be done before its time.
pub enum Prepared {
    /// For Kafka.
    Record(millstream_pipeline::kafka::publisher::Record),
    /// For the gateway.
    Request(gateway::Request),
}

impl Outlet {
    /// The outlet that the workload names.
    pub async fn new(
        plan: &Arc<Plan>,
        endpoints: &Endpoints,
        api_key: Option<&str>,
        account: &Account,
    ) -> anyhow::Result<Self> {
        Ok(match plan.workload.target {
            Target::Kafka => Self::Kafka(Kafka::new(plan, endpoints, account).await?),
            Target::Gateway => Self::Gateway(Gateway::new(plan, endpoints, api_key, account)?),
        })
    }

    /// Does what can be done before the event's time.
    pub fn prepare(&self, event: Outgoing) -> anyhow::Result<Prepared> {
        Ok(match self {
            Self::Kafka(kafka) => Prepared::Record(kafka.prepare(event)?),
            Self::Gateway(gateway) => Prepared::Request(gateway.prepare(event)?),
        })
    }

    /// Hands an event over, and does not wait for what comes of it.
    pub fn hand_over(&self, number: usize, prepared: Prepared) {
        match (self, prepared) {
            (Self::Kafka(kafka), Prepared::Record(record)) => kafka.hand_over(number, &record),
            (Self::Gateway(gateway), Prepared::Request(request)) => {
                gateway.hand_over(number, request);
            }
            _ => unreachable!("an outlet prepares what it hands over"),
        }
    }

    /// Waits until what was handed over has gone out.
    pub fn flush(&self) {
        match self {
            Self::Kafka(kafka) => kafka.flush(),
            Self::Gateway(_) => {}
        }
    }
}
