//! The log: a compacted topic with one partition. It is the only store; the state is what was read
//! of it.

mod reader;
mod topic;
mod writer;

pub use reader::{Progress, follow};
pub use topic::ensure;
pub use writer::Writer;

/// Where the log is.
#[derive(Debug, Clone)]
pub struct Location {
    /// Bootstrap servers.
    pub kafka: String,
    /// Topic.
    pub topic: String,
    /// Replication factor of the topic when it is created; `None` leaves it to the brokers.
    pub replication: Option<u16>,
}
