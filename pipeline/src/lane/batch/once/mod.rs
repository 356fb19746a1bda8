//! Results that are published once more, each exactly once: `[results] exactly-once = true` in a
//! topic's file (docs/decisions/0048).
//!
//! A result topic is at-least-once, and a reader of it applies the reader rule. This service does that
//! for all who cannot: it is leased the result topic as any topic of the batch lane, and what it accepts
//! it publishes as it came, in the same transaction as what it knows of the key then. So a reader of
//! committed records sees each once.
//!
//! It decides in the place of [`super::handlers`]; lease, position, states, notes and work orders are the
//! lane's. A state is what [`marks`] knows of a key.

mod marks;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use millstream_events::{Declaration, Once, ResultTopic, Subscription};
use restate_sdk::endpoint::Builder;
use restate_sdk::prelude::ServiceDefinition;

use self::marks::{Marks, Said};
use super::handlers::one::foreign;
use super::handlers::sizes::Sizes;
use super::lane::{Lane, Settings};
use super::log::Decide;
use super::memory::Overlay;
use super::topics::{Limits, ShardError, Taken, Topics};
use crate::codec::DecodeError;
use crate::failure::{self, Failure};
use crate::kafka;
use crate::lane::crashes;
use crate::lane::decider::leased;
use crate::observe::metrics::metrics;
use crate::process::{Received, letter};
use crate::record::Record;
use crate::sequence::Verdict;
use crate::service::Pipeline;

/// Header of a result that comes after others with higher numbers: one that was missed.
pub const LATE: &str = "millstream-late";

/// After so many records others have a turn.
const TURN: usize = 64;

/// Of each record so many keys are looked at, whether they may be forgotten.
const LOOKED_AT: usize = 2;

type States<'s> = Overlay<'s, Arc<str>, Bytes>;

/// Binds the services that publish results once: those of the topics that this process handles.
pub(crate) fn bind(pipeline: &Pipeline, mut services: Builder) -> Builder {
    let named = pipeline.named();
    for topic in pipeline.topics() {
        let mut handled = topic.subscriptions.iter();
        let Some(results) = topic.results.as_ref() else {
            continue;
        };
        if let Some(once) = results.once
            && handled.any(|to| named.contains(to.service))
        {
            services = match service(pipeline, results, once) {
                Some(service) => services.bind(service),
                None => services,
            };
        }
    }
    services
}

fn service(pipeline: &Pipeline, results: &ResultTopic, once: Once) -> Option<ServiceDefinition> {
    let shared = &pipeline.shared;
    let Some(declaration) = shared.topics.get(results.name).copied() else {
        shared.served.refuse(format!(
            "{} publishes {} once, which the pipeline was not told of; give it all of TOPICS",
            once.service, results.name
        ));
        return None;
    };
    // As for any service that handlers are of.
    pipeline.service(once.service);
    let settings = Settings {
        prefix: shared.prefix.clone(),
        service: once.service.to_owned(),
        topics: vec![results.name.to_owned()],
        partitions: results.partitions,
        generation: once.generation,
        headers: true,
        limits: Limits::default(),
    };
    let config = kafka::client(&pipeline.endpoints().kafka);
    let publishing = Publishing {
        pipeline: pipeline.clone(),
        declaration,
        once,
        sizes: Sizes::new(config.clone()),
    };
    let stop = shared.served.lane(settings.clone());
    let lane = Arc::new(Lane::new(config, settings, publishing, stop));
    Some(leased(once.service, move |key| {
        let lane = Arc::clone(&lane);
        async move { lane.work(&key).await }.boxed()
    }))
}

/// Decides about results.
struct Publishing {
    pipeline: Pipeline,
    /// Of the result topic.
    declaration: &'static Declaration,
    once: Once,
    sizes: Sizes,
}

/// What is counted once it is so.
#[derive(Debug, Default)]
struct Note {
    verdicts: BTreeMap<&'static str, u64>,
    /// By code.
    letters: BTreeMap<String, u64>,
}

impl Decide<Topics> for Publishing {
    type Note = Note;

    async fn decide(
        &self,
        states: &mut States<'_>,
        records: Vec<Taken>,
    ) -> Result<(Vec<Record>, Note), ShardError> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let (mut outputs, mut note) = (Vec::with_capacity(records.len()), Note::default());
        let count = records.len();
        for (index, taken) in records.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            match self.one(&taken, now_ms, states).await? {
                Ok((verdict, accepted)) => {
                    *note.verdicts.entry(verdict.as_str()).or_default() += 1;
                    outputs.extend(accepted);
                }
                Err(failure) => outputs.extend(self.letter(&taken, &failure, &mut note).await?),
            }
        }
        forget(states, now_ms, self.once.marks_ms, LOOKED_AT * count)?;
        Ok((outputs, note))
    }

    async fn crashed(
        &self,
        _: &mut States<'_>,
        taken: Taken,
        _: usize,
    ) -> Result<(Vec<Record>, Note), ShardError> {
        let mut note = Note::default();
        let failure = Failure::new(failure::HANDLER_CRASHED, crashes::MESSAGE);
        let letter = self.letter(&taken, &failure, &mut note).await?;
        Ok((letter.into_iter().collect(), note))
    }

    fn committed(&self, note: Note) {
        let (metrics, topic) = (metrics(), self.declaration.name);
        for (verdict, count) in note.verdicts {
            let labels = [topic, verdict];
            metrics
                .reader_events
                .with_label_values(&labels)
                .inc_by(count);
        }
        for (code, count) in note.letters {
            let labels = [topic, &code];
            metrics
                .dead_letters
                .with_label_values(&labels)
                .inc_by(count);
        }
    }
}

impl Publishing {
    /// What the reader rule says of a result, and what is published of it, if anything is. A result that
    /// becomes a dead letter leaves no mark: should it come again, it is taken.
    async fn one(
        &self,
        taken: &Taken,
        now_ms: i64,
        states: &mut States<'_>,
    ) -> Result<Result<(Verdict, Option<Record>), Failure>, ShardError> {
        let received = self.received(taken);
        if let Some(failure) = foreign(taken.key.as_deref().unwrap_or_default(), &received) {
            return Ok(Err(failure));
        }
        let value = taken.value.as_deref().unwrap_or_default();
        let meta = match self.pipeline.shared.codec.meta(value).await {
            Ok(meta) => meta,
            Err(DecodeError::Registry(error)) => return Err(error.into()),
            Err(DecodeError::Value(failure)) => return Ok(Err(failure)),
            Err(error @ DecodeError::UnknownSchema(_)) => {
                let failure = Failure::new(failure::UNKNOWN_SCHEMA, error.to_string());
                return Ok(Err(failure));
            }
        };
        let key = received.key;
        let mut marks = parse(&key, states.get(&key)?)?;
        marks.forget(now_ms, self.once.marks_ms);
        let verdict = marks.judge(Said::of(meta, value), now_ms);
        if matches!(verdict, Verdict::Conflict | Verdict::AcceptAfterGap { .. }) {
            tracing::error!(
                topic = self.declaration.name,
                partition = taken.partition,
                offset = taken.offset,
                key = &*key,
                ?verdict,
                "a result is out of order"
            );
        }
        let accepted = match verdict {
            Verdict::Conflict => {
                let message = "a result with this number and another value came before, and was \
                     published: compare them, and find out who emitted two";
                return Ok(Err(Failure::new(failure::SEQUENCE_CONFLICT, message)));
            }
            Verdict::Duplicate => None,
            Verdict::Accept | Verdict::AcceptAfterGap { .. } | Verdict::AcceptLate => {
                let record = self.accepted(taken, verdict);
                if let Some(limit) = self.sizes.exceeded(&record).await? {
                    let message = format!(
                        "it is larger than the {limit} bytes that {} takes: raise its \
                         max.message.bytes, and replay this",
                        record.topic
                    );
                    return Ok(Err(Failure::new(failure::HANDLER_FAILED, message)));
                }
                Some(record)
            }
        };
        states.set(key, written(&marks));
        Ok(Ok((verdict, accepted)))
    }

    /// The record as it came, on the other topic.
    fn accepted(&self, taken: &Taken, verdict: Verdict) -> Record {
        let mut record = copy_of(taken, self.once.name);
        if verdict == Verdict::AcceptLate {
            record
                .headers
                .push((LATE.into(), Some(Bytes::from_static(b"true"))));
        }
        record
    }

    /// The dead letter of a result, unless the topic's file wants none.
    async fn letter(
        &self,
        taken: &Taken,
        failure: &Failure,
        note: &mut Note,
    ) -> Result<Option<Record>, ShardError> {
        if failure.code == failure::SEQUENCE_CONFLICT {
            *note.verdicts.entry(Verdict::Conflict.as_str()).or_default() += 1;
        }
        if !self.declaration.dead_letters {
            return Ok(None);
        }
        let received = self.received(taken);
        let original = copy_of(taken, self.declaration.name);
        let letter = letter(&received, Some(original), failure, self.pipeline.prefix());
        *note.letters.entry(failure.code.to_string()).or_default() += 1;
        self.sizes.shortened(letter).await.map(Some)
    }

    fn received(&self, taken: &Taken) -> Received {
        let Subscription { service, handler } = self.once.subscription();
        Received {
            declaration: self.declaration,
            service,
            handler: format!("{service}/{handler}").into(),
            key: String::from_utf8_lossy(taken.key.as_deref().unwrap_or_default()).into(),
            position: taken.position(self.declaration.name.into(), None),
            shard_epoch: 0,
            // What is kept of it is copied from the message.
            record: Bytes::new(),
        }
    }
}

/// The record as it was read, for this topic.
fn copy_of(taken: &Taken, topic: &str) -> Record {
    Record {
        topic: topic.to_owned(),
        key: taken.key.clone(),
        value: taken.value.as_deref().map(<[u8]>::to_vec),
        headers: taken.headers.clone(),
    }
}

fn parse(key: &str, state: Option<Bytes>) -> Result<Marks, ShardError> {
    match state.filter(|state| !state.is_empty()) {
        None => Ok(Marks::default()),
        Some(state) => {
            serde_json::from_slice(&state).map_err(|error| ShardError::state(key, &error))
        }
    }
}

fn written(marks: &Marks) -> Bytes {
    // Its keys are texts, so it has a form in JSON.
    serde_json::to_vec(marks).unwrap_or_default().into()
}

/// Forgets keys whose last result was seen too long ago, among so many that are looked at. With every
/// batch some more are, so that all of them have been before their number has doubled.
fn forget(
    states: &mut States<'_>,
    now_ms: i64,
    kept_ms: i64,
    count: usize,
) -> Result<(), ShardError> {
    if kept_ms < 0 {
        return Ok(());
    }
    for (key, state) in states.some(count)? {
        // What cannot be read stops the shard when its own key comes.
        if parse(&key, Some(state)).is_ok_and(|marks| marks.is_over(now_ms, kept_ms)) {
            states.set(key, Bytes::new());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
