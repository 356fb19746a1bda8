//! The journey of a request: what the topics, Restate and the dead letters know of it, as one tree.
//!
//! - [`journey`]: what is found, as data.
//! - [`tree`]: from records to that, as a pure function.
//! - [`search`]: reads topics in parallel, for what is [`wanted`]; what is [`found`] belongs to a request.
//! - [`restate`], [`turns`] and [`delivery`]: where it waits, and what is still to come.
//! - [`follower`]: all of that, for what is [`asked`].
//! - [`hidden`]: what is shown to nobody, here and by others who show records.

// `print!` and its like panic where nothing can be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod asked;
mod begin;
mod content;
mod decode;
pub mod delivery;
pub mod follower;
pub mod found;
pub mod hidden;
pub mod journey;
pub mod restate;
pub mod search;
pub mod tree;
mod turns;
pub mod wanted;

pub use asked::Asked;
pub use follower::{FollowError, Follower, Options};
pub use journey::Journey;
pub use tree::Roles;
