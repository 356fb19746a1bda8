//! A provider delivers its events twice, in the wrong order, and one that nobody knows.

use millstream_schemas::payment_webhooks::{ProviderEvent, WebhookProcessed};
use millstream_topics::PaymentWebhooks;

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let payment = run.key("payment1");
    let event = |id: &str, kind: &str, created| ProviderEvent {
        event_id: id.into(),
        r#type: kind.into(),
        created,
        payload: "{}".into(),
    };
    let paid = event("evt_2", "payment_intent.succeeded", 2);
    let created = event("evt_1", "payment_intent.created", 1);
    let unknown = event("evt_3", "account.updated", 3);
    for (what, event, expected) in [
        ("an event", paid.clone(), (false, false, true)),
        ("the event again", paid, (true, false, true)),
        ("one that happened before", created, (false, true, true)),
        ("one of an unknown type", unknown, (false, false, false)),
    ] {
        let processed: WebhookProcessed =
            run.request::<PaymentWebhooks, _>(&payment, event).await?;
        let flags = (processed.duplicate, processed.out_of_order, processed.known);
        let what = format!("{what} (duplicate, out of order, known)");
        run.expect(&what, flags, expected);
    }
    Ok(())
}
