//! Events on Kafka in Avro, handled by Restate, answered on Kafka: what the author of a handler depends on.
//!
//! [`events`] says what an event and a topic are.
//!
//! # Layout
//! - [`process`]: what becomes of an event, as pure functions. It stands on [`state`], what an object
//!   remembers, and [`codec`], values in Avro and JSON.
//! - [`lane`]: kinds of handlers, from the raw record to the published answer: keyed, stateless,
//!   workflow, batch, and plain deciders that may be served in the last. They fetch what [`process`] needs to know and do what it decides.
//! - [`service`]: what the handlers of a process share; [`serve`] lets Restate call them.
//! - [`steps`]: what a handler may wait for; [`system`]: timers and replies, which every installation has.
//! - [`record`]: what a record on a topic consists of; [`dead_letter`]: one that could not be handled.
//! - [`kafka`]: clients, and how they are set.
//! - [`identity`]: keys, and the proofs of who sent an event.
//! - [`failure`]: why an event was not carried out, whose fault it is, and whether it may be repeated.
//! - [`sequence`]: the rule by which a consumer of results sees each event once.
//! - [`client`]: sends events and awaits results, as an application outside does.
//! - [`observe`]: metrics, spans and log lines.
//! - [`config`]: where the parts of an installation are; [`http`]: how they are asked;
//!   [`program`]: what messages call this program.
//!
//! Control plane, gateway, guard, schema registry and the dev stack are crates of their own that stand
//! on this one.

// `print!` and its like panic where nothing can be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod client;
pub mod codec;
pub mod config;
pub mod dead_letter;
pub mod failure;
pub mod http;
pub mod identity;
pub mod kafka;
pub mod lane;
pub mod observe;
pub mod process;
pub mod program;
pub mod record;
pub mod sequence;
pub mod serve;
pub mod service;
pub mod state;
pub mod steps;
pub mod system;

pub use millstream_events as events;
