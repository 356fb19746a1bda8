//! The driver's [`Log`] on real brokers.

mod metadata;
mod place;
mod producer;
mod reader;
mod rewind;
mod spilled;
mod states;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};

pub(in crate::lane::batch) use place::kebab_case;
pub use place::{Limits, Place};
pub use producer::ShardProducer;
pub use rewind::{Rewound, rewind};
pub use spilled::Spilled;

use self::reader::Reader;
use super::log::{Loaded, Log, Position, Read};
use super::memory::Unkept;
use crate::codec::RegistryError;
use crate::failure::Failure;
use crate::record::source_offset::SourceOffset;
use crate::record::{HeaderList, Record, header_list};

/// What became impossible for a shard. Restate repeats the attempt.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Kafka cannot be asked, or another process has the shard.
    #[error("{doing}: {source}; it is tried again")]
    Kafka {
        /// What was being done.
        doing: &'static str,
        /// What Kafka said.
        source: KafkaError,
    },
    /// Records were not read although they wait.
    #[error(
        "no record of {topics} and no end of it was read within {seconds} s; it is tried again"
    )]
    Deaf {
        /// The topics.
        topics: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The topic was made anew, or Kafka was restored in parts.
    #[error(
        "{topic}/{partition} ends at {end} and is decided up to {position}: it is another topic than \
         before; the shard stands still until its topics have a new `generation`, or `once-generation` where it \
         publishes results once"
    )]
    Beyond {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Up to where it is decided.
        position: i64,
        /// Where it ends.
        end: i64,
    },
    /// A record of the state topic is none of ours.
    #[error(
        "{topic}/{partition} cannot be read: {reason}; go back to the version that wrote it, or find \
         out who else writes this topic"
    )]
    Unreadable {
        /// The state topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// What is wrong with it.
        reason: String,
    },
    /// States do not fit into memory, and cannot be put elsewhere.
    #[error(transparent)]
    Unkept(#[from] Unkept),
    /// The registry cannot be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The state of a key is none.
    #[error("the state of {key} cannot be read ({reason}); go back to the version that wrote it")]
    State {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither an answer nor a refusal can be made of an event.
    #[error("an event cannot be decided about: {0}; mend the handlers or the registry")]
    Undecidable(Failure),
}

impl ShardError {
    /// The state of this key cannot be read, or not be written.
    pub(in crate::lane::batch) fn state(key: &str, error: &dyn std::fmt::Display) -> Self {
        Self::State {
            key: key.to_owned(),
            reason: error.to_string(),
        }
    }

    pub(in crate::lane::batch) fn kafka(doing: &'static str) -> impl FnOnce(KafkaError) -> Self {
        move |source| Self::Kafka { doing, source }
    }
}

/// A record of one of the service's topics.
#[derive(Debug)]
pub struct Taken {
    /// Number of the topic, in the order of [`Place::topics`].
    pub topic: usize,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp, in milliseconds since 1970-01-01 UTC; 0: it has none.
    pub timestamp_ms: i64,
    /// Key; `None`: null.
    pub key: Option<Vec<u8>>,
    /// Value; `None`: null.
    pub value: Option<Bytes>,
    /// Headers, if they were asked for ([`Place::headers`]).
    pub headers: HeaderList,
    /// How often its shard was rewound.
    pub epoch: u32,
}

impl Taken {
    /// A record that was read.
    pub fn of(message: &impl Message<Headers: Headers>, topic: usize, epoch: u32) -> Self {
        Self {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: HeaderList::new(),
            epoch,
        }
    }

    /// The same with its headers.
    pub fn whole(message: &impl Message<Headers: Headers>, topic: usize, epoch: u32) -> Self {
        Self {
            headers: header_list(message),
            ..Self::of(message, topic, epoch)
        }
    }

    /// Where it stands on the topic of this name, and when it was taken.
    pub(super) fn position(&self, topic: Cow<'static, str>, taken_ms: Option<i64>) -> SourceOffset {
        SourceOffset {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            taken_ms,
        }
    }
}

/// The topics of one shard on real brokers. Its consumer is kept from lease to lease.
pub struct Topics {
    config: ClientConfig,
    place: Arc<Place>,
    reader: Arc<Mutex<Option<Reader>>>,
    /// Whether some topic has a limit below what producers send at once by default.
    sends_small: Arc<AtomicBool>,
    /// How often the shard was rewound, as it was when its states were loaded last.
    epoch: Arc<AtomicU32>,
}

impl Topics {
    /// With these client settings. Nothing is contacted yet.
    pub fn new(config: ClientConfig, place: Place) -> Self {
        Self {
            config,
            place: Arc::new(place),
            reader: Arc::default(),
            sends_small: Arc::default(),
            epoch: Arc::default(),
        }
    }
}

impl Log for Topics {
    type Record = Taken;
    type Output = Record;
    type Key = Arc<str>;
    /// JSON. No bytes at all: the key has no state any more.
    type Value = Bytes;
    type States = Spilled;
    type Error = ShardError;
    type Producer = ShardProducer;

    fn at(record: &Taken) -> (usize, i64) {
        (record.topic, record.offset)
    }

    fn most(&self) -> usize {
        self.place.limits.records
    }

    async fn producer(&self) -> Result<ShardProducer, ShardError> {
        let (config, place) = (self.config.clone(), Arc::clone(&self.place));
        let (sends_small, epoch) = (Arc::clone(&self.sends_small), Arc::clone(&self.epoch));
        blocking("taking a shard over", move || {
            ShardProducer::new(config, place, sends_small, epoch)
        })
        .await
    }

    async fn load(&self) -> Result<Loaded<Spilled>, ShardError> {
        let (config, place) = (self.config.clone(), Arc::clone(&self.place));
        let load = move || states::load(config, &place);
        let (loaded, epoch) = blocking("loading states", load).await?;
        self.epoch.store(epoch, Ordering::SeqCst);
        Ok(loaded)
    }

    async fn read(&self, position: &Position, first: bool) -> Result<Read<Taken>, ShardError> {
        let (config, place) = (self.config.clone(), Arc::clone(&self.place));
        let (reader, position) = (Arc::clone(&self.reader), position.clone());
        let epoch = self.epoch.load(Ordering::SeqCst);
        blocking("reading", move || {
            // An attempt that was given up may still read.
            let mut kept = reader.lock().unwrap_or_else(PoisonError::into_inner);
            // After an error it is made anew.
            let mut reader = match kept.take() {
                Some(reader) => reader,
                None => Reader::new(config, place)?,
            };
            let read = reader.read(position, first, epoch)?;
            *kept = Some(reader);
            Ok(read)
        })
        .await
    }

    async fn is_elsewhere(&self, position: &Position) -> Result<bool, ShardError> {
        let (config, place) = (self.config.clone(), Arc::clone(&self.place));
        let (reader, position) = (Arc::clone(&self.reader), position.clone());
        blocking("asking for the position", move || {
            let mut kept = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = match kept.take() {
                Some(reader) => reader,
                None => Reader::new(config, place)?,
            };
            let is_elsewhere = reader.is_elsewhere(&position)?;
            *kept = Some(reader);
            Ok(is_elsewhere)
        })
        .await
    }
}

/// librdkafka blocks.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, ShardError> + Send + 'static,
) -> Result<T, ShardError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or(Err(ShardError::Kafka {
        doing,
        source: KafkaError::Global(RDKafkaErrorCode::Fail),
    }))
}
