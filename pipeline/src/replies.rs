//! The service `Replies`: hands the results that arrive on the topic `replies` to whoever waits.
//!
//! A request between services names the topic in `reply_to` and its awakeable in `reply_key`,
//! followed by a dot and how long the caller waits, in milliseconds. The awakeable's value is the
//! reply's whole value, so that the caller decodes it. Nobody has to wait any more: completing an
//! awakeable late or twice does nothing.

// The SDK's macro adds client methods that it does not document.
#![allow(missing_docs)]

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use millstream_topics::Topic;
use restate_sdk::prelude::*;

use crate::code::{self, Failure};
use crate::codec::DecodeError;
use crate::delivery::Delivery;
use crate::incoming::filled;
use crate::metrics::metrics;
use crate::service::{Pipeline, Service};
use crate::shared::record_key;
use crate::turn::position;

/// Name of the topic.
pub(crate) const REPLIES: &str = <millstream_topics::Replies as Topic>::DECLARATION.name;

/// What awakeable ids begin with; an invocation id (24 bytes) and the awakeable's index (4 bytes,
/// big-endian) follow in base64.
///
/// Source: restate-sdk-shared-core, `awakeable_id_str`.
const AWAKEABLE_PREFIX: &str = "sign_1";
/// Signals below are the engine's own: the first one cancels an invocation.
const FIRST_AWAKEABLE: u32 = 17;

/// The `reply_key` of a request that waits for this awakeable.
pub(crate) fn reply_key(awakeable: &str, deadline: Duration) -> String {
    format!("{awakeable}.{}", deadline.as_millis())
}

/// The awakeable of a `reply_key`, and how long its owner waits in milliseconds. Only an id of the
/// right form may reach the engine, which would try to complete any other for ever.
fn parse(reply_key: &str) -> Option<(&str, Option<i64>)> {
    let (awakeable, wait) = match reply_key.split_once('.') {
        Some((awakeable, wait)) => (awakeable, Some(wait.parse().ok()?)),
        None => (reply_key, None),
    };
    let id = awakeable.strip_prefix(AWAKEABLE_PREFIX)?;
    let id: [u8; 28] = BASE64_URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
    let index = u32::from_be_bytes([id[24], id[25], id[26], id[27]]);
    (index >= FIRST_AWAKEABLE).then_some((awakeable, wait))
}

/// The service.
pub struct Replies(Service);

impl Replies {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service("Replies"))
    }
}

#[restate_sdk::service(name = "Replies", inactivity_timeout = "0s")]
impl Replies {
    /// Handles `replies`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: Context<'_>, record: Bytes) -> HandlerResult<()> {
        let key = record_key(ctx.headers());
        let position = position(ctx.headers())?;
        let to = (
            millstream_topics::Replies::DECLARATION,
            self.0.handler::<millstream_topics::Replies>(),
        );
        let mut delivery = Delivery::new(&self.0, to, &key, position, record.clone());
        let mut unknown_schema = None;
        match delivery.shared.codec.meta(&record).await {
            Ok(Some(meta)) => delivery.meta = filled(meta, &delivery.position),
            // The caller finds that it cannot be read, and comes to the same whenever it looks.
            Ok(None) | Err(DecodeError::Value(_)) => {}
            Err(DecodeError::Registry(error)) => return Err(delivery.retry(error)),
            Err(error @ DecodeError::UnknownSchema(_)) => unknown_schema = Some(error.to_string()),
        }
        let Some((awakeable, wait)) = parse(&key) else {
            let failure = Failure::new(
                code::INVALID_CORRELATION_ID,
                "the key is no awakeable id; answer under the reply_key of the command",
            );
            delivery.refuse(&failure).await?;
            delivery.finished(code::INVALID_CORRELATION_ID);
            return Ok(());
        };
        // What the registry says may change, so the caller must not ask it again: the verdict stands
        // in its journal.
        match unknown_schema {
            Some(why) => {
                let why = format!("a reply cannot be read: {why}");
                ctx.reject_awakeable(awakeable, TerminalError::new(why));
            }
            None => ctx.resolve_awakeable(awakeable, record),
        }
        // A result's time is that of its command, so the two stand on one clock.
        let took = delivery.position.timestamp_ms - delivery.meta.time / 1000;
        if wait.is_some_and(|wait| took > wait) {
            metrics().replies_late.inc();
        }
        delivery.finished("ok");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> String {
        let mut bytes = [7; 28];
        bytes[24..].copy_from_slice(&index.to_be_bytes());
        let id = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{AWAKEABLE_PREFIX}{id}")
    }

    #[test]
    fn only_what_a_handler_can_wait_for_is_completed() {
        let good = id(17);
        assert_eq!(parse(&good), Some((good.as_str(), None)));
        let key = reply_key(&good, Duration::from_secs(5));
        assert_eq!(parse(&key), Some((good.as_str(), Some(5000))));
        let cancel = id(1);
        for bad in ["", "sign_1", "sign_1AAAA", "prom_1x", &good[1..], &cancel] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&format!("{good}.soon")), None);
    }
}
