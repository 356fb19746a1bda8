//! A pipeline of one's own: every verb of Millstream over somebody's declarations and handlers.
//!
//! ```no_run
//! # mod shop {
//! #     pub static TOPICS: &[&millstream::pipeline::events::Declaration] = &[];
//! # }
//! # use shop::TOPICS;
//! # use millstream::pipeline::service::Pipeline;
//! # fn bind(pipeline: &Pipeline) -> restate_sdk::endpoint::Builder { pipeline.endpoint() }
//! fn main() -> std::process::ExitCode {
//!     millstream::Application::new("shop", TOPICS)
//!         .handlers(|pipeline, ()| Ok(bind(pipeline)))
//!         .main()
//! }
//! ```
//!
//! The program that this makes has `dev`, `serve`, `gateway`, `plan`, `apply`, `status`, `doctor`,
//! `produce`, `tail`, `dlq` and the others; `--help` lists them. What it declares is all that it
//! knows: the topics of other projects on the same installation are not its business.
//!
//! - [`Application`]: the program.
//! - [`prelude`]: what handlers are written with.
//! - [`testing`]: a real Kafka and Restate for tests.
//! - [`scenario`]: what `demo` plays.
//! - [`StandIns`]: processes that stand in for systems outside, in a dev stack.
//! - [`pipeline`]: the library beneath.
//!
//! `millstream new NAME` writes a project with all of this in use.

// `print!` and its like panic where nothing can be written: `output` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![deny(missing_docs)]

mod access;
mod application;
mod commands;
mod identity;
mod logging;
mod output;
pub mod prelude;
mod project;
pub mod scenario;
mod settings;
pub mod shutdown;
mod stack;
mod stand_ins;
pub mod testing;

pub use application::Application;
pub use millstream_pipeline as pipeline;
pub use scenario::Scenario;
pub use stand_ins::{Place, StandIns};

/// Handlers make and drop thousands of small things a second: with the system's allocator that was a
/// sixth of their CPU.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
