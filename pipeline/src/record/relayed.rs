//! Headers of a record that the guard has let through.

/// The topic that it came from.
pub const TOPIC: &str = "millstream-guard-topic";
/// Its partition there.
pub const PARTITION: &str = "millstream-guard-partition";
/// Its offset there.
pub const OFFSET: &str = "millstream-guard-offset";
/// Its key as it was, where that was encoded in Avro.
pub const KEY: &str = "millstream-guard-key";
