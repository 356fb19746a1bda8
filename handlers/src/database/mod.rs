//! Databases: rows of users in Postgres, read and written by events.
//!
//! Everything that is done in the database is an effect outside: it may happen and the process die
//! before Restate knows. What is read is journaled where an answer must not change with the row
//! (`DurableReadUser`); what is written is written so that repeating it is harmless, or, where it is
//! not, in one of the four ways of [`credits`].
//!
//! While the database is away, only events of these services wait, each for its own key.
//!
//! Without a database the services answer [`DATABASE_UNAVAILABLE`].

mod connection;
mod credits;
mod migrations;
mod refusal;
mod tidy;
mod two_phase;
mod users;

use serde::{Deserialize, Serialize};

pub use connection::{Database, InvalidUrl};
pub use credits::UserCredits;
pub use refusal::{DATABASE_UNAVAILABLE, UNKNOWN_USER, USER_CONTENDED, USER_EXISTS};
pub use users::UserDatabase;

/// The objects keep nothing of their own: the database does.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nothing {}
