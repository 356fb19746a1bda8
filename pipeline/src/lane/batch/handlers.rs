//! Decides batches by the handlers of a service: the pure core, for one event after the other.

mod one;
mod sizes;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_events::{Lane as DeclaredLane, Topic};
use rdkafka::message::Message;

use self::one::{By, Handles, One};
use self::sizes::Sizes;
use super::lane::Settings;
use super::log::Decide;
use super::memory::Overlay;
use super::notes::ENOUGH;
use super::topics::{Limits, ShardError, Taken, Topics};
use crate::failure::Failure;
use crate::observe::metrics::metrics;
use crate::process::outputs::Outputs;
use crate::record::Record;
use crate::service::{Pipeline, Service};
use crate::state::State;

/// The handlers of a service in the batch lane, one for each of its topics.
pub struct Handlers {
    service: Service,
    topics: Vec<Box<dyn Handles>>,
    sizes: Sizes,
}

/// The handlers are not those that the topic files name.
#[derive(Debug, thiserror::Error)]
#[error("{service} in the batch lane: {reason}")]
pub struct Undeclared {
    service: &'static str,
    reason: String,
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
    /// None yet, of this service.
    pub fn of(pipeline: &Pipeline, service: &'static str) -> Self {
        Self {
            service: pipeline.service(service),
            topics: Vec::new(),
            sizes: Sizes::new(crate::kafka::client(&pipeline.endpoints().kafka)),
        }
    }

    /// Decides about the events of `T` by a plain function of state and event.
    pub fn on<T: Topic, S: State + 'static>(
        self,
        decide: impl Fn(&mut S, T::Event) -> Result<T::Result, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.on_with::<T, S>(move |state: &mut S, event: T::Event, _: &mut Outputs| {
            decide(state, event).map(Some)
        })
    }

    /// As [`Self::on`], for decisions that emit events or answer other commands too. `None`: this
    /// command is answered by a later event.
    pub fn on_with<T: Topic, S: State + 'static>(
        mut self,
        decide: impl Fn(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let handler = self.service.handler::<T>();
        self.topics
            .push(Box::new(By::<T, S, _>::new(handler, decide)));
        self
    }

    fn one(&self, now: i64) -> One<'_> {
        One {
            shared: &self.service.pipeline.shared,
            service: self.service.name,
            sizes: &self.sizes,
            now,
        }
    }

    /// The service that they are of, if they are those that its topic files name.
    pub fn settings(&self, limits: Limits) -> Result<Settings, Undeclared> {
        let (service, shared) = (self.service.name, &self.service.pipeline.shared);
        let undeclared = |reason: String| Undeclared { service, reason };
        let declared = shared.topics.values().copied();
        let declared = declared.filter(|topic| {
            let is_ours = |to: &millstream_events::Subscription| to.service == service;
            topic.lane == DeclaredLane::Batch && topic.subscriptions.iter().any(is_ours)
        });
        let mut declared: Vec<_> = declared.map(|topic| topic.name).collect();
        let handled: Vec<_> = self.topics.iter().map(|it| it.declaration().name).collect();
        declared.retain(|name| !handled.contains(name));
        if let Some(name) = declared.first() {
            let reason = format!("nothing handles its topic {name}; add `.on::<..>` for it");
            return Err(undeclared(reason));
        }
        let first = match self.topics.first() {
            Some(first) => first.declaration(),
            None => return Err(undeclared("it has no topic".into())),
        };
        for topic in &self.topics {
            let topic = topic.declaration();
            let mut to = topic.subscriptions.iter();
            if topic.lane != DeclaredLane::Batch || !to.any(|to| to.service == service) {
                let reason = format!(
                    "the file of {} does not say lane = \"batch\" and name it; write both",
                    topic.name
                );
                return Err(undeclared(reason));
            }
        }
        let topics = self.topics.iter();
        Ok(Settings {
            prefix: shared.prefix.clone(),
            service: service.to_owned(),
            topics: topics
                .map(|it| it.declaration().subscribed_topic())
                .collect(),
            partitions: first.partitions,
            generation: first.generation,
            limits,
        })
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
        for taken in records {
            if let Some(handler) = self.topics.get(taken.topic) {
                let one = self.one(now);
                one.decide(&**handler, &taken.message, states, &mut outputs, &mut note)
                    .await?;
            }
        }
        Ok((outputs, note))
    }

    async fn crashed(
        &self,
        states: &mut Overlay<'_, Arc<str>, Bytes>,
        Taken { topic, message }: Taken,
        ended: usize,
    ) -> Result<(Vec<Record>, Note), ShardError> {
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
            let one = self.one(now);
            one.crashed(
                &**handler,
                &message,
                is_read,
                states,
                &mut outputs,
                &mut note,
            )
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
