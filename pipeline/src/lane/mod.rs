//! What the lanes have in common: they fetch what [`crate::process`] needs to know of an event, and
//! carry out what it decides. One [`Handling`] is one attempt at one event.

pub mod attempt;
pub mod batch;
pub(crate) mod context;
pub mod crashes;
pub mod decider;
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
use restate_sdk::prelude::*;

pub(crate) use handled::Handled;

use crate::codec::Digested;
use crate::failure::Failure;
use crate::lane::context::Journal;
use crate::observe::metrics::metrics;
use crate::process::{Facts, Received, Unread};
use crate::service::Shared;

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
            attempt: attempt::number(),
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
            Err(unread) => Err(unread),
            Ok(()) => {
                let codec = &self.shared.codec;
                let read = codec.read::<E>(&received.record, digested).await;
                let read = read.map_err(|error| self.retry(received, None, error))?;
                read.map_err(Unread::Refused)
            }
        };
        let facts = Facts { decoded, now: None };
        let now = match facts.want_time(received) {
            false => None,
            true => Some(now(ctx, is_journaled).await?),
        };
        Ok(Facts { now, ..facts })
    }

    /// Counts an attempt that is to be repeated at an event of which perhaps nothing is known yet, and
    /// says why.
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
            key = &*received.key,
            topic = &*position.topic,
            partition = position.partition,
            offset = position.offset,
            handler = &*received.handler,
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
