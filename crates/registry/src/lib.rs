//! The built-in schema registry: speaks the REST API of Confluent's, stores in the topic `_schemas`.
//!
//! It guarantees that an id means one schema for good, that ids count from 1 without gaps, and that
//! what it answered is in the log. The log is in Confluent's format: a registry of theirs can take
//! over the topic, and this one theirs. It stores Avro; schemas of other types that it finds in the
//! topic are served but cannot be registered. Contexts other than the default one are not known.
//! It is for development, tests and small installations: one process, which only one at a time
//! should write (see [`store`]).
//!
//! - [`serve`] runs it; [`start`] runs it in the background and says where it listens.
//! - `state` is the log applied, `decide` what a request leads to: both know neither HTTP nor Kafka.
//! - `log` is the topic, `store` the state with its log, `api` the routes.

mod api;
mod contract;
mod decide;
mod error;
mod level;
mod log;
mod record;
mod state;
pub mod store;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use error::{RegistryError, StoreError};
use log::Location;
use store::Store;

use millstream_pipeline::observe::metrics::{Known, Program, metrics};

/// The topic that Confluent's registry uses.
pub const DEFAULT_TOPIC: &str = "_schemas";

/// Takes the text of a schema as one that is registered, and compares it with itself as one that is
/// registered twice; the reason why not.
pub fn try_schema(text: &str) -> Result<(), String> {
    let request = decide::Registration {
        schema: Some(text.to_owned()),
        ..decide::Registration::default()
    };
    let state = state::State::default();
    let draft = decide::Draft::new(&state, "s", &request, None);
    let tree = draft.check(&state).and_then(|()| draft.tree(&state));
    let tree = tree.map_err(|refusal| refusal.to_string())?;
    let problems = millstream_avro::compatibility::problems(&tree, &tree);
    problems
        .first()
        .map_or(Ok(()), |problem| Err(problem.reason.clone()))
}

/// Settings of a registry.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Bootstrap servers, `host:port[,host:port]`.
    pub kafka: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The topic that the schemas are in.
    pub topic: String,
    /// Replication factor of the topic when it is created; `None` leaves it to the brokers.
    pub replication: Option<u16>,
}

impl RegistryConfig {
    /// A registry on the topic `_schemas`.
    pub fn new(kafka: impl Into<String>, listen: SocketAddr) -> Self {
        RegistryConfig {
            kafka: kafka.into(),
            listen,
            topic: DEFAULT_TOPIC.into(),
            replication: None,
        }
    }
}

/// A registry that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<Result<(), RegistryError>>,
}

impl Running {
    /// Waits until it has stopped.
    pub async fn join(self) -> Result<(), RegistryError> {
        self.task
            .await
            .unwrap_or_else(|error| Err(RegistryError::Serve(std::io::Error::other(error))))
    }
}

/// Serves until `shutdown`. Requests are answered with 503 until the log is read to its end, so it
/// may be started before Kafka is up.
pub async fn serve(
    config: RegistryConfig,
    shutdown: CancellationToken,
) -> Result<(), RegistryError> {
    start(config, shutdown).await?.join().await
}

/// As [`serve`], in the background: returns once it listens.
pub async fn start(
    config: RegistryConfig,
    shutdown: CancellationToken,
) -> Result<Running, RegistryError> {
    let listen = |source| RegistryError::Listen {
        address: config.listen,
        source,
    };
    metrics().begin(Program::Registry, &Known::default().serving(api::routes()));
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let location = Location {
        kafka: config.kafka.clone(),
        topic: config.topic.clone(),
        replication: config.replication,
    };
    let store = Arc::new(Store::new(location)?);
    let router = api::router(store.clone());
    let task = tokio::spawn(async move {
        let stopped = shutdown.clone();
        let server = axum::serve(listener, router)
            .with_graceful_shutdown(async move { stopped.cancelled().await })
            .into_future();
        tokio::select! {
            ended = server => ended.map_err(RegistryError::Serve),
            () = store.run() => Ok(()),
        }
    });
    Ok(Running { address, task })
}

#[cfg(test)]
mod tests;
