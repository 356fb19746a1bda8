//! Events on Kafka in Avro, handled by Restate, answered on Kafka.
//!
//! # Layout
//! - [`turn`]: a keyed handler's turn, from the raw record to the published answer; it stands on
//!   [`codec`], [`bookkeeping`], [`state`], [`publish`], [`dead_letter`] and [`originals`].
//! - [`service`]: what the handlers of a process share.
//! - [`sequence`]: the rule by which a consumer of results sees each event once.
//! - [`client`]: sends events and awaits results, as an application outside does; [`reader`]
//!   reads topics, [`json`] makes events out of JSON.
//! - [`identity`]: keys, and the proofs of who sent an event.
//! - [`code`]: why an event was not carried out; [`metrics`]: what is counted;
//!   [`telemetry`]: spans of events.
//! - [`config`]: where the parts of an installation are; [`kafka`]: how its clients are set.
//! - [`guard`]: the relay between a foreign topic and its handlers; [`dead_letters`]: what people do
//!   with dead letters; both stand on [`transaction`].
//! - [`gateway`]: HTTP requests become commands, and their results the answers.
//! - [`registry`]: the built-in schema registry, a Confluent-compatible server.
//! - [`declarations`]: bringing brokers, registry and Restate to what topic files say.
//! - [`dev_stack`]: a real Kafka, Restate and registry on this machine.

mod admission;
mod attempts;
mod beginning;
pub mod bookkeeping;
pub mod client;
pub mod code;
pub mod codec;
pub mod compensations;
pub mod config;
pub mod dead_letter;
pub mod dead_letters;
pub mod declarations;
mod delivery;
pub mod dev_stack;
pub mod digest;
pub mod effects;
pub mod gateway;
pub mod group;
pub mod guard;
pub mod http;
pub mod identity;
mod incoming;
mod journal;
pub mod json;
pub mod kafka;
pub mod metrics;
pub mod offsets;
mod origin;
pub mod originals;
pub mod outgoing;
pub mod partition;
pub mod position;
pub mod publish;
pub mod reader;
pub mod registry;
mod remembered;
pub mod replies;
pub mod requests;
pub mod sequence;
pub mod serve;
pub mod service;
pub mod shared;
pub mod state;
pub mod step;
pub mod telemetry;
pub mod timers;
mod trace;
pub mod transaction;
pub mod turn;
pub mod wire;
pub mod workflow;

pub use millstream_schemas as schemas;
pub use millstream_topics as topics;
