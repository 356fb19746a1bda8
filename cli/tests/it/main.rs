//! End-to-end tests: the real binary on a real Kafka and Restate.
//!
//! Most share one stack, started by the first of them and stopped when the test process ends; keys
//! are unique per test. Tests that stop parts or change topics start a stack of their own.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aborts;
mod backlog;
mod bad_input;
mod batch;
mod clocks;
mod command;
mod containers;
mod dead_letters;
mod declarations;
mod evolution;
mod exporter;
mod faults;
mod follow;
mod gateway;
mod guard;
mod hostile;
mod https;
mod identity;
#[cfg(feature = "tls")]
mod kafka_tls;
mod meta;
mod once;
mod outcomes;
mod partitions;
mod patterns;
mod projects;
mod registry;
mod replies;
mod requests;
mod state;
mod support;
mod timers;
mod traces;
