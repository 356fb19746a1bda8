//! What the tests stand on: a running stack, a client, and waiting for conditions.

mod bench;
pub mod command;
pub mod directory;
pub mod network;
mod own;
pub mod postgres;
mod shared;
pub mod sql;
pub mod stripe;
pub mod tls;
pub mod watch;

use std::future::Future;
use std::time::{Duration, Instant};

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_topics::TOPICS;

pub use bench::{At, Bench, failure, letter_code, query, texts};
pub use own::{OwnStack, own_stack_permit};
pub use shared::{endpoints, stack_folder};

/// How long anything may take before a test fails. Machines under load are slow.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A name that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("{name}-{}", &id[id.len() - 12..])
}

/// A client of the shared stack.
pub async fn client() -> Client {
    client_of(endpoints()).await
}

/// A client of any stack.
pub async fn client_of(endpoints: &Endpoints) -> Client {
    Client::new(endpoints, TOPICS, "test").await.unwrap()
}

/// Waits until `check` yields something, and says `what` was waited for if it never does.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        // A check may hang: Restate's admin API does while no broker answers.
        let checked = tokio::time::timeout(LIMIT, check()).await;
        if let Some(found) = checked.unwrap_or_else(|_| panic!("{what}: the check hangs")) {
            return found;
        }
        assert!(
            started.elapsed() < LIMIT,
            "{what} has not come within {LIMIT:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
