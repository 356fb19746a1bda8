//! Why the database's services refuse an event, and doing something in the database once.

use std::time::Duration;

use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::steps::{StepError, StepResult};
use restate_sdk::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::connection::{DatabaseError, attempt};

/// There is no such user.
pub const UNKNOWN_USER: &str = "unknown-user";
/// The user is there with other data.
pub const USER_EXISTS: &str = "user-exists";
/// Others kept changing the row.
pub const USER_CONTENDED: &str = "user-contended";
/// The handlers have no database, or it did not answer for as long as we are willing to try.
pub const DATABASE_UNAVAILABLE: &str = "database-unavailable";

/// Tries of what changes nothing before it is given up, about ten minutes.
const MAX_TRIES: u32 = 128;

/// A refusal, as it is journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    UnknownUser,
    UserExists,
    /// A value that the database does not take, in its words.
    Unacceptable(String),
    /// The server is set up without prepared transactions.
    NothingIsPrepared,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownUser => Self::new(UNKNOWN_USER, "insert the user first"),
            Refusal::UserExists => Self::new(
                USER_EXISTS,
                "the user is there with other data; update it instead",
            ),
            Refusal::Unacceptable(why) => {
                Self::invalid_request(format!("the database does not take this: {why}"))
            }
            Refusal::NothingIsPrepared => Self::passing(
                DATABASE_UNAVAILABLE,
                "the database has no prepared transactions; set max_prepared_transactions, or use another mode",
            ),
        }
    }
}

/// What is answered while the handlers have no database.
pub(super) fn no_database() -> Failure {
    Failure::passing(
        DATABASE_UNAVAILABLE,
        "the handlers run without a database; start them with --postgres",
    )
}

/// How long something is tried while the database is away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tries {
    /// It changes nothing, so giving up is the truth: about ten minutes.
    Limited,
    /// It may have changed something before the connection broke. Whoever was told that it failed
    /// would send it again; so it is tried until the database says what became of it.
    Unlimited,
}

/// Does something in the database, journals what came of it, and never does it again.
pub(super) async fn once<'c, T: Serialize + DeserializeOwned + 'static>(
    ctx: &ObjectContext<'c>,
    name: &'static str,
    tries: Tries,
    work: impl Future<Output = Result<T, DatabaseError>> + Send + 'c,
) -> StepResult<T> {
    let policy = RunRetryPolicy::new()
        .initial_delay(Duration::from_millis(100))
        .exponentiation_factor(2.0)
        .max_delay(Duration::from_secs(5));
    let policy = match tries {
        Tries::Limited => policy.max_attempts(MAX_TRIES),
        Tries::Unlimited => policy,
    };
    let done = ctx
        .run(async move || attempt(work).await.map(Json))
        .name(name)
        .retry_policy(policy);
    match done.await {
        Ok(Json(outcome)) => outcome.map_err(|refusal| StepError::Failed(refusal.into())),
        Err(error) if error.code() == 409 => Err(StepError::Failed(Failure::new(
            failure::CANCELLED,
            format!("cancelled during `{name}`, which may have been carried out; read the user"),
        ))),
        Err(error) => Err(StepError::Failed(Failure::passing(
            DATABASE_UNAVAILABLE,
            format!(
                "tried {MAX_TRIES} times ({}); send it again",
                error.message()
            ),
        ))),
    }
}
