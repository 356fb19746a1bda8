//! The catalogue's handlers in the same stack, for what the ledger does not do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use millstream_control::Settings;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_topics::TOPICS;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::Harness;
use super::replica::{self, Replica};
use crate::probe::process::now_micros;

/// One replica of the catalogue's handlers, with the catalogue's declarations applied.
pub struct Catalogue {
    replica: tokio::sync::Mutex<Replica>,
    codec: Arc<Codec>,
    bootstrap: String,
}

impl Catalogue {
    /// Starts it.
    pub async fn start(harness: &Harness) -> anyhow::Result<Self> {
        let replica = harness.new_replica(Self::settings()).await?;
        let endpoints = &harness.endpoints;
        let catalogue = Self {
            replica: tokio::sync::Mutex::new(replica),
            codec: Arc::new(Codec::new(&endpoints.schema_registry, TOPICS)?),
            bootstrap: endpoints.kafka.clone(),
        };
        catalogue.apply(endpoints).await?;
        Ok(catalogue)
    }

    /// Brings the stack to the catalogue's declarations.
    pub async fn apply(&self, endpoints: &Endpoints) -> anyhow::Result<()> {
        let port = self.replica().await.port();
        let settings = Settings {
            handlers: Some(format!("http://127.0.0.1:{port}")),
            ..Settings::default()
        };
        let plan = millstream_control::plan(TOPICS, endpoints, &settings).await?;
        millstream_control::apply(&plan, endpoints, |_| {})
            .await
            .context("the catalogue's declarations cannot be applied")
    }

    /// How the replica is started unless a scenario says otherwise.
    pub fn settings() -> replica::Settings {
        replica::Settings {
            catalogue: true,
            ..replica::Settings::default()
        }
    }

    /// The replica.
    pub async fn replica(&self) -> tokio::sync::MutexGuard<'_, Replica> {
        self.replica.lock().await
    }

    /// Reads everything on these topics from now on.
    pub async fn follow(&self, topics: &[&str]) -> anyhow::Result<Records> {
        let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        let mut reader = Reader::new(kafka::client(&self.bootstrap), &topics, From::End).await?;
        let seen: Arc<Mutex<Vec<(i64, Seen)>>> = Arc::default();
        let (codec, into) = (Arc::clone(&self.codec), Arc::clone(&seen));
        let stop = CancellationToken::new();
        let follow = async move {
            loop {
                // Errors pass: librdkafka connects again by itself.
                if let Ok(Next::Record(record)) = reader.next(&codec).await {
                    lock(&into).push((now_micros(), *record));
                }
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        Ok(Records {
            seen,
            _stop: stop.drop_guard(),
        })
    }
}

/// Records of some topics in the order in which they came.
pub struct Records {
    seen: Arc<Mutex<Vec<(i64, Seen)>>>,
    _stop: DropGuard,
}

impl Records {
    /// Those that came so far, each with the time at which it came, in microseconds since
    /// 1970-01-01 UTC: the timestamp of a record is that of its producer's clock.
    pub fn seen(&self) -> MutexGuard<'_, Vec<(i64, Seen)>> {
        lock(&self.seen)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
