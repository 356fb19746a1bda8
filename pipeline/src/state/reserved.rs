//! Names of the topics that the library itself serves.

use millstream_events::{Replies, Timers, Topic};

/// Answers to whoever waits in a handler: see [`crate::system::replies`].
pub(crate) const REPLIES: &str = <Replies as Topic>::DECLARATION.name;
/// Events that are due later, the only topic where `not_before` is honoured: see [`crate::system::timers`].
pub(crate) const TIMERS: &str = <Timers as Topic>::DECLARATION.name;
