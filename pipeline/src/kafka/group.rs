//! Names of consumer groups. What a group has read hangs on its name, so each is made in one place.

/// Names that librdkafka asks for where nobody joins a group or commits: of the gateway, of its
/// searches, of the handlers that read a dead letter's original, and of the registry. It asks the
/// brokers about them all the same.
pub const OF_GATEWAY: &str = "millstream-gateway";
/// See [`OF_GATEWAY`].
pub const OF_SEARCHES: &str = "millstream-gateway-search";
/// See [`OF_GATEWAY`].
pub const OF_ORIGINALS: &str = "millstream-dead-letters";
/// See [`OF_GATEWAY`].
pub const OF_REGISTRY: &str = "schema-registry";

/// The group that delivers `topic` to a handler, `Service/handler`. `topic` is the declared name, also where the guard
/// stands in between.
pub fn of_handler(prefix: &str, topic: &str, handler: &str) -> String {
    format!("{prefix}.{topic}.{}", handler.replace('/', "."))
}

/// The group of a service in the batch lane. It has no members: its offsets, which tell how far the
/// topics are decided, are committed with what comes of them. Transactional ids begin with it, too.
pub fn of_lane(prefix: &str, service: &str) -> String {
    format!("{prefix}.{service}")
}

/// The group among whose members the dispatchers of such a service share out its partitions.
pub fn of_dispatchers(prefix: &str, service: &str) -> String {
    format!("{}.dispatcher", of_lane(prefix, service))
}

/// The group of the guard's relays of a foreign topic.
pub fn of_guard(prefix: &str, topic: &str) -> String {
    format!("{prefix}.{topic}.guard")
}
