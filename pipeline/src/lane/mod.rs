//! What the lanes have in common: they fetch what [`crate::process`] needs to know of an event, and
//! carry out what it decides. One [`Handling`] is one attempt at one event.

pub mod attempt;
pub mod batch;
pub(crate) mod context;
pub mod crashes;
pub mod decider;
mod eager_state;
mod handled;
pub mod invocation;
pub mod keyed;
#[cfg(test)]
mod model;
pub(crate) mod origin;
mod protocol;
pub mod stateless;
pub mod workflow;

use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use futures::FutureExt;
use millstream_events::{EventMeta, EventSet};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use restate_sdk::prelude::*;

pub(crate) use handled::Handled;

use crate::codec::Digested;
use crate::failure::Failure;
use crate::kafka::group;
use crate::kafka::publisher::PublishError;
use crate::lane::context::Journal;
use crate::observe::metrics::metrics;
use crate::observe::telemetry;
use crate::observe::trace::TraceContext;
use crate::process::{
    Checked, Code, Ending, Facts, Kept, Outcome, Output, Received, Stop, Timing, letter,
};
use crate::service::Shared;
use crate::system::timers;

/// An attempt at an event.
pub(crate) struct Handling {
    pub shared: Arc<Shared>,
    /// Its number since the journal last grew, from 1.
    attempt: u32,
    begun: SystemTime,
}

impl Handling {
    /// The attempt that this code runs in.
    pub fn begin(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            attempt: eager_state::attempt(),
            begun: SystemTime::now(),
        }
    }

    /// Fetches what has to be known of a record. Where the state was not journaled, that comes first.
    pub async fn facts<E: EventSet>(
        &self,
        ctx: &dyn Journal<'_>,
        received: &Received,
        digested: Digested,
        is_journaled: bool,
    ) -> HandlerResult<Facts<E>> {
        let decoded = match received.is_to_be_read() {
            false => None,
            true => {
                let codec = &self.shared.codec;
                let read = codec.read::<E>(&received.record, digested).await;
                Some(read.map_err(|error| self.retry(received, None, error))?)
            }
        };
        let facts = Facts { decoded, now: None };
        let now = match facts.want_time(received) {
            false => None,
            true => Some(now(ctx, is_journaled).await?),
        };
        Ok(Facts { now, ..facts })
    }

    /// Decides with what is known, and has fetched what is not. What can never be is refused.
    pub async fn decide(
        &self,
        ending: &Ending<'_>,
        kept: &mut dyn Kept,
        mut decide: impl FnMut(&mut dyn Kept) -> Result<Outcome, Stop> + Send,
    ) -> HandlerResult<Outcome> {
        let never = loop {
            match decide(&mut *kept) {
                Ok(outcome) => return Ok(outcome),
                Err(Stop::Never(failure)) => break failure,
                Err(Stop::Unreadable(error)) => return Err(error.into()),
                Err(Stop::Need(need)) => match self.shared.codec.fetch(need).await {
                    Ok(Ok(())) => {}
                    Ok(Err(failure)) => break failure,
                    Err(error) => return Err(self.again(ending.checked, error)),
                },
            }
        };
        self.refuse(ending, kept, &never).await
    }

    /// The outcome of a refusal.
    pub async fn refuse(
        &self,
        ending: &Ending<'_>,
        kept: &mut dyn Kept,
        failure: &Failure,
    ) -> HandlerResult<Outcome> {
        loop {
            match ending.refused(kept, failure, &[]) {
                Ok(outcome) => return Ok(outcome),
                Err(Stop::Need(need)) => match self.shared.codec.fetch(need).await {
                    Ok(Ok(())) => {}
                    Ok(Err(failure)) => return Err(failure.into()),
                    Err(error) => return Err(self.again(ending.checked, error)),
                },
                Err(Stop::Never(failure)) => return Err(failure.into()),
                Err(Stop::Unreadable(error)) => return Err(error.into()),
            }
        }
    }

    /// Does what was decided, the state last; and counts and logs that the event is finished. Without
    /// a context there are neither timers nor a state.
    pub async fn carry_out(
        &self,
        ctx: Option<&dyn Journal<'_>>,
        ending: &Ending<'_>,
        kept: &mut dyn Kept,
        outcome: Outcome,
        has_waited: bool,
    ) -> HandlerResult<()> {
        let outcome = self.publish(ending, &mut *kept, outcome).await?;
        if let Some(ctx) = ctx {
            let source = &ending.emitter.source;
            for timing in outcome.timers {
                match timing {
                    Timing::Set { name, event } => {
                        let Output { record, meta, .. } = *event;
                        timers::set(ctx, source, name.as_deref(), record, &meta);
                    }
                    Timing::Cancel { name } => timers::cancel(ctx, source, &name),
                }
            }
            if let Some(fields) = outcome.fields {
                ctx.write_state(kept.entry(&fields)?);
            }
        }
        let checked = ending.checked;
        if outcome.is_repeated {
            let topic = checked.received.declaration.name;
            let answers = &metrics().idempotent_answers;
            answers.with_label_values(&[topic]).inc();
        }
        match outcome.code {
            Code::Skipped(reason) => skip(&checked.received, reason),
            Code::Ended(code) => self.finished(checked, &code, has_waited),
        }
        Ok(())
    }

    /// Keeps and publishes what an outcome says, or what comes in its place where Kafka never takes
    /// that; what it came to at last.
    async fn publish(
        &self,
        ending: &Ending<'_>,
        kept: &mut dyn Kept,
        mut outcome: Outcome,
    ) -> HandlerResult<Outcome> {
        let (mut published, mut is_kept) = (Vec::new(), false);
        loop {
            let checked = ending.checked;
            if let Some(failure) = outcome.dead_letter.as_ref().filter(|_| !is_kept) {
                self.keep(checked, failure).await?;
                is_kept = true;
            }
            let (sent, error) = self.publish_all(&outcome).await;
            published.extend(sent);
            let error = match error {
                None => return Ok(outcome),
                Some(error @ PublishError::Infrastructure { .. }) => {
                    return Err(self.again(checked, error));
                }
                Some(error) => error,
            };
            if outcome.dead_letter.is_some() {
                let position = &checked.received.position;
                tracing::error!(%error, %position, "a failure cannot be answered");
            }
            let instead =
                |kept: &mut dyn Kept| ending.unpublished(kept, &outcome, &published, &error);
            outcome = self.decide(ending, kept, instead).await?;
        }
    }

    /// Publishes the records together, and then the answer. If not all could be: what was published,
    /// and why the rest was not.
    async fn publish_all(&self, outcome: &Outcome) -> (Vec<Output>, Option<PublishError>) {
        let publisher = &self.shared.publisher;
        let records: Vec<_> = outcome.records.iter().map(|it| &it.record).collect();
        let (sent, error) = publisher.publish_all(&records).await;
        if error.is_some() {
            let sent = outcome.records.iter().zip(sent).filter(|(_, sent)| *sent);
            return (sent.map(|(output, _)| output.clone()).collect(), error);
        }
        let Some(answer) = &outcome.answer else {
            return (Vec::new(), None);
        };
        match publisher.publish(&answer.record).await {
            Ok(_) => (Vec::new(), None),
            Err(error) => (outcome.records.clone(), Some(error)),
        }
    }

    /// Writes the record to the dead letter topic.
    async fn keep(&self, checked: &Checked, failure: &Failure) -> HandlerResult<()> {
        let received = &checked.received;
        let topic = received.declaration;
        if !topic.dead_letters {
            return Ok(());
        }
        let originals = &self.shared.originals;
        let read = originals.read(&received.position, received.record.clone());
        let original = read.await.map_err(|error| self.again(checked, error))?;
        let letter = letter(received, original, failure, &self.shared.prefix);
        let published = self.shared.publisher.publish(&letter).await;
        published.map_err(|error| self.again(checked, error))?;
        let labels = [topic.name, &failure.code];
        metrics().dead_letters.with_label_values(&labels).inc();
        Ok(())
    }

    /// Counts and logs that the event is finished.
    fn finished(&self, checked: &Checked, outcome: &str, has_waited: bool) {
        let (received, meta) = (&checked.received, &checked.meta);
        let (topic, position) = (received.declaration.name, &received.position);
        let labels = [topic, received.handler.as_str(), outcome];
        metrics().events.with_label_values(&labels).inc();
        let now = jiff::Timestamp::now().as_microsecond();
        // One time that cannot be right would be most of the sum for good.
        let age = now.saturating_sub(position.believed_micros(meta.time));
        metrics()
            .event_duration
            .with_label_values(&[topic])
            .observe(age.max(0) as f64 / 1e6);
        metrics()
            .handling_duration
            .with_label_values(&[topic])
            .observe(self.begun.elapsed().unwrap_or_default().as_secs_f64());
        let context = checked.trace;
        tracing::info!(
            event_id = meta.id,
            key = received.key,
            topic = position.topic,
            partition = position.partition,
            offset = position.offset,
            attempt = self.attempt,
            correlation_id = meta.correlation_id,
            principal = meta.principal,
            trace_id = format_args!("{:032x}", context.trace),
            handler = received.handler,
            outcome,
            "event handled"
        );
        if telemetry::is_on() {
            self.trace(checked, context, outcome, has_waited);
        }
    }

    /// Exports the span in which the event was handled.
    fn trace(&self, checked: &Checked, context: TraceContext, outcome: &str, has_waited: bool) {
        let (received, meta) = (&checked.received, &checked.meta);
        let position = &received.position;
        let mut attributes = telemetry::messaging(
            "process",
            (&position.topic, position.partition, position.offset),
            (&received.key, &meta.id, &meta.correlation_id),
        );
        let group = group::of_handler(&self.shared.prefix, &position.topic, &received.handler);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", group),
            KeyValue::new("millstream.handler", received.handler.clone()),
        ]);
        // A handler that waited has gone on in another attempt, perhaps days after the first.
        let begun = match has_waited {
            true => position.time(),
            false => self.begun,
        };
        telemetry::Span {
            kind: SpanKind::Consumer,
            name: format!("process {}", position.topic),
            context: context.handling(&meta.id, &received.source()),
            parent: context.span,
            begun,
            attributes,
            error: (outcome != "ok").then(|| outcome.to_owned()),
        }
        .end();
    }

    /// Counts an attempt at a checked event that is to be repeated, and says why.
    pub fn again(
        &self,
        checked: &Checked,
        error: impl Into<HandlerError> + Display,
    ) -> HandlerError {
        self.retry(&checked.received, Some(&checked.meta), error)
    }

    /// The same of an event of which perhaps nothing is known yet.
    pub fn retry(
        &self,
        received: &Received,
        meta: Option<&EventMeta>,
        error: impl Into<HandlerError> + Display,
    ) -> HandlerError {
        let unread;
        let meta = match meta {
            Some(meta) => meta,
            None => {
                unread = received.stand_in();
                &unread
            }
        };
        let position = &received.position;
        tracing::warn!(
            %error,
            attempt = self.attempt,
            event_id = meta.id,
            correlation_id = meta.correlation_id,
            key = received.key,
            topic = position.topic,
            partition = position.partition,
            offset = position.offset,
            handler = received.handler,
            "attempt failed"
        );
        metrics()
            .retries
            .with_label_values(&[received.declaration.name])
            .inc();
        error.into()
    }
}

/// The time, which is journaled: a repeated attempt could decide otherwise. Somebody may have
/// cancelled the invocation: the command is answered all the same.
async fn now(ctx: &dyn Journal<'_>, is_journaled: bool) -> HandlerResult<Result<i64, Failure>> {
    if !is_journaled && let Err(error) = ctx.entry().await {
        return Ok(Err(Failure::of_terminal(&error)));
    }
    let now = async { Ok(jiff::Timestamp::now().as_microsecond().to_string()) };
    match ctx.run("now", Box::new(|| now.boxed())).await {
        Ok(now) => Ok(Ok(now.parse()?)),
        Err(error) => Ok(Err(Failure::of_terminal(&error))),
    }
}

/// Counts a record that is not handled, or not again.
pub(crate) fn skip(received: &Received, reason: &str) {
    let labels = [received.declaration.name, reason];
    metrics().events_skipped.with_label_values(&labels).inc();
    tracing::debug!(position = %received.position, reason, "event skipped");
}
