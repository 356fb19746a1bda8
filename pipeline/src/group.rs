//! Names of consumer groups. What a group has read hangs on its name, so each is made in one place.

/// The group that delivers `topic` to a handler, `Service/handler`. `topic` is the declared name, also where the guard
/// stands in between.
pub fn of_handler(prefix: &str, topic: &str, handler: &str) -> String {
    format!("{prefix}.{topic}.{}", handler.replace('/', "."))
}

/// The group of the guard's relays of a foreign topic.
pub fn of_guard(prefix: &str, topic: &str) -> String {
    format!("{prefix}.{topic}.guard")
}
