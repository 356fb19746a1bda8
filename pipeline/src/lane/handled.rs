//! A checked event in any lane of Restate's, and the way to its end: what is decided, published, written
//! and said of it.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use restate_sdk::prelude::*;

use super::{Handling, skip};
use crate::failure::Failure;
use crate::kafka::group;
use crate::kafka::publisher::PublishError;
use crate::lane::context::Journal;
use crate::lane::origin::Origin;
use crate::observe::metrics::metrics;
use crate::observe::telemetry;
use crate::process::{
    Checked, Code, End, Ending, Kept, Numbers, Outcome, Output, Stop, Timing, letter,
};
use crate::system::timers;

/// What a handler holds of an event besides the event itself and a state.
pub(crate) struct Handled {
    pub handling: Handling,
    pub checked: Checked,
    /// Made when something waits or is emitted meanwhile.
    origin: OnceLock<Arc<Origin>>,
    /// Whether what is published under the object's own key gets a `seq`.
    pub is_sequenced: bool,
}

impl Handled {
    pub fn new(handling: Handling, checked: Checked) -> Self {
        Self {
            handling,
            checked,
            origin: OnceLock::new(),
            is_sequenced: true,
        }
    }

    /// Where the events come from that are emitted before the end.
    pub fn origin(&self) -> Arc<Origin> {
        let origin = self.origin.get_or_init(|| {
            let shared = Arc::clone(&self.handling.shared);
            let time = self.checked.recorded_ms.saturating_mul(1000);
            Arc::new(Origin::new(shared, self.checked.emitter.clone(), time))
        });
        Arc::clone(origin)
    }

    /// Ends it: everything is published, then the timers are set and the state is written; and it is
    /// counted and logged that the event is finished. Without a context there are neither timers nor a
    /// state.
    pub async fn end(
        &self,
        ctx: Option<&dyn Journal<'_>>,
        kept: &mut dyn Kept,
        end: End,
    ) -> HandlerResult<()> {
        let (checked, origin) = (&self.checked, self.origin.get());
        let numbers = origin.map_or_else(|| Numbers::from(checked), |origin| origin.numbers());
        let ending = Ending {
            rules: self.handling.shared.rules(),
            checked,
            numbers: Numbers {
                sequenced: self.is_sequenced,
                ..numbers
            },
        };
        let outcome = |kept: &mut dyn Kept| ending.outcome(kept, &end);
        let outcome = self.decide(&ending, &mut *kept, outcome).await?;
        let outcome = self.publish(&ending, &mut *kept, outcome).await?;
        if let Some(ctx) = ctx {
            let source = &checked.emitter.source;
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
        if outcome.is_repeated {
            let topic = checked.received.declaration.name;
            let answers = &metrics().idempotent_answers;
            answers.with_label_values(&[topic]).inc();
        }
        match outcome.code {
            Code::Skipped(reason) => skip(&checked.received, reason),
            Code::Ended(code) => self.finished(&code),
        }
        Ok(())
    }

    /// Decides with what is known, and has fetched what is not. What can never be is refused.
    async fn decide(
        &self,
        ending: &Ending<'_>,
        kept: &mut dyn Kept,
        mut decide: impl FnMut(&mut dyn Kept) -> Result<Outcome, Stop> + Send,
    ) -> HandlerResult<Outcome> {
        let mut never: Option<Failure> = None;
        loop {
            let outcome = match &never {
                None => decide(&mut *kept),
                Some(failure) => ending.refused(&mut *kept, failure, &[]),
            };
            let failure = match outcome {
                Ok(outcome) => return Ok(outcome),
                Err(Stop::Unreadable(error)) => return Err(error.into()),
                Err(Stop::Never(failure)) => failure,
                Err(Stop::Need(need)) => match self.handling.shared.codec.fetch(need).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(failure)) => failure,
                    Err(error) => return Err(self.again(error)),
                },
            };
            if never.is_some() {
                // It cannot be refused, either.
                return Err(failure.into());
            }
            never = Some(failure);
        }
    }

    /// Keeps and publishes what an outcome says, the records together and then the answer, or what comes
    /// in its place where Kafka never takes that; what it came to at last.
    async fn publish(
        &self,
        ending: &Ending<'_>,
        kept: &mut dyn Kept,
        mut outcome: Outcome,
    ) -> HandlerResult<Outcome> {
        let publisher = &self.handling.shared.publisher;
        let (mut published, mut is_kept) = (Vec::new(), false);
        loop {
            if let Some(failure) = outcome.dead_letter.as_ref().filter(|_| !is_kept) {
                self.keep(failure).await?;
                is_kept = true;
            }
            let records: Vec<_> = outcome.records.iter().map(|it| &it.record).collect();
            let (sent, mut error) = match &records[..] {
                [] => Default::default(),
                records => publisher.publish_all(records).await,
            };
            if let (None, Some(answer)) = (&error, &outcome.answer) {
                error = publisher.publish(&answer.record).await.err();
            }
            let error = match error {
                None => return Ok(outcome),
                Some(error @ PublishError::Infrastructure { .. }) => return Err(self.again(error)),
                Some(error) => error,
            };
            if outcome.dead_letter.is_some() {
                let position = &self.checked.received.position;
                tracing::error!(%error, %position, "a failure cannot be answered");
            }
            let sent = outcome.records.iter().zip(sent).filter(|(_, sent)| *sent);
            published.extend(sent.map(|(output, _)| output.clone()));
            let instead =
                |kept: &mut dyn Kept| ending.unpublished(kept, &outcome, &published, &error);
            outcome = self.decide(ending, &mut *kept, instead).await?;
        }
    }

    /// Writes the record to the dead letter topic.
    async fn keep(&self, failure: &Failure) -> HandlerResult<()> {
        let (shared, received) = (&self.handling.shared, &self.checked.received);
        let topic = received.declaration;
        if !topic.dead_letters {
            return Ok(());
        }
        let read = shared
            .originals
            .read(&received.position, received.record.clone());
        let original = read.await.map_err(|error| self.again(error))?;
        let letter = letter(received, original, failure, &shared.prefix);
        let published = shared.publisher.publish(&letter).await;
        published.map_err(|error| self.again(error))?;
        let labels = [topic.name, &failure.code];
        metrics().dead_letters.with_label_values(&labels).inc();
        Ok(())
    }

    /// Counts and logs that the event is finished.
    fn finished(&self, outcome: &str) {
        let (received, meta) = (&self.checked.received, &self.checked.meta);
        let (topic, position) = (received.declaration.name, &received.position);
        let (attempt, begun) = (self.handling.attempt, self.handling.begun);
        let labels = [topic, &*received.handler, outcome];
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
            .observe(begun.elapsed().unwrap_or_default().as_secs_f64());
        tracing::info!(
            event_id = meta.id,
            key = &*received.key,
            topic = &*position.topic,
            partition = position.partition,
            offset = position.offset,
            attempt,
            correlation_id = meta.correlation_id,
            principal = meta.principal,
            trace_id = format_args!("{:032x}", self.checked.emitter.trace.trace),
            handler = &*received.handler,
            outcome,
            "event handled"
        );
        if telemetry::is_on() {
            self.trace(outcome);
        }
    }

    /// Exports the span in which the event was handled.
    fn trace(&self, outcome: &str) {
        let (received, meta) = (&self.checked.received, &self.checked.meta);
        let (emitter, position) = (&self.checked.emitter, &received.position);
        let mut attributes = telemetry::messaging(
            "process",
            (&position.topic, position.partition, position.offset),
            (&received.key, &meta.id, &meta.correlation_id),
        );
        let prefix = &self.handling.shared.prefix;
        let group = group::of_handler(prefix, &position.topic, &received.handler);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", group),
            KeyValue::new("millstream.handler", Arc::clone(&received.handler)),
        ]);
        // A handler that waited has gone on in another attempt, perhaps days after the first.
        let begun = match self.origin.get().is_some_and(|origin| origin.has_waited()) {
            true => position.time(),
            false => self.handling.begun,
        };
        telemetry::Span {
            kind: SpanKind::Consumer,
            name: format!("process {}", position.topic),
            context: emitter.trace.handling(&meta.id, &emitter.source),
            parent: emitter.trace.span,
            begun,
            attributes,
            error: (outcome != "ok").then(|| outcome.to_owned()),
        }
        .end();
    }

    /// Counts an attempt at the event that is to be repeated, and says why.
    pub fn again(&self, error: impl Into<HandlerError> + Display) -> HandlerError {
        let (received, meta) = (&self.checked.received, &self.checked.meta);
        self.handling.retry(received, Some(meta), error)
    }
}
