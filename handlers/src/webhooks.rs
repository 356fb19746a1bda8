//! Webhooks of a payment provider: each event of the provider is taken once, in order per payment.
//!
//! Providers deliver an event again until they are answered, and do not keep the order. So an object
//! remembers the last [`REMEMBERED`] event ids of its payment, tells what came after something that
//! happened later, and acknowledges what it does not know: an error would only bring it again.

use std::collections::VecDeque;
use std::sync::LazyLock;

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::observe::metrics::metrics;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_schemas::payment_webhooks::{ProviderEvent, WebhookProcessed};
use prometheus::IntCounter;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// The payment is paid.
pub const SUCCEEDED: &str = "payment_intent.succeeded";
/// The payment was tried and failed.
pub const FAILED: &str = "payment_intent.payment_failed";
/// The payment was given up.
pub const CANCELED: &str = "payment_intent.canceled";

/// What else happens to a payment.
const PASSING: [&str; 5] = [
    "payment_intent.created",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.amount_capturable_updated",
    "payment_intent.partially_funded",
];

/// Event ids that are remembered of each payment. A payment has some ten events; one that comes
/// again after so many others is taken for new.
pub const REMEMBERED: usize = 64;

/// Longer event ids are refused, so that the state stays small.
const MAX_ID_BYTES: usize = 255;

/// Webhooks of types that mean nothing here. The type is in the log; as a label it would be
/// whatever somebody outside writes.
pub const UNKNOWN_WEBHOOKS_TOTAL: &str = "millstream_unknown_webhooks_total";

static UNKNOWN: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    let help = "Webhooks acknowledged although their type means nothing here.";
    let counter = IntCounter::new(UNKNOWN_WEBHOOKS_TOTAL, help).ok()?;
    let registered = metrics().registry().register(Box::new(counter.clone()));
    registered.ok().map(|()| counter)
});

/// Whether the provider has decided about the payment.
pub fn is_final(kind: &str) -> bool {
    [SUCCEEDED, FAILED, CANCELED].contains(&kind)
}

fn is_known(kind: &str) -> bool {
    is_final(kind) || PASSING.contains(&kind)
}

/// What the provider has told about a payment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Type of the known event that happened last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// When the event that happened last happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<i64>,
    /// Events taken, each once.
    #[serde(default)]
    events: u64,
    /// Events of unknown types among them.
    #[serde(default)]
    unknown: u64,
    /// The last event ids, oldest first.
    #[serde(default)]
    event_ids: VecDeque<String>,
}

/// Takes an event of the provider.
pub fn decide(payment: &mut Payment, event: ProviderEvent) -> Result<WebhookProcessed, Failure> {
    check(&event)?;
    let known = is_known(&event.r#type);
    let mut processed = WebhookProcessed {
        duplicate: payment.event_ids.contains(&event.event_id),
        out_of_order: false,
        known,
        event_id: event.event_id,
        r#type: event.r#type,
    };
    if processed.duplicate {
        return Ok(processed);
    }
    processed.out_of_order = payment.created.is_some_and(|last| event.created < last);
    if !processed.out_of_order {
        payment.created = Some(event.created);
        if known {
            payment.status = Some(processed.r#type.clone());
        }
    }
    payment.events += 1;
    payment.unknown += u64::from(!known);
    payment.event_ids.push_back(processed.event_id.clone());
    while payment.event_ids.len() > REMEMBERED {
        payment.event_ids.pop_front();
    }
    Ok(processed)
}

fn check(event: &ProviderEvent) -> Result<(), Failure> {
    for (field, text) in [("event_id", &event.event_id), ("type", &event.r#type)] {
        if text.trim().is_empty() || text.len() > MAX_ID_BYTES {
            return Err(Failure::invalid_request(format!(
                "{field} must have 1 to {MAX_ID_BYTES} bytes; send what the provider sent"
            )));
        }
    }
    if event.created < 0 {
        return Err(Failure::invalid_request(
            "created is before 1970; send what the provider sent",
        ));
    }
    Ok(())
}

/// The service. Its key is the payment id.
pub struct PaymentWebhooks(Service);

impl PaymentWebhooks {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline) -> Self {
        // It is shown from the beginning, also as 0.
        LazyLock::force(&UNKNOWN);
        Self(pipeline.service(service_name!(PaymentWebhooks in millstream_topics::TOPICS)))
    }
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl PaymentWebhooks {
    /// Handles `payment-webhooks`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .0
            .receive::<millstream_topics::PaymentWebhooks, Payment>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        let kind = turn.event.r#type.clone();
        let unknown_before = turn.state().unknown;
        let mut unknown = unknown_before;
        turn.decide(|payment, event| {
            let processed = decide(payment, event);
            unknown = payment.unknown;
            processed
        })
        .await?;
        if unknown > unknown_before {
            tracing::warn!(kind, payment = ctx.key(), "webhook of an unknown type");
            if let Some(counter) = &*UNKNOWN {
                counter.inc();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(id: &str, kind: &str, created: i64) -> ProviderEvent {
        ProviderEvent {
            event_id: id.into(),
            r#type: kind.into(),
            created,
            payload: "{}".into(),
        }
    }

    #[test]
    fn an_event_is_taken_once_whatever_comes_in_between() {
        let mut payment = Payment::default();
        let first = decide(&mut payment, event("evt_1", SUCCEEDED, 5)).unwrap();
        assert!(!first.duplicate && first.known);
        decide(&mut payment, event("evt_2", "payment_intent.created", 6)).unwrap();
        let before = payment.clone();
        let again = decide(&mut payment, event("evt_1", SUCCEEDED, 9)).unwrap();
        assert!(again.duplicate && !again.out_of_order);
        assert_eq!(payment, before);
    }

    #[test]
    fn what_happened_earlier_is_flagged_and_does_not_become_the_status() {
        let mut payment = Payment::default();
        decide(&mut payment, event("evt_1", SUCCEEDED, 5)).unwrap();
        let late = decide(&mut payment, event("evt_2", "payment_intent.created", 4)).unwrap();
        assert!(late.out_of_order);
        let same = decide(&mut payment, event("evt_3", CANCELED, 5)).unwrap();
        assert!(!same.out_of_order);
        assert_eq!(payment.status.as_deref(), Some(CANCELED));
    }

    #[test]
    fn unknown_types_are_acknowledged_and_counted() {
        let mut payment = Payment::default();
        decide(&mut payment, event("evt_1", SUCCEEDED, 5)).unwrap();
        for _ in 0..2 {
            let processed = decide(&mut payment, event("evt_2", "account.updated", 6)).unwrap();
            assert!(!processed.known);
        }
        assert_eq!((payment.events, payment.unknown), (2, 1));
        assert_eq!(payment.status.as_deref(), Some(SUCCEEDED));
    }

    #[test]
    fn events_that_no_provider_sends_are_refused() {
        let mut payment = Payment::default();
        for bad in [
            event("", SUCCEEDED, 5),
            event("evt_1", " ", 5),
            event(&"e".repeat(300), SUCCEEDED, 5),
            event("evt_1", SUCCEEDED, -1),
        ] {
            let refused = decide(&mut payment, bad).unwrap_err();
            assert_eq!(refused.code, "invalid-request");
        }
        assert_eq!(payment, Payment::default());
    }

    proptest! {
        #[test]
        fn each_id_counts_once_and_the_memory_is_bounded(
            ids in prop::collection::vec((0..REMEMBERED, 0..100_i64), 0..300)
        ) {
            let mut payment = Payment::default();
            let mut taken = std::collections::HashSet::new();
            for (id, created) in ids {
                let id = format!("evt_{id}");
                let processed = decide(&mut payment, event(&id, SUCCEEDED, created)).unwrap();
                prop_assert_eq!(processed.duplicate, !taken.insert(id));
                prop_assert!(payment.event_ids.len() <= REMEMBERED);
                prop_assert_eq!(payment.events, taken.len() as u64);
            }
        }
    }
}
