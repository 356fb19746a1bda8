//! Who sends a request.

/// The identity that a request is made under. Event ids and request ids are bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(Option<String>);

impl Principal {
    /// Nobody in particular: the gateway does not ask who sends.
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// An authenticated identity; not empty.
    #[cfg_attr(not(test), expect(dead_code, reason = "nobody is authenticated yet"))]
    pub fn named(name: impl Into<String>) -> Self {
        Self(Some(name.into()).filter(|name| !name.is_empty()))
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
