//! What the tests stand on: a running stack, a client, and waiting for conditions.

mod bench;
pub mod command;
pub mod directory;
pub mod leased;
pub mod network;
mod own;
pub mod postgres;
mod raw;
mod shared;
pub mod sql;
pub mod stripe;
pub mod tls;
pub mod watch;

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_topics::TOPICS;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

pub use bench::{At, Bench, failure, letter_code, query, texts};
pub use own::{OwnStack, own_stack_permit};
pub use raw::Raw;
pub use shared::{endpoints, stack_folder};

/// How long anything may take before a test fails. Machines under load are slow.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A name that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("{name}-{}", &id[id.len() - 12..])
}

/// Runs what outlives the test that began it: a test's own runtime ends with it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What makes a broker that lives for minutes compile itself less: that takes more of the processors than
/// the tests' records do.
pub const BROKER: (&str, &str) = ("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1");

/// Waits until no other test sends hundreds of events one behind the other: beside each other each would
/// take as long as all.
pub async fn many_events_permit() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    ONE_AT_A_TIME.lock().await
}

/// The client of the shared stack, which all tests have in common: it follows some hundred partitions.
pub async fn client() -> Arc<Client> {
    static SHARED: OnceCell<Arc<Client>> = OnceCell::const_new();
    let start = async || {
        let client = RUNTIME.spawn(Client::new(endpoints(), TOPICS, "test"));
        Arc::new(client.await.unwrap().unwrap())
    };
    Arc::clone(SHARED.get_or_init(start).await)
}

/// A client of any stack.
pub async fn client_of(endpoints: &Endpoints) -> Arc<Client> {
    if shared::are_shared(endpoints) {
        return client().await;
    }
    Arc::new(Client::new(endpoints, TOPICS, "test").await.unwrap())
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
