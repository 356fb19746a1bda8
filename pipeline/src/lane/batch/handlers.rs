//! Decides batches by the handlers of a service: the pure core, for one event after the other.

pub(crate) mod by;
mod objects;
pub(super) mod one;
pub(super) mod sizes;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::Message;

use self::by::Handles;
use self::objects::Objects;
use self::one::One;
use self::sizes::Sizes;
use super::log::Decide;
use super::memory::Overlay;
use super::notes::ENOUGH;
use super::topics::{ShardError, Taken, Topics};
use crate::lane::decider::Decider;
use crate::observe::metrics::metrics;
use crate::record::Record;
use crate::service::Service;

/// After so many records others have a turn: to decide about one may never have to wait.
const TURN: usize = 64;

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
    ended: BTreeMap<(&'static str, String, String), u64>,
    /// Topic and reason.
    skipped: BTreeMap<(&'static str, &'static str), u64>,
    /// Topic and code.
    letters: BTreeMap<(&'static str, String), u64>,
    /// Topic: answers that were given before.
    repeated: BTreeMap<&'static str, u64>,
    /// Topic and age in seconds.
    ages: Vec<(&'static str, f64)>,
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
        let (mut outputs, mut note) = (Vec::with_capacity(records.len()), Note::default());
        let mut objects = Objects::new(states);
        for (index, taken) in records.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            if let Some(handler) = self.topics.get(taken.topic) {
                let one = self.one(now, taken.epoch);
                one.decide(
                    &**handler,
                    &taken.message,
                    &mut objects,
                    &mut outputs,
                    &mut note,
                )
                .await?;
            }
        }
        objects.close()?;
        Ok((outputs, note))
    }

    async fn crashed(
        &self,
        _: &mut Overlay<'_, Arc<str>, Bytes>,
        taken: Taken,
        ended: usize,
    ) -> Result<(Vec<Record>, Note), ShardError> {
        let Taken {
            topic,
            message,
            epoch,
        } = taken;
        let (mut outputs, mut note) = (Vec::new(), Note::default());
        let now = jiff::Timestamp::now().as_microsecond();
        if let Some(handler) = self.topics.get(topic) {
            tracing::error!(
                topic = message.topic(),
                partition = message.partition(),
                offset = message.offset(),
                ended,
                "handling this event ended the process several times; it becomes a dead letter"
            );
            // To read its `meta` may have ended the process, too.
            let is_read = ended < ENOUGH + 2;
            let one = self.one(now, epoch);
            one.crashed(&**handler, &message, is_read, &mut outputs, &mut note)
                .await?;
        }
        Ok((outputs, note))
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
        for (topic, age) in note.ages {
            metrics
                .event_duration
                .with_label_values(&[topic])
                .observe(age);
        }
    }
}
