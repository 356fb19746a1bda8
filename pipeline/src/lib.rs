//! Events on Kafka in Avro, handled by Restate, answered on Kafka.
//!
//! # Layout
//! - [`config`]: where the parts of an installation are; [`kafka`]: how its clients are set.
//! - [`registry`]: the built-in schema registry, a Confluent-compatible server.
//! - [`declarations`]: bringing brokers, registry and Restate to what topic files say.
//! - [`dev_stack`]: a real Kafka, Restate and registry on this machine.

pub mod config;
pub mod declarations;
pub mod dev_stack;
pub mod kafka;
pub mod registry;
