//! The guard: a relay between a topic whose producers are not ours and the topic that handlers are
//! subscribed to.
//!
//! ```text
//! <topic>  ─ check key ─ check value ─┬─ <topic>-guarded ─ subscription ─ handler
//!                                     └─ <topic>-dlq
//! ```
//!
//! Restate stops a whole subscription at a key that is not UTF-8. So of a topic that is declared
//! `guard = true` handlers see only what the guard lets through: records whose key is text that is
//! not empty, and whose value is a declared event. All else is kept as a dead letter. One exception:
//! a command whose `meta` can be read is let through even if its body cannot, because only its
//! handler can answer it; the handler then keeps it as a dead letter. Where the topic's file says
//! `tombstones = "skip"`, records with a null value come out nowhere.
//!
//! What it guarantees: every other record comes out once and in order, for readers of committed records,
//! also if relays are killed or partitions move between them. Outputs and offsets are committed in
//! one transaction; a relay that has lost its partitions cannot commit. A record that is let through
//! has its value, headers and timestamp as they were, and headers that say where it stood
//! ([`headers`]).
//!
//! While the registry cannot be asked the guard waits. A kill leaves a transaction open that holds
//! up readers until the broker aborts it (10 to 20 s), or until a relay of the same instance name
//! takes over, which ends it at once.

mod check;
mod group;
mod relay;

use std::sync::Arc;

use futures::future::join_all;
use millstream_events::Declaration;
use tokio_util::sync::CancellationToken;

use millstream_pipeline::codec::{Codec, RegistryError};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka;
use millstream_pipeline::observe::metrics::{Known, Program, metrics};
use millstream_pipeline::service::DEFAULT_PREFIX;

pub use millstream_pipeline::record::relayed as headers;

/// What an installation decides for itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prefix of the consumer groups.
    pub prefix: String,
    /// Name of this process, different from that of every other one that runs at the same time. One
    /// that stays the same when the process is started again recovers fastest.
    pub instance: String,
}

impl Default for Settings {
    /// The usual prefix, and an instance of its own.
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.into(),
            instance: uuid::Uuid::now_v7().to_string(),
        }
    }
}

/// Why the guard cannot run.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// There is nothing to do.
    #[error("no topic is declared with `guard = true`; declare one, or do without the guard")]
    NothingGuarded,
    /// The address of the registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Relays all guarded topics among `declarations` until `stop`; then ends the transactions in hand.
pub async fn run(
    endpoints: &Endpoints,
    declarations: &[&'static Declaration],
    settings: &Settings,
    stop: CancellationToken,
) -> Result<(), GuardError> {
    metrics().begin(Program::Guard, &Known::of(declarations));
    let codec = Arc::new(Codec::new(&endpoints.schema_registry, declarations)?);
    let guarded: Vec<_> = declarations.iter().filter(|topic| topic.guard).collect();
    if guarded.is_empty() {
        return Err(GuardError::NothingGuarded);
    }
    let relays = guarded.into_iter().map(|declaration| {
        let group = millstream_pipeline::kafka::group::of_guard(&settings.prefix, declaration.name);
        relay::Relay {
            declaration,
            codec: Arc::clone(&codec),
            kafka: kafka::client(&endpoints.kafka),
            transactional_id: format!("{group}.{}", settings.instance),
            group,
        }
        .run(&stop)
    });
    join_all(relays).await;
    Ok(())
}
