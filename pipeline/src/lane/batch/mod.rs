//! The batch lane: many events of a partition are decided, published and kept by one Kafka
//! transaction, while Restate leases the partition to one process (docs/decisions/0040, 0043, 0044).
//!
//! ```text
//! dispatcher ─ work order ─ Restate ─ lease ─┐
//!                                            ├─ read ─ decide ─ begin, send ─┬─ commit ─ adopt ─┐
//!                                            │                               └─ read ─ decide ──┤
//!                                            └───────────────────────────────── begin, send ────┘
//! ```
//!
//! While one batch is committed, the next is read and decided on top of it.
//!
//! - [`log`]: what the lane asks of Kafka, and what is decided by somebody else: three small traits.
//! - [`shard`]: the driver. A partition of a service, as one process has it; [`memory`] is what it
//!   knows of its keys.
//! - [`notes`]: who is about to decide what, and who was when its process ended.
//! - [`topics`]: the same three traits on real brokers.
//! - [`lane`]: a service of the lane in a process, and its leases.
//! - [`handlers`]: decides batches by the plain functions of a service, as in the event lane.
//! - [`once`]: decides about results by the reader rule, and publishes them once more.
//! - [`dispatcher`]: sends work orders, [`watch`] says when; `served` begins and ends it with the
//!   process.
//! - [`rules`]: what must hold. A model of Kafka and Restate, in the tests, finds each that is left
//!   out.

pub mod dispatcher;
pub mod handlers;
pub mod lane;
pub mod log;
pub mod memory;
#[cfg(test)]
mod model;
pub mod notes;
pub mod once;
pub mod rules;
pub(crate) mod served;
pub mod shard;
pub mod topics;
pub mod watch;
