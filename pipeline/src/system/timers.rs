//! The object `Timers`: holds an event and produces it when it is due.
//!
//! Handlers set timers by [`crate::process::outputs::Emission::after`] and `at`; other programs produce
//! `SetTimer` and `CancelTimer` to the topic `timers`. A timer with a name lies in the state of the
//! object `<service>/<key>/<name>`; the object sends itself a delayed message that names the
//! timer's token. Setting it again changes the token, so the older message finds nothing to do. A
//! timer without a name cannot be taken back, so it needs no state: the delayed message holds it.
//! [`outside`] says what those of other programs may do.
//!
//! Pending timers lie in Restate, none in the memory of handlers.

// The SDK's macro adds client methods that it does not document.
#![allow(missing_docs)]

mod outside;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use millstream_events::EventMeta;
use restate_sdk::context::RequestTarget;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dead_letter::{Reason, dead_letter};
use crate::failure::{self, Failure};
use crate::kafka::publisher::{PublishError, Record};
use crate::lane::context::Journal;
use crate::observe::metrics::metrics;
use crate::record::source_offset::SourceOffset;
use crate::service::{Pipeline, Service};
use crate::state::idempotency::short;
use crate::state::{STATE_ENTRY, Stored};
use outside::{Sender, Wanted, refusal};

/// No timer runs longer: a hundred years.
pub const MAX_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Name of the object.
const OBJECT: &str = "Timers";

/// An event that is due later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Timer {
    /// Id of the event that set it.
    token: String,
    /// Microseconds since 1970-01-01 UTC.
    due: i64,
    topic: String,
    key: String,
    /// The record's value in base64.
    value: String,
    headers: Vec<(String, String)>,
    /// Who set it by an event; `None`: a service did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<Sender>,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Pending {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timer: Option<Timer>,
}

impl Timer {
    fn holding(record: Record, token: &str, due: i64) -> Self {
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        Self {
            token: token.to_owned(),
            due,
            topic: record.topic,
            key: text(record.key.as_deref()),
            value: BASE64_STANDARD.encode(record.value.unwrap_or_default()),
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (name.into_owned(), text(value.as_deref())))
                .collect(),
            sender: None,
        }
    }

    fn record(self) -> Result<Record, base64::DecodeError> {
        Ok(Record {
            topic: self.topic,
            key: Some(self.key.into_bytes()),
            value: Some(BASE64_STANDARD.decode(self.value)?),
            headers: self
                .headers
                .into_iter()
                .map(|(name, value)| (name.into(), Some(value.into())))
                .collect(),
        })
    }
}

/// Sets a timer of the object `source` (`Service/key`) for a record with this `meta`, due at
/// `meta.time`.
pub(crate) fn set(
    ctx: &dyn Journal<'_>,
    source: &str,
    name: Option<&str>,
    record: Record,
    meta: &EventMeta,
) {
    let timer = Timer::holding(record, &meta.id, meta.time);
    // A struct of texts and numbers is always JSON.
    let bytes = Bytes::from(serde_json::to_vec(&timer).unwrap_or_default());
    match name {
        Some(name) => {
            let target = RequestTarget::object(OBJECT, format!("{source}/{name}"), "set");
            ctx.send(target, bytes, Duration::ZERO);
        }
        None => {
            let target = RequestTarget::object(OBJECT, format!("{source}/{}", meta.id), "once");
            ctx.send(target, bytes, until(timer.due));
        }
    }
}

/// Takes away the timer of the object `source` with this name.
pub(crate) fn cancel(ctx: &dyn Journal<'_>, source: &str, name: &str) {
    let target = RequestTarget::object(OBJECT, format!("{source}/{name}"), "cancel");
    ctx.send(target, Bytes::new(), Duration::ZERO);
}

/// Now, in microseconds since 1970-01-01 UTC. Another attempt of a handler reads another time: what
/// depends on it is to be journaled.
pub fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// From now to `due`. The engine computes a delay's end on this clock too.
fn until(due: i64) -> Duration {
    let delay = due.saturating_sub(now_micros());
    Duration::from_micros(u64::try_from(delay).unwrap_or(0)).min(MAX_DELAY)
}

/// The object.
pub struct Timers(Service);

impl Timers {
    /// The object on `pipeline`.
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service(OBJECT))
    }

    async fn produce(&self, timer: Timer) -> HandlerResult<()> {
        let (due, topic, token) = (timer.due, timer.topic.clone(), timer.token.clone());
        let record = timer.record()?;
        match self.0.pipeline.shared.publisher.publish(&record).await {
            Ok(_) => {}
            Err(PublishError::Infrastructure { topic, source }) => {
                return Err(PublishError::Infrastructure { topic, source }.into());
            }
            Err(error) => return self.keep(record, (&token, due), &error).await,
        }
        let late = jiff::Timestamp::now().as_microsecond().saturating_sub(due);
        metrics()
            .timer_lateness
            .with_label_values(&[topic.as_str()])
            .observe(late.max(0) as f64 / 1e6);
        Ok(())
    }
}

impl Timers {
    /// Keeps an event that Kafka never takes, because it is larger than its topic allows, as a dead
    /// letter of that topic.
    async fn keep(
        &self,
        record: Record,
        (token, due): (&str, i64),
        error: &PublishError,
    ) -> HandlerResult<()> {
        let shared = &self.0.pipeline.shared;
        let topic = record.topic.clone();
        let kept_in = match shared.topics.get(topic.as_str()) {
            Some(declared) => declared.dead_letters.then(|| declared.dead_letter_topic()),
            // Another project's: it has such a topic if it keeps dead letters.
            None => {
                let kept_in = format!("{topic}-dlq");
                let is_there = shared.publisher.has_topic(&kept_in).await?;
                is_there.then_some(kept_in)
            }
        };
        let Some(kept_in) = kept_in else {
            tracing::error!(%error, topic, "a timer's event is dropped");
            return Ok(());
        };
        let failure = Failure::new(failure::HANDLER_FAILED, error.to_string()).shortened();
        let reason = Reason {
            position: &nowhere(&topic, token, due),
            handler: "Timers/fire",
            group: "",
            failure: &failure,
        };
        let letter = dead_letter(kept_in, record, &reason);
        match shared.publisher.publish(&letter).await {
            Ok(_) => {
                let labels = [&topic[..], &failure.code];
                metrics().dead_letters.with_label_values(&labels).inc();
            }
            Err(error @ PublishError::Infrastructure { .. }) => return Err(error.into()),
            // Larger than a dead letter may be; it is counted as a record that Kafka refused.
            Err(error) => tracing::error!(%error, "a timer's event is dropped"),
        }
        Ok(())
    }
}

/// Stands for the position of an event that never stood on its topic: partition -1, and a number
/// that tells it from others.
fn nowhere(topic: &str, token: &str, due: i64) -> SourceOffset {
    let [a, b, c, d, e, f, g, h] = short(token);
    SourceOffset {
        topic: topic.to_owned().into(),
        partition: -1,
        offset: i64::from_be_bytes([a & 0x7f, b, c, d, e, f, g, h]),
        timestamp_ms: due / 1000,
        taken_ms: None,
    }
}

#[restate_sdk::object(name = "Timers", inactivity_timeout = "0s")]
impl Timers {
    /// Handles `timers`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .0
            .receive::<millstream_events::Timers, Pending>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        use millstream_events::TimersEvent::{CancelTimer, SetTimer};
        let principal = turn.meta().principal.clone();
        let sender = Sender { principal };
        if let Some(before) = &turn.state().timer
            && let Err(failure) = sender.may_change(before.sender.as_ref())
        {
            return turn.fail(failure).await;
        }
        let timer = match turn.event.clone() {
            CancelTimer(_) => None,
            SetTimer(event) => {
                // Without a time it is due at once, whatever time its sender says it is.
                let recorded = turn.recorded_ms().saturating_mul(1000);
                let due = turn.meta().not_before.unwrap_or(recorded);
                let wanted = Wanted {
                    due,
                    topic: &event.topic,
                    key: &event.key,
                    value: &event.value,
                };
                let shared = &self.0.pipeline.shared;
                match refusal(shared, &wanted, turn.position()).await {
                    Ok(None) => {}
                    Ok(Some(failure)) => return turn.fail(failure).await,
                    Err(error) => return Err(turn.retry(error)),
                }
                let record = Record {
                    topic: event.topic,
                    key: Some(event.key.into_bytes()),
                    value: Some(event.value.0),
                    headers: Vec::new(),
                };
                let timer = Timer::holding(record, &turn.meta().id, due);
                let sender = Some(sender);
                Some(Timer { sender, ..timer })
            }
        };
        if let Some(timer) = &timer {
            arm(&ctx, timer);
        }
        turn.state().timer = timer;
        turn.answer(()).await
    }

    /// Holds an event under this object's key, in place of one that it holds already.
    #[handler]
    async fn set(&self, ctx: ObjectContext<'_>, timer: Bytes) -> HandlerResult<()> {
        let timer: Timer = serde_json::from_slice(&timer)?;
        let mut stored = self.stored(&ctx).await?;
        arm(&ctx, &timer);
        stored.state.timer = Some(timer);
        ctx.set(STATE_ENTRY, stored.to_bytes()?);
        Ok(())
    }

    /// Forgets the event.
    #[handler]
    async fn cancel(&self, ctx: ObjectContext<'_>, _nothing: Bytes) -> HandlerResult<()> {
        let stored = self.stored(&ctx).await?;
        forget(&ctx, stored)
    }

    /// Produces the event, if it is still the one with this token.
    #[handler]
    async fn fire(&self, ctx: ObjectContext<'_>, token: Bytes) -> HandlerResult<()> {
        let mut stored = self.stored(&ctx).await?;
        match stored.state.timer.take() {
            Some(timer) if timer.token.as_bytes() == &token[..] => {
                self.produce(timer).await?;
                forget(&ctx, stored)
            }
            _ => Ok(()),
        }
    }

    /// Produces an event that nobody can take back.
    #[handler]
    async fn once(&self, _ctx: ObjectContext<'_>, timer: Bytes) -> HandlerResult<()> {
        self.produce(serde_json::from_slice(&timer)?).await
    }
}

impl Timers {
    async fn stored(&self, ctx: &ObjectContext<'_>) -> HandlerResult<Stored<Pending>> {
        let entry: Option<Bytes> = ctx.get(STATE_ENTRY).await?;
        Ok(Stored::parse(entry.as_ref())?)
    }
}

/// Sends the object the message that it is due.
fn arm(ctx: &ObjectContext<'_>, timer: &Timer) {
    let target = RequestTarget::object(OBJECT, ctx.key(), "fire");
    let token = Bytes::from(timer.token.clone());
    ctx.send(target, token, until(timer.due));
}

/// An object that keeps no bookkeeping leaves nothing behind.
fn forget(ctx: &ObjectContext<'_>, mut stored: Stored<Pending>) -> HandlerResult<()> {
    stored.state.timer = None;
    match stored.bookkeeping {
        Some(_) => ctx.set(STATE_ENTRY, stored.to_bytes()?),
        None => ctx.clear(STATE_ENTRY),
    }
    Ok(())
}
