//! Numbered changes of the database's tables, each made once, in order.

use deadpool_postgres::Client;

/// Name and SQL; the first has number 1. What is released is never edited: a change is a new one.
const MIGRATIONS: [(&str, &str); 1] = [("users", include_str!("migrations/0001_users.sql"))];

/// Replicas that start at once wait for each other; the number is any that nobody else uses.
const BEGIN: &str = "
    SELECT pg_advisory_xact_lock(7810772135);
    CREATE SCHEMA IF NOT EXISTS millstream;
    CREATE TABLE IF NOT EXISTS millstream.migrations (
        number integer PRIMARY KEY,
        name text NOT NULL,
        at timestamptz NOT NULL DEFAULT now()
    )";

/// Makes those that were not made yet, all or none. Those of a later version are left alone.
pub async fn migrate(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(BEGIN).await?;
    let last = "SELECT coalesce(max(number), 0) FROM millstream.migrations";
    let last: i32 = transaction.query_one(last, &[]).await?.get(0);
    for (number, (name, sql)) in (1..).zip(MIGRATIONS) {
        if number > last {
            transaction.batch_execute(sql).await?;
            let made = "INSERT INTO millstream.migrations (number, name) VALUES ($1, $2)";
            transaction.execute(made, &[&number, &name]).await?;
            tracing::info!(number, name, "database migrated");
        }
    }
    transaction.commit().await
}
