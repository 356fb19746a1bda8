//! Decides batches by the handlers of a service: the pure core, for one event after the other.

pub(crate) mod by;
mod objects;
pub(super) mod one;
pub(super) mod sizes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;

use self::by::Handles;
use self::objects::Objects;
use self::one::{One, Yield};
use self::sizes::Sizes;
use super::log::Decide;
use super::memory::Overlay;
use super::notes::ENOUGH;
use super::topics::{ShardError, Taken, Topics};
use crate::lane::decider::Decider;
use crate::observe::metrics::metrics;
use crate::process::letter;
use crate::record::Record;
use crate::service::Service;

/// After so long others have a turn: to decide about a record may never have to wait.
const TURN: Duration = Duration::from_millis(1);

/// The handlers of a service in the batch lane, one for each of its topics.
pub struct Handlers {
    service: Service,
    topics: Vec<Box<dyn Handles>>,
    sizes: Sizes,
}

/// What events came to, counted once it is so.
#[derive(Debug, Default)]
pub struct Note {
    /// Topic, handler and code.
    ended: BTreeMap<(&'static str, Arc<str>, Cow<'static, str>), u64>,
    /// Topic and reason.
    skipped: BTreeMap<(&'static str, &'static str), u64>,
    /// Topic and code.
    letters: BTreeMap<(&'static str, Cow<'static, str>), u64>,
    /// Topic: answers that were given before.
    repeated: BTreeMap<&'static str, u64>,
    /// Ages in seconds by topic.
    ages: BTreeMap<&'static str, Vec<f64>>,
}

impl Handlers {
    /// Those of a service of plain decisions.
    pub fn of(decider: Decider) -> Self {
        let Decider {
            service, topics, ..
        } = decider;
        let kafka = &service.pipeline.endpoints().kafka;
        Self {
            sizes: Sizes::new(crate::kafka::client(kafka)),
            service,
            topics,
        }
    }

    fn one(&self, now: i64, epoch: u32) -> One<'_> {
        One {
            shared: &self.service.pipeline.shared,
            service: self.service.name,
            sizes: &self.sizes,
            now,
            epoch,
        }
    }

    /// With the dead letters. Their records are read once more, with their headers: wanted together,
    /// so that a flood of them is one pass over the partition.
    async fn kept(&self, made: Yield) -> Result<(Vec<Record>, Note), ShardError> {
        let Yield {
            mut outputs,
            letters,
            note,
        } = made;
        let shared = &self.service.pipeline.shared;
        let originals = letters.iter().map(|letter| {
            let value = letter.received.record.clone();
            shared.originals.read(&letter.received.position, value)
        });
        let originals = try_join_all(originals).await;
        let originals =
            originals.map_err(ShardError::kafka("reading what becomes a dead letter"))?;
        for (kept, original) in letters.into_iter().zip(originals) {
            let (received, failure) = (&kept.received, &kept.failure);
            let original = original.unwrap_or_else(|| kept.raw.record(received));
            let letter = letter(received, Some(original), failure, &shared.prefix);
            outputs[kept.at] = self.sizes.shortened(letter).await?;
        }
        Ok((outputs, note))
    }
}

impl Decide<Topics> for Handlers {
    type Note = Note;

    async fn decide(
        &self,
        states: &mut Overlay<'_, Arc<str>, Bytes>,
        records: Vec<Taken>,
    ) -> Result<(Vec<Record>, Note), ShardError> {
        // One clock for all of them: what is given up is decided again, and may be told otherwise.
        let now = jiff::Timestamp::now().as_microsecond();
        let mut made = Yield::of(records.len());
        let mut objects = Objects::new(states);
        let mut turn = Instant::now();
        for taken in records {
            if turn.elapsed() > TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
            if let Some(handler) = self.topics.get(taken.topic) {
                let one = self.one(now, taken.epoch);
                one.decide(&**handler, taken, &mut objects, &mut made)
                    .await?;
            }
        }
        objects.close()?;
        self.kept(made).await
    }

    async fn crashed(
        &self,
        _: &mut Overlay<'_, Arc<str>, Bytes>,
        taken: Taken,
        ended: usize,
    ) -> Result<(Vec<Record>, Note), ShardError> {
        let mut made = Yield::of(1);
        let now = jiff::Timestamp::now().as_microsecond();
        if let Some(handler) = self.topics.get(taken.topic) {
            tracing::error!(
                topic = &*handler.topic(),
                partition = taken.partition,
                offset = taken.offset,
                ended,
                "handling this event ended the process several times; it becomes a dead letter"
            );
            // To read its `meta` may have ended the process, too.
            let is_read = ended < ENOUGH + 2;
            let one = self.one(now, taken.epoch);
            one.crashed(&**handler, taken, is_read, &mut made).await?;
        }
        self.kept(made).await
    }

    fn committed(&self, note: Note) {
        let metrics = metrics();
        for ((topic, handler, code), count) in note.ended {
            let labels = [topic, &handler, &code];
            metrics.events.with_label_values(&labels).inc_by(count);
        }
        for ((topic, reason), count) in note.skipped {
            let labels = [topic, reason];
            metrics
                .events_skipped
                .with_label_values(&labels)
                .inc_by(count);
        }
        for ((topic, code), count) in note.letters {
            let labels = [topic, &code];
            metrics
                .dead_letters
                .with_label_values(&labels)
                .inc_by(count);
        }
        for (topic, count) in note.repeated {
            let labels = [topic];
            metrics
                .idempotent_answers
                .with_label_values(&labels)
                .inc_by(count);
        }
        for (topic, ages) in note.ages {
            let duration = metrics.event_duration.with_label_values(&[topic]);
            ages.into_iter().for_each(|age| duration.observe(age));
        }
    }
}
