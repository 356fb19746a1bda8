//! A service whose results show whether an event was lost, doubled, swapped or made up.
//!
//! The ledger counts the entries of a key and keeps a chain of digests over their event ids, and
//! puts both into every result: one wrong event changes all later results of its key. The
//! generator numbers its events per key, so that the checker needs little memory for a million.

#[expect(clippy::large_enum_variant, reason = "generated")]
#[allow(unfulfilled_lint_expectations)]
pub mod catalogue {
    //! The generated types.
    include!(concat!(env!("OUT_DIR"), "/millstream.rs"));
}

mod careless;
pub mod checker;
pub mod event;
pub mod generator;
mod numbers;
pub mod pace;
pub mod serve;
mod service;
pub mod watch;
