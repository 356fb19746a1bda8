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

use millstream_pipeline::service::Pipeline;
use serde::{Deserialize, Serialize};

pub use connection::{Database, InvalidUrl};
pub use credits::UserCredits;
pub use refusal::{DATABASE_UNAVAILABLE, UNKNOWN_USER, USER_CONTENDED, USER_EXISTS};
pub use users::UserDatabase;

/// Where the database is.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Connection URL of the Postgres that database keeps users in
    #[arg(
        long,
        env = "MILLSTREAM_POSTGRES",
        value_name = "URL",
        hide_env_values = true
    )]
    pub postgres: Option<String>,
}

impl Settings {
    /// The database that is named, or the one of the dev stack that `pipeline` belongs to; kept tidy
    /// from now on by a task of the current runtime.
    pub fn open(&self, pipeline: &Pipeline) -> Result<Option<Database>, InvalidUrl> {
        let of_stack = pipeline.endpoints().postgres.as_ref();
        // An empty variable says that there is none.
        let url = self.postgres.as_ref().or(of_stack);
        let database = url
            .filter(|url| !url.is_empty())
            .map(|url| Database::new(url))
            .transpose()?;
        if let Some(database) = database.clone() {
            tokio::spawn(async move { database.keep_tidy().await });
        }
        Ok(database)
    }
}

/// The objects keep nothing of their own: the database does.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nothing {}
