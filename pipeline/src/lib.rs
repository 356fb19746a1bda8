//! Events on Kafka in Avro, handled by Restate, answered on Kafka.
//!
//! [`events`] says what an event and a topic are.
//!
//! # Layout
//! - [`process`]: what becomes of an event, as pure functions; it stands on [`bookkeeping`], [`state`]
//!   and [`codec`].
//! - [`turn`], [`shared`] and [`workflow`]: kinds of handlers, from the raw record to the published
//!   answer. They fetch what [`process`] needs to know and do what it decides, by [`publish`],
//!   [`dead_letter`] and [`originals`].
//! - [`service`]: what the handlers of a process share.
//! - [`decider`]: a service of plain decisions, in either lane; [`batch`]: the batch lane, where a
//!   transaction has many events.
//! - [`sequence`]: the rule by which a consumer of results sees each event once.
//! - [`client`]: sends events and awaits results, as an application outside does; [`reader`]
//!   reads topics, [`json`] makes events out of JSON.
//! - [`identity`]: keys, and the proofs of who sent an event.
//! - [`code`]: why an event was not carried out; [`metrics`]: what is counted;
//!   [`telemetry`]: spans of events.
//! - [`log_lines`]: log lines that cannot be written end nothing.
//! - [`config`]: where the parts of an installation are; [`kafka`]: how its clients are set;
//!   [`program`]: what messages call this program.
//! - [`guard`]: the relay between a foreign topic and its handlers; [`dead_letters`]: what people do
//!   with dead letters; both stand on [`transaction`].
//! - [`gateway`]: HTTP requests become commands, and their results the answers.
//! - [`registry`]: the built-in schema registry, a Confluent-compatible server.
//! - [`declarations`]: bringing brokers, registry and Restate to what topic files say.
//! - [`dev_stack`]: a real Kafka, Restate and registry on this machine.

// `print!` and its like panic where nothing can be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod attempt;
pub mod batch;
mod beginning;
pub mod bookkeeping;
pub mod client;
pub mod code;
pub mod codec;
pub mod compensations;
pub mod config;
pub mod crashes;
pub mod dead_letter;
pub mod dead_letters;
pub mod decider;
pub mod declarations;
pub mod dev_stack;
pub mod digest;
mod fields;
pub mod gateway;
pub mod group;
pub mod guard;
pub mod http;
pub mod identity;
mod invocation;
mod journal;
pub mod json;
pub mod kafka;
pub mod key;
mod lane;
pub mod log_lines;
pub mod metrics;
pub mod offsets;
mod origin;
pub mod originals;
pub mod outgoing;
pub mod partition;
pub mod position;
pub mod process;
pub mod program;
mod protocol;
pub mod publish;
pub mod reader;
mod record;
pub mod registry;
mod remembered;
pub mod replies;
pub mod requests;
mod reserved;
pub mod sequence;
pub mod serve;
pub mod service;
pub mod shared;
pub mod state;
mod statuses;
pub mod step;
mod system;
pub mod telemetry;
pub mod timers;
mod trace;
pub mod transaction;
pub mod turn;
pub mod wire;
pub mod workflow;

pub use millstream_events as events;
pub use process::effects;
