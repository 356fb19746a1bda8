//! Who may do what: requests to the handlers, and events on topics.

mod forged;
mod owned;
mod proofs;
