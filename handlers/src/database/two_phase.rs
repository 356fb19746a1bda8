//! Adding by two-phase commit: the change is prepared in the database, that it is prepared is
//! journaled, and only then it is committed.
//!
//! A prepared transaction survives the connection and the server. Its name is made from the event,
//! so a repeated attempt finds it. Postgres forgets the name at the end of the transaction: an
//! attempt that was cut off could prepare the same change again, and "no such transaction" does not
//! tell committed from rolled back. So the transaction also holds the token of the event, which
//! nobody can write twice. With it a prepared transaction may be rolled back at any time by
//! anybody: its owner finds no token and prepares again. That makes [`super::tidy`] safe.

use millstream_pipeline::failure::CANCELLED;
use millstream_pipeline::record::digest::{digest, hex};
use millstream_pipeline::steps::{StepError, StepResult};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;

use super::connection::{Database, DatabaseError};
use super::credits::{Added, Addition, add_once};
use super::refusal::{Refusal, Tries, once};

/// What the names of our prepared transactions begin with.
pub(super) const PREFIX: &str = "millstream-";

/// What came of preparing; what the user has when it is committed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Prepared {
    Waiting(i64),
    Committed(i64),
}

/// Adds; what the user has then.
pub(super) async fn add(
    ctx: &ObjectContext<'_>,
    database: &Database,
    addition: &Addition,
) -> StepResult<i64> {
    let name = name_of(addition);
    loop {
        let work = prepare(database.clone(), addition.clone(), name.clone());
        let credits = match once(ctx, "prepare", Tries::Unlimited, work).await {
            Ok(Prepared::Waiting(credits)) => credits,
            Ok(Prepared::Committed(credits)) => return Ok(credits),
            Err(error) => {
                if is_cancelled(&error) {
                    let work = roll_back(database.clone(), name.clone());
                    once(ctx, "roll back", Tries::Unlimited, work).await?;
                }
                return Err(error);
            }
        };
        loop {
            let work = commit(database.clone(), addition.clone(), name.clone());
            match once(ctx, "commit", Tries::Unlimited, work).await {
                Ok(true) => return Ok(credits),
                Ok(false) => break,
                // It may be committed already: too late.
                Err(error) if is_cancelled(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_cancelled(error: &StepError) -> bool {
    matches!(error, StepError::Failed(failure) if failure.code == CANCELLED)
}

/// Letters and digits, since the name cannot be a parameter of a statement.
fn name_of(addition: &Addition) -> String {
    let digest = digest(&[addition.user.as_bytes(), addition.token.as_bytes()]);
    format!("{PREFIX}{}", hex::<16>(&digest))
}

async fn prepare(
    database: Database,
    addition: Addition,
    name: String,
) -> Result<Prepared, DatabaseError> {
    let mut client = database.client().await?;
    // Its row is locked: what others see of it is what it was before.
    let select = "SELECT users.credits + $3 FROM millstream.users, pg_prepared_xacts \
                  WHERE users.id = $1 AND gid = $2 AND database = current_database()";
    let waiting = client
        .query_opt(select, &[&addition.user, &name, &addition.amount])
        .await?;
    if let Some(row) = waiting {
        return Ok(Prepared::Waiting(row.get(0)));
    }
    let transaction = tokio_postgres::Client::transaction(&mut client).await?;
    match add_once(&transaction, &addition).await? {
        Added::Before(credits) => Ok(Prepared::Committed(credits)),
        Added::Now(credits) => {
            let prepare = format!("PREPARE TRANSACTION '{name}'");
            let prepared = transaction.batch_execute(&prepare).await;
            prepared.map_err(|error| match error.code() {
                Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
                    DatabaseError::Refused(Refusal::NothingIsPrepared)
                }
                _ => error.into(),
            })?;
            // The connection has no transaction any more that dropping this would roll back.
            std::mem::forget(transaction);
            Ok(Prepared::Waiting(credits))
        }
    }
}

/// Whether it is committed, now or before; if not, it was rolled back.
async fn commit(
    database: Database,
    addition: Addition,
    name: String,
) -> Result<bool, DatabaseError> {
    let client = database.client().await?;
    match client
        .batch_execute(&format!("COMMIT PREPARED '{name}'"))
        .await
    {
        Ok(()) => return Ok(true),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {}
        Err(error) => return Err(error.into()),
    }
    let select = "SELECT FROM millstream.applied WHERE user_id = $1 AND token = $2";
    let token = client
        .query_opt(select, &[&addition.user, &addition.token])
        .await?;
    Ok(token.is_some())
}

/// Rolls a prepared transaction back, if it is there.
pub(super) async fn roll_back(database: Database, name: String) -> Result<(), DatabaseError> {
    let client = database.client().await?;
    match client
        .batch_execute(&format!("ROLLBACK PREPARED '{name}'"))
        .await
    {
        Err(error) if error.code() != Some(&SqlState::UNDEFINED_OBJECT) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_of_each_user_has_a_name_of_its_own() {
        let name = |user: &str, token: &str| {
            name_of(&Addition {
                user: user.into(),
                token: token.into(),
                amount: 1,
            })
        };
        assert_eq!(name("a", "1"), name("a", "1"));
        assert_ne!(name("a", "1"), name("b", "1"));
        assert_ne!(name("a'; --", "11"), name("a'; --1", "1"));
        let is_plain = |c: char| c == '-' || c.is_ascii_alphanumeric();
        assert!(name("a'; --", "\0").chars().all(is_plain));
    }
}
