//! What the author of a handler needs, with one `use`.
//!
//! ```
//! use millstream::prelude::*;
//!
//! /// The service: its key is the account.
//! struct Accounts(Service);
//!
//! /// The decision, a plain function.
//! fn withdraw(balance: &mut i64, cents: i64) -> Result<i64, Failure> {
//!     if cents > *balance {
//!         return Err(Failure::new("insufficient-funds", "there is not enough money"));
//!     }
//!     *balance -= cents;
//!     Ok(*balance)
//! }
//! # let _ = Accounts;
//! # assert!(withdraw(&mut 5, 6).is_err());
//! ```
//!
//! The crate `restate-sdk` must be a dependency of its own, because the macros name it:
//! `#[restate_sdk::object]`, `#[restate_sdk::workflow]`, `#[restate_sdk::service]`. So must `serde`,
//! for the state.

pub use bytes::Bytes;
pub use millstream_pipeline::events::{EventMeta, RequestFailed, Topic};
pub use millstream_pipeline::failure::Failure;
pub use millstream_pipeline::lane::decider::Decider;
pub use millstream_pipeline::lane::keyed::Turn;
pub use millstream_pipeline::lane::stateless::SharedTurn;
pub use millstream_pipeline::lane::workflow::Flow;
pub use millstream_pipeline::process::outputs::{Outputs, ReturnAddress};
pub use millstream_pipeline::service::{Pipeline, Service};
pub use millstream_pipeline::service_name;
pub use millstream_pipeline::state::State;
pub use millstream_pipeline::steps::compensations::Compensations;
pub use millstream_pipeline::steps::requests::{Asked, Requests};
pub use millstream_pipeline::steps::{StepError, StepResult, Steps};
pub use restate_sdk::prelude::*;
