//! The way to the database: a pool of connections, time-outs, and what an error means.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use restate_sdk::prelude::*;
use tokio::sync::OnceCell;
use tokio_postgres::{Config, NoTls};

use super::migrations::migrate;
use super::refusal::Refusal;

/// Connections of one process.
const CONNECTIONS: usize = 16;
/// How long one attempt may take, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(10);
/// The server's own limits: of one statement, of waiting for another's row, of a transaction that
/// somebody stopped in the middle.
const SERVER_LIMITS: &str = "-c statement_timeout=5s -c lock_timeout=1s \
                             -c idle_in_transaction_session_timeout=10s";

/// A Postgres database. Nothing is contacted before the first event needs it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    migrated: OnceCell<()>,
}

/// The connection URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a connection URL of Postgres ({0}); it looks like postgresql://user:password@host:5432/database"
)]
pub struct InvalidUrl(String);

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    /// The event itself is to blame: another attempt would end the same.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// No connection.
    #[error("no connection to the database: {0}")]
    Connection(#[from] PoolError),
    /// A statement failed.
    #[error("the database: {0}")]
    Statement(#[from] tokio_postgres::Error),
    /// The server stands still, or its machine is gone.
    #[error("the database does not answer within {} s", LIMIT.as_secs())]
    TimedOut,
}

impl Database {
    /// The database at this connection URL (`postgresql://user:password@host:port/database`).
    /// Connections are not encrypted.
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let invalid = |error: &dyn std::fmt::Display| InvalidUrl(error.to_string());
        let mut config: Config = url.parse().map_err(|error| invalid(&error))?;
        let options = config.get_options().unwrap_or_default();
        let options = format!("{SERVER_LIMITS} {options}");
        config.options(options).connect_timeout(LIMIT / 2);
        if config.get_application_name().is_none() {
            config.application_name("millstream");
        }
        // A connection that the server closed, by a restart for example, is noticed before it is
        // used.
        let manager = ManagerConfig {
            recycling_method: RecyclingMethod::Verified,
        };
        let pool = Pool::builder(Manager::from_config(config, NoTls, manager))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(LIMIT / 2))
            .create_timeout(Some(LIMIT / 2))
            .recycle_timeout(Some(LIMIT / 5))
            .build()
            .map_err(|error| invalid(&error))?;
        let migrated = OnceCell::new();
        Ok(Self(Arc::new(Shared { pool, migrated })))
    }

    /// A connection to a database with all migrations made.
    pub(super) async fn client(&self) -> Result<Client, DatabaseError> {
        let mut client = self.0.pool.get().await?;
        let migrated = &self.0.migrated;
        migrated.get_or_try_init(|| migrate(&mut client)).await?;
        Ok(client)
    }
}

/// One attempt: its result, or why it is refused. Everything else is the database's trouble and an
/// error, so that Restate tries again.
pub(super) async fn attempt<T>(
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> HandlerResult<Result<T, Refusal>> {
    let outcome = tokio::time::timeout(LIMIT, work).await;
    match outcome.unwrap_or(Err(DatabaseError::TimedOut)) {
        Ok(result) => Ok(Ok(result)),
        Err(DatabaseError::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => match refused_value(&error) {
            Some(refusal) => Ok(Err(refusal)),
            None => {
                tracing::warn!(%error, "the database failed; trying again");
                Err(error.into())
            }
        },
    }
}

/// What the database says of the values that it was given: they do not fit their columns (class
/// 22), break a constraint (23) or exceed a size (54).
fn refused_value(error: &DatabaseError) -> Option<Refusal> {
    let DatabaseError::Statement(error) = error else {
        return None;
    };
    let error = error.as_db_error()?;
    let class = error.code().code().get(..2)?;
    matches!(class, "22" | "23" | "54").then(|| Refusal::Unacceptable(error.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_at_once() {
        Database::new("postgresql://millstream@127.0.0.1:5432/postgres").unwrap();
        let error = Database::new("http://127.0.0.1").unwrap_err();
        assert!(error.to_string().contains("postgresql://"), "{error}");
    }

    #[tokio::test]
    async fn no_server_is_no_fault_of_the_event() {
        let database = Database::new("postgresql://millstream@127.0.0.1:1/postgres").unwrap();
        assert!(attempt(database.client()).await.is_err());
    }
}
