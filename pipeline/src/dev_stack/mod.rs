//! Starts and stops a real Kafka, Restate and registry on this machine.
