//! Reading topics in parallel: all of a stretch of time, by headers.

mod scan;
mod stretch;

pub use scan::{Hit, Scanned, Scanner, Slice};
pub use stretch::{Stretch, Topics};

use rdkafka::error::KafkaError;

/// Why topics could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Kafka is not there, or refuses.
    #[error("cannot search Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// It was there and is no longer.
    #[error(
        "Kafka stopped answering while {topic}/{partition} was read, {left} records before its end; try again"
    )]
    Silent {
        /// Of a partition that is not read to its end.
        topic: String,
        /// Which.
        partition: i32,
        /// At most so many records of it are left.
        left: i64,
    },
    /// It was told to end.
    #[error("the search was given up")]
    GivenUp,
}
