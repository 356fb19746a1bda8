//! The database of a stack, by SQL.

use std::time::Duration;

use millstream_pipeline::config::Endpoints;
use tokio_postgres::{Client, NoTls};

/// A session of its own.
pub async fn connect(endpoints: &Endpoints) -> Client {
    let url = endpoints.postgres.as_ref().expect("the stack has Postgres");
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    // Ends with the client.
    tokio::spawn(connection);
    client
}

/// The credits in a user's row.
pub async fn credits(client: &Client, user: &str) -> Option<i64> {
    let select = "SELECT credits FROM millstream.users WHERE id = $1";
    let row = client.query_opt(select, &[&user]).await.unwrap();
    row.map(|row| row.get(0))
}

/// How many transactions are prepared and not finished.
pub async fn prepared(client: &Client) -> i64 {
    let count = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";
    client.query_one(count, &[]).await.unwrap().get(0)
}

/// Rolls back what is prepared, again and again, until it is dropped.
pub fn keep_rolling_back(endpoints: &Endpoints) -> tokio_util::sync::DropGuard {
    let url = endpoints.postgres.as_ref().expect("the stack has Postgres");
    let database = millstream_handlers::database::Database::new(url).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let sweep = async move {
        loop {
            // Postgres is away at times.
            let _ = database.tidy(Duration::ZERO).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(sweep));
    stop.drop_guard()
}
