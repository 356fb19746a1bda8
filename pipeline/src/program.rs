//! The name of this program: messages say by it what to run next.

use std::sync::OnceLock;

static NAME: OnceLock<&'static str> = OnceLock::new();

/// Says what this program is called. What was said first stays.
pub fn set_name(name: &'static str) {
    let _ = NAME.set(name);
}

/// What it is called: `millstream`, unless somebody said otherwise.
pub fn name() -> &'static str {
    NAME.get().copied().unwrap_or("millstream")
}
