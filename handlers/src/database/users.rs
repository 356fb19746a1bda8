//! Rows of users: inserted, renamed, read.

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepError, StepResult};
use millstream_schemas::db_users::{InsertUser, UserRead, UserStored};
use millstream_topics::{DbUsers, DbUsersEvent, DbUsersResult, TOPICS};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::Nothing;
use super::connection::{Database, DatabaseError, attempt};
use super::refusal::{Refusal, Tries, no_database, once};

/// The service. Its key is the user id.
pub struct UserDatabase {
    service: Service,
    database: Option<Database>,
}

/// A row, without what only the database needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    name: String,
    address: String,
    credits: i64,
}

impl From<User> for UserStored {
    fn from(user: User) -> Self {
        let User {
            name,
            address,
            credits,
        } = user;
        Self {
            name,
            address,
            credits,
        }
    }
}

impl From<User> for UserRead {
    fn from(user: User) -> Self {
        let User {
            name,
            address,
            credits,
        } = user;
        Self {
            name,
            address,
            credits,
        }
    }
}

impl UserDatabase {
    /// The service on `pipeline`; without a database it says so.
    pub fn new(pipeline: &Pipeline, database: Option<Database>) -> Self {
        Self {
            service: pipeline.service(service_name!(UserDatabase in TOPICS)),
            database,
        }
    }

    async fn carry_out(
        &self,
        ctx: &ObjectContext<'_>,
        event: DbUsersEvent,
        id: &str,
    ) -> StepResult<DbUsersResult> {
        let database = self.database.clone().ok_or_else(no_database)?;
        let key = ctx.key().to_owned();
        match event {
            DbUsersEvent::InsertUser(insert) => {
                let user = checked(insert)?;
                let work = insert_user(database, key, user, id.to_owned());
                let stored = once(ctx, "insert", Tries::Unlimited, work).await?;
                Ok(UserStored::from(stored).into())
            }
            DbUsersEvent::UpdateUserName(update) => {
                if update.new_name.is_empty() {
                    return Err(Failure::invalid_request("new_name is empty").into());
                }
                let token = format!("UserDatabase/{id}");
                let work = rename_user(database, key, update.new_name, token);
                let stored = once(ctx, "rename", Tries::Unlimited, work).await?;
                Ok(UserStored::from(stored).into())
            }
            // Every attempt reads again, which saves the journal two entries.
            DbUsersEvent::ReadUser(_) => {
                let read = attempt(read_user(database, key)).await?;
                let read = read.map_err(|refusal| StepError::Failed(refusal.into()))?;
                Ok(UserRead::from(read).into())
            }
            DbUsersEvent::DurableReadUser(_) => {
                let work = read_user(database, key);
                let read = once(ctx, "read", Tries::Limited, work).await?;
                Ok(UserRead::from(read).into())
            }
        }
    }
}

fn checked(insert: InsertUser) -> Result<User, Failure> {
    let InsertUser {
        name,
        address,
        credits,
    } = insert;
    if name.is_empty() {
        return Err(Failure::invalid_request("name is empty"));
    }
    if credits < 0 {
        return Err(Failure::invalid_request(
            "credits are negative; begin with zero or more",
        ));
    }
    Ok(User {
        name,
        address,
        credits,
    })
}

/// Inserts the row, or finds that this event or another one with the same data did.
async fn insert_user(
    database: Database,
    key: String,
    user: User,
    event: String,
) -> Result<User, DatabaseError> {
    let client = database.client().await?;
    let insert = "INSERT INTO millstream.users (id, name, address, credits, inserted_by) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let User {
        name,
        address,
        credits,
    } = &user;
    let inserted = client
        .execute(insert, &[&key, name, address, credits, &event])
        .await?;
    if inserted == 1 {
        return Ok(user);
    }
    let select = "SELECT name, address, credits, inserted_by FROM millstream.users WHERE id = $1";
    let row = client.query_one(select, &[&key]).await?;
    let by_us = row.get::<_, Option<String>>(3) == Some(event);
    match by_us || user_of(&row) == user {
        true => Ok(user),
        false => Err(DatabaseError::Refused(Refusal::UserExists)),
    }
}

/// Sets the name, once: an attempt that Restate has given up may still be under way, and must not
/// overwrite what came after it.
async fn rename_user(
    database: Database,
    key: String,
    name: String,
    token: String,
) -> Result<User, DatabaseError> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let apply = "INSERT INTO millstream.applied (user_id, token) VALUES ($1, $2) \
                 ON CONFLICT DO NOTHING";
    if transaction.execute(apply, &[&key, &token]).await? == 1 {
        let rename = "UPDATE millstream.users SET name = $2, version = version + 1 WHERE id = $1";
        transaction.execute(rename, &[&key, &name]).await?;
    }
    let row = transaction.query_opt(SELECT, &[&key]).await?;
    let row = row.ok_or(DatabaseError::Refused(Refusal::UnknownUser))?;
    transaction.commit().await?;
    Ok(user_of(&row))
}

async fn read_user(database: Database, key: String) -> Result<User, DatabaseError> {
    let client = database.client().await?;
    let row = client.query_opt(SELECT, &[&key]).await?;
    let row = row.ok_or(DatabaseError::Refused(Refusal::UnknownUser))?;
    Ok(user_of(&row))
}

const SELECT: &str = "SELECT name, address, credits FROM millstream.users WHERE id = $1";

fn user_of(row: &Row) -> User {
    User {
        name: row.get(0),
        address: row.get(1),
        credits: row.get(2),
    }
}

#[restate_sdk::object]
impl UserDatabase {
    /// Handles `db-users`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<DbUsers, Nothing>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        if let DbUsersEvent::ReadUser(_) = &turn.event {
            // An attempt that is cut off between its answer and its end is answered again, with the
            // row as it is then. The first answer counts.
            turn.without_seq();
        }
        let result = self
            .carry_out(&ctx, turn.event.clone(), &turn.meta().id)
            .await;
        turn.finish(result).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(name: &str, credits: i64) -> InsertUser {
        InsertUser {
            name: name.into(),
            address: String::new(),
            credits,
        }
    }

    #[test]
    fn a_user_has_a_name_and_no_debts() {
        assert_eq!(checked(insert("Emm", 0)).unwrap().name, "Emm");
        for bad in [insert("", 1), insert("Emm", -1)] {
            assert_eq!(checked(bad).unwrap_err().code, "invalid-request");
        }
    }
}
