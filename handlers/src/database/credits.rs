//! Adding to a user's credits. Adding is not harmless to repeat, and an attempt may end after the
//! database did it and before the journal knows. Four ways to deal with that:
//!
//! | mode | a repeated attempt | costs |
//! |---|---|---|
//! | at least once | adds again | one statement |
//! | conditional | finds the row's version changed, and its own mark | a read, and a try again when others write the row |
//! | idempotency key | finds its token | a row for each event, kept for 30 days |
//! | two-phase commit | finds its prepared transaction, or its token | as before, two journaled steps, and a lock on the row in between |

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::StepResult;
use millstream_schemas::db_credits::{AddCredits, AddMode, CreditsAdded};
use millstream_topics::{DbCredits, TOPICS};
use restate_sdk::prelude::*;
use tokio_postgres::GenericClient;

use super::connection::{Database, DatabaseError};
use super::refusal::{Refusal, Tries, USER_CONTENDED, no_database, once};
use super::{Nothing, two_phase};

/// How often a row that others write at the same time is read anew.
const MAX_READS: usize = 20;

/// The service. Its key is the user id.
pub struct UserCredits {
    service: Service,
    database: Option<Database>,
}

/// One addition.
#[derive(Debug, Clone)]
pub(super) struct Addition {
    pub user: String,
    /// Names the event, and nothing else that is done to this user.
    pub token: String,
    pub amount: i64,
}

impl UserCredits {
    /// The service on `pipeline`; without a database it says so.
    pub fn new(pipeline: &Pipeline, database: Option<Database>) -> Self {
        Self {
            service: pipeline.service(service_name!(UserCredits in TOPICS)),
            database,
        }
    }

    /// Adds; what the user has then.
    async fn add(&self, ctx: &ObjectContext<'_>, event: &AddCredits, id: &str) -> StepResult<i64> {
        let database = self.database.clone().ok_or_else(no_database)?;
        let amount = checked(event.amount)?;
        let addition = Addition {
            user: ctx.key().to_owned(),
            token: format!("UserCredits/{id}"),
            amount,
        };
        match event.mode {
            AddMode::AtLeastOnce => {
                let work = add_plainly(database, addition);
                once(ctx, "add", Tries::Unlimited, work).await
            }
            AddMode::Conditional => conditional(ctx, &database, &addition).await,
            AddMode::IdempotencyKey => {
                let work = add_with_token(database, addition);
                once(ctx, "add", Tries::Unlimited, work).await
            }
            AddMode::TwoPhaseCommit => two_phase::add(ctx, &database, &addition).await,
        }
    }
}

fn checked(amount: i64) -> Result<i64, Failure> {
    match amount {
        1.. => Ok(amount),
        _ => Err(Failure::invalid_request(
            "amount is not positive; add one or more",
        )),
    }
}

async fn add_plainly(database: Database, addition: Addition) -> Result<i64, DatabaseError> {
    let client = database.client().await?;
    update(&**client, &addition).await
}

/// Adds; what the user has then.
async fn update(client: &impl GenericClient, addition: &Addition) -> Result<i64, DatabaseError> {
    let update = "UPDATE millstream.users SET credits = credits + $2, version = version + 1 \
                  WHERE id = $1 RETURNING credits";
    let row = client
        .query_opt(update, &[&addition.user, &addition.amount])
        .await?;
    let row = row.ok_or(DatabaseError::Refused(Refusal::UnknownUser))?;
    Ok(row.get(0))
}

/// Reads the row's version, journals it, and adds if the row still has it. The version never comes
/// back, so no late attempt can add on top of another one.
async fn conditional(
    ctx: &ObjectContext<'_>,
    database: &Database,
    addition: &Addition,
) -> StepResult<i64> {
    for _ in 0..MAX_READS {
        let read = read_version(database.clone(), addition.user.clone());
        let version = once(ctx, "read version", Tries::Limited, read).await?;
        let work = add_at_version(database.clone(), addition.clone(), version);
        if let Some(credits) = once(ctx, "add at version", Tries::Unlimited, work).await? {
            return Ok(credits);
        }
    }
    Err(Failure::passing(
        USER_CONTENDED,
        format!("others changed the row {MAX_READS} times in between; send the event again"),
    )
    .into())
}

async fn read_version(database: Database, user: String) -> Result<i64, DatabaseError> {
    let client = database.client().await?;
    let select = "SELECT version FROM millstream.users WHERE id = $1";
    let row = client.query_opt(select, &[&user]).await?;
    let row = row.ok_or(DatabaseError::Refused(Refusal::UnknownUser))?;
    Ok(row.get(0))
}

/// `None`: somebody else has changed the row. If it was an earlier attempt of ours, its mark is
/// there, also when others have changed the row since: only additions of this mode set it, and
/// those of one user come one after the other.
async fn add_at_version(
    database: Database,
    addition: Addition,
    version: i64,
) -> Result<Option<i64>, DatabaseError> {
    let Addition {
        user,
        token,
        amount,
    } = addition;
    let client = database.client().await?;
    let update = "UPDATE millstream.users \
                  SET credits = credits + $2, version = version + 1, credited_by = $3 \
                  WHERE id = $1 AND version = $4 RETURNING credits";
    let updated = client
        .query_opt(update, &[&user, &amount, &token, &version])
        .await?;
    if let Some(row) = updated {
        return Ok(Some(row.get(0)));
    }
    let select = "SELECT credits, credited_by FROM millstream.users WHERE id = $1";
    let row = client.query_opt(select, &[&user]).await?;
    let row = row.ok_or(DatabaseError::Refused(Refusal::UnknownUser))?;
    let is_ours = row.get::<_, Option<String>>(1) == Some(token);
    Ok(is_ours.then(|| row.get(0)))
}

async fn add_with_token(database: Database, addition: Addition) -> Result<i64, DatabaseError> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let added = add_once(&*transaction, &addition).await?;
    transaction.commit().await?;
    Ok(match added {
        Added::Now(credits) | Added::Before(credits) => credits,
    })
}

/// Whether an addition was made now or by an earlier attempt; what the user had then.
pub(super) enum Added {
    Now(i64),
    Before(i64),
}

/// Adds in a transaction that holds the token too. Whoever comes second waits for the first one's
/// end and finds its token.
pub(super) async fn add_once(
    transaction: &impl GenericClient,
    addition: &Addition,
) -> Result<Added, DatabaseError> {
    let Addition { user, token, .. } = addition;
    let apply = "INSERT INTO millstream.applied (user_id, token, credits) VALUES ($1, $2, 0) \
                 ON CONFLICT DO NOTHING";
    if transaction.execute(apply, &[user, token]).await? == 0 {
        let select = "SELECT credits FROM millstream.applied WHERE user_id = $1 AND token = $2";
        let row = transaction.query_one(select, &[user, token]).await?;
        return Ok(Added::Before(row.get(0)));
    }
    let credits = update(transaction, addition).await?;
    let note = "UPDATE millstream.applied SET credits = $3 WHERE user_id = $1 AND token = $2";
    transaction.execute(note, &[user, token, &credits]).await?;
    Ok(Added::Now(credits))
}

#[restate_sdk::object]
impl UserCredits {
    /// Handles `db-credits`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<DbCredits, Nothing>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        let added = self.add(&ctx, &turn.event, &turn.meta().id).await;
        turn.finish(added.map(|credits| CreditsAdded { credits }))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_something_can_be_added() {
        assert_eq!(checked(1), Ok(1));
        for nothing in [0, -1, i64::MIN] {
            assert_eq!(checked(nothing).unwrap_err().code, "invalid-request");
        }
    }
}
