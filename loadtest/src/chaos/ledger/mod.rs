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

    /// The topics without the library's, which are the business of the catalogue's handlers: the
    /// suite has those beside the ledger's, under the same prefix.
    pub const OWN_TOPICS: &[&::millstream_pipeline::events::Declaration] = &[
        <Counts as ::millstream_pipeline::events::Topic>::DECLARATION,
        <Ledger as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerResults as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerResultsOnceWork as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerResultsOnceState as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerBatch as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerBatchState as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerBatchWork as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerForeign as ::millstream_pipeline::events::Topic>::DECLARATION,
        <LedgerStuck as ::millstream_pipeline::events::Topic>::DECLARATION,
    ];
}

mod careless;
pub mod checker;
pub mod event;
pub mod generator;
mod numbers;
pub mod pace;
pub mod repeats;
pub mod serve;
mod service;
pub mod watch;
