//! Removing what nobody needs any more: old tokens, and prepared transactions without an owner.

use std::time::Duration;

use super::connection::{Database, DatabaseError};
use super::two_phase::{PREFIX, roll_back};

/// How often it is done.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a token is kept: longer than any attempt may have to wait for its next one.
const KEEP_TOKENS_DAYS: i32 = 30;
/// When a prepared transaction is taken for one that nobody will commit. An owner commits within
/// seconds; it loses nothing when it comes later, since it prepares again.
const ABANDONED: Duration = Duration::from_secs(600);

impl Database {
    /// Tidies up every minute, for ever. Several processes may do so at once.
    pub async fn keep_tidy(&self) {
        loop {
            if let Err(error) = self.tidy(ABANDONED).await {
                tracing::warn!(error, "the database could not be tidied up");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Removes tokens of 30 days ago and rolls back our transactions that were prepared longer ago
    /// than `abandoned`; how many. The error is a sentence for people.
    pub async fn tidy(&self, abandoned: Duration) -> Result<usize, String> {
        let tidied = self.remove_old(abandoned).await;
        tidied.map_err(|error| error.to_string())
    }

    async fn remove_old(&self, abandoned: Duration) -> Result<usize, DatabaseError> {
        let client = self.client().await?;
        let delete = "DELETE FROM millstream.applied WHERE at < now() - make_interval(days => $1)";
        client.execute(delete, &[&KEEP_TOKENS_DAYS]).await?;
        let select = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() \
                      AND starts_with(gid, $1) AND prepared <= now() - make_interval(secs => $2)";
        let found = client
            .query(select, &[&PREFIX, &abandoned.as_secs_f64()])
            .await?;
        drop(client);
        for row in &found {
            let name: String = row.get(0);
            tracing::warn!(
                name,
                "rolling back a prepared transaction that nobody committed"
            );
            roll_back(self.clone(), name).await?;
        }
        Ok(found.len())
    }
}
