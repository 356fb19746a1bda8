//! The state with its log: what is answered from it, and how it is changed.
//!
//! A change is written to the log, read back from it like every other record, and only then
//! answered. Changes are made one at a time, each on a state that contains the log to its end, so
//! that a second registry on the same topic gives out other ids. When two write within the same few
//! milliseconds, the first record with an id counts, and the other registry decides anew.
//!
//! This is no lock. Two registries that register two schemas *under the same subject* at once can
//! write the same version: the later one counts and the earlier one is lost, although it was
//! answered. Let one registry write.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use super::decide::Decision;
use super::error::{Refusal, RegistryError, StoreError};
use super::log::{self, Location, Progress, Writer};
use super::record::Record;
use super::state::State;

/// How long a record may take to come back from the log.
const READ_BACK: Duration = Duration::from_secs(5);
/// How long a change may wait for the one before it.
const TURN: Duration = Duration::from_secs(10);
/// How often a change is decided anew because another registry was faster.
const ATTEMPTS: usize = 10;
/// How soon a failed start is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The store.
pub struct Store {
    location: Location,
    state: Arc<RwLock<State>>,
    writer: Writer,
    /// Held while a change is made.
    turn: tokio::sync::Mutex<()>,
    progress: watch::Sender<Progress>,
    ready: watch::Sender<bool>,
    /// Says that the log is another one than the one that was read.
    renewed: Notify,
    /// What keeps the start from going on.
    obstacle: Mutex<Option<String>>,
}

impl Store {
    /// A store that knows nothing yet; [`Store::run`] fills it.
    pub fn new(location: Location) -> Result<Self, RegistryError> {
        Ok(Store {
            writer: Writer::new(&location)?,
            location,
            state: Arc::default(),
            turn: tokio::sync::Mutex::new(()),
            progress: watch::Sender::new(Progress::default()),
            ready: watch::Sender::new(false),
            renewed: Notify::new(),
            obstacle: Mutex::new(None),
        })
    }

    /// Follows the log for ever, from its beginning; begins again if the topic is made anew.
    pub async fn run(&self) {
        loop {
            let ended = self.follow().await;
            let topic = &self.location.topic;
            self.ready.send_replace(false);
            if self.progress.borrow().next > 0 {
                error!(topic, error = %ended, "the topic is gone or was made anew; schemas that are no longer in it are forgotten");
            } else {
                warn!(topic, error = %ended, "the schema registry cannot read its log; it tries again");
            }
            *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended.to_string());
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn follow(&self) -> StoreError {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::default();
        self.progress.send_replace(Progress::default());
        if let Err(error) = log::ensure(&self.location).await {
            return error;
        }
        let reading = log::follow(&self.location, self.state.clone(), &self.progress);
        let starting = async {
            loop {
                match self.reach_end().await {
                    Ok(next) => {
                        info!(
                            topic = self.location.topic,
                            next, "the schema registry is ready"
                        );
                        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        self.ready.send_replace(true);
                        break;
                    }
                    // A long log takes its time; that is not said to be an error.
                    Err(error) => warn!(%error, "the end of the log is not reached yet"),
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = reading => match ended {
                Ok(never) => match never {},
                Err(error) => StoreError::Kafka(error.to_string()),
            },
            () = self.renewed.notified() => StoreError::Kafka("the topic was made anew".into()),
            () = starting => StoreError::Kafka("the start ended".into()),
        }
    }

    /// Reads the state, once it contains the log.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&State) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.check_ready()?;
        question(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state: decides on the newest state, writes the records and answers once they are
    /// read back.
    pub async fn change<T>(
        &self,
        decide: impl Fn(&State) -> Result<Decision<T>, Refusal>,
    ) -> Result<T, Refusal> {
        self.check_ready()?;
        let turn = tokio::time::timeout(TURN, self.turn.lock()).await;
        let _turn =
            turn.map_err(|_| StoreError::Timeout("earlier changes are still waiting".into()))?;
        for _ in 0..ATTEMPTS {
            self.reach_end().await?;
            let decision = self.read(&decide)?;
            let mut last = None;
            for record in &decision.records {
                last = Some(self.writer.append(record).await?);
            }
            let Some(offset) = last else {
                return Ok(decision.answer);
            };
            self.wait_for(offset).await?;
            if self.holds(&decision.records) {
                return Ok(decision.answer);
            }
            // Another registry was faster and gave the id away: decide anew.
        }
        Err(
            StoreError::Kafka("another registry writes to the same topic all the time".into())
                .into(),
        )
    }

    /// Whether the versions that were written are in the state.
    fn holds(&self, records: &[Record]) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        records.iter().all(|record| match record {
            Record::Schema(value) => state.version(&value.subject, value.version) == Some(value),
            _ => true,
        })
    }

    /// Whether the state contains the log.
    pub fn check_ready(&self) -> Result<(), StoreError> {
        if *self.ready.borrow() {
            return Ok(());
        }
        let obstacle = self
            .obstacle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let detail = obstacle
            .map(|obstacle| format!(" ({obstacle})"))
            .unwrap_or_default();
        Err(StoreError::NotReady {
            topic: self.location.topic.clone(),
            detail,
        })
    }

    /// Waits until the state contains everything that was written before this call.
    async fn reach_end(&self) -> Result<i64, StoreError> {
        let read = self.progress.borrow().next;
        let offset = self.writer.append(&Record::Noop).await?;
        if offset < read {
            // The consumer does not notice: it goes on where it is, in the new topic.
            self.ready.send_replace(false);
            self.renewed.notify_one();
            self.check_ready()?;
        }
        self.wait_for(offset).await?;
        Ok(offset + 1)
    }

    async fn wait_for(&self, offset: i64) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.next > offset);
        match tokio::time::timeout(READ_BACK, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(StoreError::Timeout(
                "the record is written but not read back yet".into(),
            )),
        }
    }
}
