//! What people do with dead letters: look at them, replay them, discard them.
//!
//! A dead letter is named by where its original stood: `topic/partition/offset`. Handlers may write
//! one twice; it is shown once. What became of it is a fact on the compacted topic `dlq-status`
//! under that name.
//!
//! A replay puts the original key, bytes and headers on the original topic again, at its end, in the
//! order of the dead letters, with the header [`REPLAY_OF`]. Record and mark are one transaction, and
//! one replay at a time is possible in an installation: a dead letter is replayed once, also if the
//! command is killed and run again. To the handler it is a new record with the `meta.id` of the
//! first: it is handled, because the id of an event that became a dead letter is not remembered.
//! Replayed once more with `again`, an event with `meta` that was handled meanwhile is dropped by its
//! id (while the object remembers it); one without `meta` is handled again. A command that had been
//! answered `RequestFailed` gets a second answer: its own number on the result topic, the same id.

mod letter;
pub(crate) mod marks;
mod time;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use futures::future::try_join_all;
use millstream_events::{
    Declaration,
    dlq_status::{DeadLetterMarked, Mark},
};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, TopicPartitionList};

use millstream_pipeline::codec::{Codec, EncodeError, RegistryError};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_pipeline::kafka::transaction::{Timed, Transactions};
use millstream_pipeline::kafka::{self, offsets};
use millstream_pipeline::record::digest::digest;

pub use letter::{DeadLetter, REPLAY_OF};
pub use time::{TimeError, parse as parse_time};

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(15);
/// Dead letters that are dealt with in one transaction.
const CHUNK: usize = 500;

/// The dead letters of an installation.
pub struct DeadLetters {
    codec: Codec,
    kafka: ClientConfig,
    declarations: Vec<&'static Declaration>,
    prefix: String,
}

/// Which dead letters are meant; what is empty holds for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Their names, as `topic/partition/offset`.
    pub ids: Vec<String>,
    /// Declared topics.
    pub topics: Vec<String>,
    /// Codes.
    pub codes: Vec<String>,
    /// Keys.
    pub keys: Vec<String>,
    /// Kept at this time or later, in milliseconds since 1970-01-01 UTC.
    pub since: Option<i64>,
    /// Kept before this time.
    pub until: Option<i64>,
}

/// Who deals with dead letters, and how.
#[derive(Debug, Clone, Default)]
pub struct Action {
    /// Who.
    pub by: String,
    /// Why.
    pub note: Option<String>,
    /// Whether those that were dealt with before are meant too.
    pub again: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// Dead letters that were dealt with, in this order.
    pub done: Vec<DeadLetter>,
    /// Left alone: they were dealt with before.
    pub marked_before: Vec<DeadLetter>,
    /// Not replayed: the original was too large to be kept whole.
    pub shortened: Vec<DeadLetter>,
}

/// Why dead letters could not be read or dealt with.
#[derive(Debug, thiserror::Error)]
pub enum DeadLettersError {
    /// Kafka is not there, or lacks the topic.
    #[error("cannot read {topic}: {source}; does Kafka run, and was `{program} apply` run?", program = millstream_pipeline::program::name())]
    Read {
        /// The topic.
        topic: String,
        /// What Kafka said.
        source: KafkaError,
    },
    /// The transaction failed, or nobody knows.
    #[error(
        "Kafka did not confirm the change: {0}; run the command again, what was done is not repeated"
    )]
    Write(#[from] KafkaError),
    /// The registry cannot be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A mark does not fit its schema.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl DeadLetters {
    /// The dead letters of these topics; `prefix` is that of the installation's consumer groups.
    pub fn new(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        prefix: &str,
    ) -> Result<Self, DeadLettersError> {
        let mut known = declarations.to_vec();
        if !known.iter().any(|topic| topic.name == marks::topic().name) {
            known.push(marks::topic());
        }
        Ok(Self {
            codec: Codec::new(&endpoints.schema_registry, &known)?,
            kafka: kafka::client(&endpoints.kafka),
            declarations: known,
            prefix: prefix.to_owned(),
        })
    }

    /// The dead letters that `filter` names, by topic and in the order in which they were kept,
    /// each once and with its mark.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<DeadLetter>, DeadLettersError> {
        let mut letters = Vec::new();
        self.each(filter, |letter| {
            letters.push(letter);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(letters)
    }

    /// Hands over the same one by one, as long as `visit` wants more. Kept in memory are the marks,
    /// and 16 bytes for each dead letter.
    pub async fn each(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(DeadLetter) -> ControlFlow<()>,
    ) -> Result<(), DeadLettersError> {
        let of_topic = |declaration: &&Declaration| {
            let (name, subscribed) = (declaration.name, declaration.subscribed_topic());
            let named = filter
                .topics
                .iter()
                .any(|it| it == name || *it == subscribed);
            declaration.dead_letters && (filter.topics.is_empty() || named)
        };
        let topics = self.declarations.iter().copied().filter(of_topic);
        let topics = topics.map(Declaration::dead_letter_topic).collect();
        // At once: opening a topic takes far longer than reading what is mostly not much.
        let readers = async {
            let topics = self.not_empty(topics).await?.into_iter();
            try_join_all(topics.map(async |topic| {
                let reader = self.open(&topic).await?;
                Ok::<_, DeadLettersError>(reader.map(|reader| (topic, reader)))
            }))
            .await
        };
        let marks = async {
            let mut marks: BTreeMap<String, DeadLetterMarked> = BTreeMap::new();
            self.read(marks::topic().name, |seen| marks.extend(marks::read(&seen)))
                .await?;
            Ok::<_, DeadLettersError>(marks)
        };
        let (readers, marks) = tokio::try_join!(readers, marks)?;
        let mut known: HashSet<[u8; 16]> = HashSet::new();
        for (topic, mut reader) in readers.into_iter().flatten() {
            while let Some(seen) = self.next(&topic, &mut reader).await? {
                let letter = DeadLetter::read(seen).filter(|letter| filter.matches(letter));
                let Some(mut letter) = letter else { continue };
                let name = digest(&[letter.id.as_bytes(), &letter.timestamp.to_be_bytes()]);
                if !name.first_chunk().is_some_and(|name| known.insert(*name)) {
                    continue;
                }
                // The topic may have been made anew since the mark: then this is another record.
                letter.marked = marks
                    .get(&letter.id)
                    .filter(|marked| marked.recorded == letter.timestamp)
                    .cloned();
                if visit(letter).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Puts originals on their topics again and marks them.
    pub async fn replay(&self, filter: &Filter, action: &Action) -> Result<Done, DeadLettersError> {
        self.deal_with(filter, Mark::Replayed, action).await
    }

    /// Only marks: somebody has dealt with them in another way, or nobody will.
    pub async fn mark(
        &self,
        filter: &Filter,
        mark: Mark,
        action: &Action,
    ) -> Result<Done, DeadLettersError> {
        self.deal_with(filter, mark, action).await
    }

    async fn deal_with(
        &self,
        filter: &Filter,
        mark: Mark,
        action: &Action,
    ) -> Result<Done, DeadLettersError> {
        // First of all: it shuts out others, and ends what one that was killed has begun.
        let id = format!("{}.dlq", self.prefix);
        let transactions = Transactions::new(self.kafka.clone(), &id).await?;
        let (marked_before, mut wanted): (Vec<_>, Vec<_>) = self
            .list(filter)
            .await?
            .into_iter()
            .partition(|letter| letter.marked.is_some() && !action.again);
        let mut shortened = Vec::new();
        if mark == Mark::Replayed {
            (shortened, wanted) = wanted
                .into_iter()
                .partition(|letter| letter.shortened.is_some());
        }
        for letters in wanted.chunks_mut(CHUNK) {
            let mut records: Vec<Timed> = Vec::new();
            for letter in letters.iter_mut() {
                if mark == Mark::Replayed {
                    records.push((letter.replay(), None));
                }
                let marked = marks::marked(letter, mark, action);
                records.push((marks::record(&self.codec, letter, &marked).await?, None));
                letter.marked = Some(marked);
            }
            transactions.commit(records, None).await?;
        }
        Ok(Done {
            done: wanted,
            marked_before,
            shortened,
        })
    }

    /// Those of the topics that have records.
    async fn not_empty(&self, topics: Vec<String>) -> Result<Vec<String>, DeadLettersError> {
        let mut config = self.kafka.clone();
        config.set("group.id", "millstream-reader");
        let asked = tokio::task::spawn_blocking(move || not_empty(&config, &topics));
        let found = asked.await.map_err(|_| KafkaError::Canceled);
        found.map_err(|source| unreadable("the dead letter topics", source))?
    }

    /// Reads a topic to its end. One that is not there has no records.
    pub(crate) async fn read(
        &self,
        topic: &str,
        mut each: impl FnMut(Seen),
    ) -> Result<(), DeadLettersError> {
        if let Some(mut reader) = self.open(topic).await? {
            while let Some(seen) = self.next(topic, &mut reader).await? {
                each(seen);
            }
        }
        Ok(())
    }

    /// Begins to read a topic; `None`: it is not there.
    async fn open(&self, topic: &str) -> Result<Option<Reader>, DeadLettersError> {
        let mut config = self.kafka.clone();
        // Many readers wait for their turn, and each fetches ahead; without the usual second's pause after
        // a full queue.
        config
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.queue.backoff.ms", "5");
        let reader = Reader::new(config, &[topic.to_owned()], From::Beginning).await;
        offsets::of_known(reader).map_err(|source| unreadable(topic, source))
    }

    /// The next record; `None`: that was all.
    async fn next(
        &self,
        topic: &str,
        reader: &mut Reader,
    ) -> Result<Option<Seen>, DeadLettersError> {
        let next = reader.next(&self.codec).await;
        match next.map_err(|source| unreadable(topic, source))? {
            Next::Record(seen) => Ok(Some(*seen)),
            Next::End => Ok(None),
        }
    }
}

fn not_empty(config: &ClientConfig, topics: &[String]) -> Result<Vec<String>, DeadLettersError> {
    let all = |source| unreadable("the dead letter topics", source);
    let client: BaseConsumer = config.create().map_err(all)?;
    let mut partitions = TopicPartitionList::new();
    for topic in topics {
        // One by one: in a list of all, what may not be read would look as if it were not there.
        let found = offsets::of_known(offsets::partitions(&client, topic, LIMIT));
        let found = found.map_err(|source| unreadable(topic, source))?;
        for it in found.iter().flat_map(TopicPartitionList::elements) {
            partitions.add_partition(topic, it.partition());
        }
    }
    let bounds = offsets::bounds(&client, &partitions, LIMIT).map_err(all)?;
    let known = partitions.elements().into_iter().zip(bounds);
    let full = known.filter(|(_, (_, start, end))| end > start);
    let mut full: Vec<_> = full.map(|(it, _)| it.topic().to_owned()).collect();
    full.dedup();
    Ok(full)
}

fn unreadable(topic: &str, source: KafkaError) -> DeadLettersError {
    let topic = topic.to_owned();
    DeadLettersError::Read { topic, source }
}

impl Filter {
    /// Whether nothing is named: all are meant.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
            && self.topics.is_empty()
            && self.codes.is_empty()
            && self.keys.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// All but the topic, which decides what is read.
    fn matches(&self, letter: &DeadLetter) -> bool {
        let named = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|known| known == name)
        };
        named(&self.ids, &letter.id)
            && named(&self.codes, &letter.code)
            && (self.keys.is_empty()
                || letter
                    .key
                    .as_ref()
                    .is_some_and(|key| named(&self.keys, key)))
            && self.since.is_none_or(|since| letter.kept >= since)
            && self.until.is_none_or(|until| letter.kept < until)
    }
}
