//! The services of the batch lane that a process serves, and the work orders that it sends for them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_events::WorkDue;
use rdkafka::error::KafkaError;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::dispatcher::Dispatcher;
use super::lane::Settings;
use crate::codec::{EncodeError, EncodedBody};
use crate::kafka::publisher::Record;
use crate::service::Pipeline;

/// Pause before a dispatcher is made anew.
const AGAIN: Duration = Duration::from_secs(1);

/// What a process serves in the batch lane.
#[derive(Default)]
pub(crate) struct Served {
    lanes: Mutex<Vec<Settings>>,
    /// Why something is not served, in sentences.
    refused: Mutex<Vec<String>>,
    stop: CancellationToken,
}

impl Served {
    /// Has one more; the token says when its leases are to end.
    pub fn lane(&self, settings: Settings) -> CancellationToken {
        lock(&self.lanes).push(settings);
        self.stop.clone()
    }

    /// Whether this is the name of one.
    pub fn is_lane(&self, service: &str) -> bool {
        lock(&self.lanes).iter().any(|it| it.service == service)
    }

    /// Has one that cannot be served.
    pub fn refuse(&self, why: String) {
        lock(&self.refused).push(why);
    }

    /// Why some cannot be served.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.refused).clone()
    }

    /// Lets leases end after their batch, and dispatchers leave their share to others. What waits is
    /// for the next process, which is told by its own dispatcher.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The same once this is dropped.
    pub fn stop_on_drop(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why no work orders can be sent now.
#[derive(Debug, thiserror::Error)]
enum Unable {
    #[error("{0}")]
    Order(#[from] EncodeError),
    #[error("the Kafka client does not accept its settings: {0}")]
    Kafka(#[from] KafkaError),
}

/// Sends work orders for all of them, until they are to stop.
pub(crate) fn dispatch(pipeline: &Pipeline) -> JoinSet<()> {
    let served = &pipeline.shared.served;
    let lanes = lock(&served.lanes).clone();
    let mut running = JoinSet::new();
    for lane in lanes {
        let (pipeline, stop) = (pipeline.clone(), served.stop.clone());
        let dispatching = async move {
            loop {
                let service = lane.service.as_str();
                match dispatcher(&pipeline, &lane).await {
                    Ok(dispatcher) => dispatcher.run(stop.clone()).await,
                    Err(error) => {
                        tracing::warn!(service, %error, "no work orders are sent; it is tried again");
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        };
        running.spawn(dispatching);
    }
    running
}

async fn dispatcher(pipeline: &Pipeline, lane: &Settings) -> Result<Dispatcher, Unable> {
    let shared = &pipeline.shared;
    let mut orders = Vec::new();
    for partition in 0..lane.partitions {
        let body = EncodedBody::of_event(&WorkDue { partition });
        let body = body.map_err(EncodeError::Event)?;
        orders.push(Record {
            topic: lane.work_topic(),
            key: Some(partition.to_string().into_bytes()),
            value: Some(shared.codec.join(&body, None).await?),
            headers: Vec::new(),
        });
    }
    let config = crate::kafka::client(&pipeline.endpoints().kafka);
    let dispatcher = Dispatcher::new(&config, lane.clone(), shared.publisher.clone(), orders);
    Ok(dispatcher?)
}
