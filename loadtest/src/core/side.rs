//! One side of the comparison in one round.

use serde::Serialize;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The virtual object that does nothing.
    Noop,
    /// `product-reservations`.
    Pipeline,
}

/// What one side did in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Events per second.
    pub rate: f64,
    /// From the first event to the last.
    pub seconds: f64,
    /// CPU seconds of Restate's server.
    pub restate_cpu: f64,
    /// CPU seconds of Kafka.
    pub kafka_cpu: f64,
    /// CPU seconds of the process with the handler.
    pub handler_cpu: f64,
    /// Records that Restate wrote to its log per event, where it tells.
    pub log_records: Option<f64>,
}

impl Measured {
    /// CPU seconds of all three processes.
    pub fn cpu(&self) -> f64 {
        self.restate_cpu + self.kafka_cpu + self.handler_cpu
    }
}
