//! The service `Replies`: hands the results that arrive on the topic `replies` to whoever waits.
//!
//! A request between services names the topic in `reply_to`, and in `reply_key` the invocation that
//! waits, how long it waits, and the name of what it waits for: a digest of the command's id and of
//! the entity that was asked. From the reply, `Replies` makes the same name and completes what the
//! invocation awaits under it. So another command's reply, whoever sent that and whatever `reply_key`
//! it bears, is nothing that anybody awaits: it neither ends a wait nor uses it up.
//!
//! The value is the reply's whole value, so that the caller decodes it. Nobody has to wait any more:
//! a reply that comes late or twice does nothing.

// The SDK's macro adds client methods that it does not document.
#![allow(missing_docs)]

mod address;

use std::sync::Arc;

use bytes::Bytes;
use millstream_events::EventMeta;
use restate_sdk::prelude::*;

use crate::codec::DecodeError;
use crate::failure::{self, Failure};
use crate::lane::keyed::position;
use crate::lane::stateless::record_key;
use crate::lane::{Handled, Handling};
use crate::observe::metrics::metrics;
use crate::process::{Checked, Decided, End, Stateless};
use crate::service::{Pipeline, Service};
use address::{Waiter, parse};
pub(crate) use address::{answering, name, reply_key};

/// The service.
pub struct Replies(Service);

impl Replies {
    /// The service on `pipeline`.
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service("Replies"))
    }
}

#[restate_sdk::service(name = "Replies", inactivity_timeout = "0s")]
impl Replies {
    /// Handles `replies`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: Context<'_>, record: Bytes) -> HandlerResult<()> {
        let key = record_key(ctx.headers());
        let position = position(ctx.headers(), ctx.invocation_id())?;
        type Topic = millstream_events::Replies;
        let received = self.0.received::<Topic>(&key, position, record.clone());
        let handling = Handling::begin(&self.0.pipeline.shared);
        let (meta, unreadable) = match handling.shared.codec.meta(&record).await {
            Ok(Some(meta)) => (Some(meta), None),
            Ok(None) => {
                let message = "the reply has no `meta` that can be read; it says whom it answers";
                (None, Some(Failure::new(failure::UNDECODABLE, message)))
            }
            Err(DecodeError::Value(failure)) => (None, Some(failure)),
            Err(DecodeError::Registry(error)) => {
                return Err(handling.retry(&received, None, error));
            }
            Err(error @ DecodeError::UnknownSchema(_)) => {
                let failure = Failure::new(failure::UNKNOWN_SCHEMA, error.to_string());
                (None, Some(failure))
            }
        };
        let checked = Checked::unread(Arc::new(received), meta);
        match belongs(&checked.meta, parse(&key), unreadable) {
            Ok(Waiter::Named {
                invocation, name, ..
            }) => {
                let waiting = ctx.invocation_handle(invocation.to_owned());
                waiting.signal(name).resolve(record);
            }
            Ok(Waiter::Awakeable { id, .. }) => ctx.resolve_awakeable(id, record),
            Err(failure) => {
                let handled = Handled::new(handling, checked);
                return handled
                    .end(None, &mut Stateless, End::Refuse(failure))
                    .await;
            }
        }
        // A result's time is that of its command, so the two stand on one clock.
        let took = checked.recorded_ms.saturating_sub(checked.meta.time / 1000);
        let wait = parse(&key).and_then(|waiter| waiter.wait_ms());
        if wait.is_some_and(|wait| took > wait) {
            metrics().replies_late.inc();
        }
        let handled = Handled::new(handling, checked);
        handled
            .end(None, &mut Stateless, End::Answer(Decided::default()))
            .await
    }
}

/// Whoever waits for this reply. What tells nothing of its request belongs to none.
fn belongs<'k>(
    meta: &EventMeta,
    waiter: Option<Waiter<'k>>,
    unreadable: Option<Failure>,
) -> Result<Waiter<'k>, Failure> {
    let foreign = |message: &str| Failure::new(failure::INVALID_CORRELATION_ID, message);
    let waiter = waiter.ok_or_else(|| {
        foreign("the key is nobody's who waits; answer under the reply_key of the command")
    })?;
    let Waiter::Named { name: expected, .. } = waiter else {
        // Whoever waits so looks at the reply himself.
        return Ok(waiter);
    };
    if let Some(failure) = unreadable {
        return Err(failure);
    }
    let cause = meta.causation_id.as_deref().unwrap_or_default();
    let is_of_request = [Some(meta.source.as_str()), None]
        .into_iter()
        .any(|source| name(cause, source) == expected);
    match is_of_request {
        true => Ok(waiter),
        false => Err(foreign(
            "this answers another command than the one whose reply_key it bears; look at who sends \
             commands with the reply_key of others",
        )),
    }
}
