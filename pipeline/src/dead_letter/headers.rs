//! Names of the headers that say why a record is a dead letter, for who writes them and who reads
//! them. Those before [`TOPIC`] are the original's own; of several the last ones count, since an
//! original may have been somebody else's dead letter.

/// Topic of the original. It comes first.
pub const TOPIC: &str = "__connect.errors.topic";
/// Its partition.
pub const PARTITION: &str = "__connect.errors.partition";
/// Its offset.
pub const OFFSET: &str = "__connect.errors.offset";
/// Who could not handle it, `Service/handler`.
pub const HANDLER: &str = "__connect.errors.connector.name";
/// Why.
pub const CODE: &str = "__connect.errors.exception.class.name";
/// The same for people.
pub const MESSAGE: &str = "__connect.errors.exception.message";
/// The consumer group that delivered it.
pub const GROUP: &str = "kafka_dlt-original-consumer-group";
/// When the original was recorded, in milliseconds since 1970-01-01 UTC, big-endian.
pub const TIMESTAMP: &str = "kafka_dlt-original-timestamp";
