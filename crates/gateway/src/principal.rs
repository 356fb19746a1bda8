//! Who sends a request.

/// The identity that a request is made under. Event ids and request ids are bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(Option<String>);

/// What the principals of webhooks begin with; nobody else's may.
const WEBHOOK: &str = "webhook:";

/// See [`is_allowed`].
pub const RULE: &str =
    "a name has 1 to 255 letters, no control characters, and does not begin with `webhook:`";

/// Whether a key or token may give this name to somebody.
pub fn is_allowed(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.chars().any(char::is_control)
        && !name.starts_with(WEBHOOK)
}

impl Principal {
    /// Nobody in particular: the gateway does not ask who sends.
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// An authenticated identity; not empty.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Some(name.into()).filter(|name| !name.is_empty()))
    }

    /// The provider that sends a topic's webhooks.
    pub fn webhook(topic: &str) -> Self {
        Self(Some(format!("{WEBHOOK}{topic}")))
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// What digests are made of.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.name().unwrap_or_default().as_bytes()
    }
}
