//! The journey of a request: what the topics, Restate and the dead letters know of it, as one tree.
//!
//! - [`journey`]: what is found, as data.

pub mod journey;
