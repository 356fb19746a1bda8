//! Payments that the provider decides at once, by webhook, or silently; each has one result.

use millstream_handlers::payment_signals::UNKNOWN_PAYMENT_METHOD;
use millstream_pipeline::events::RequestFailed;
use millstream_schemas::payment_intents::{PaymentProcessed, ProcessPayment, Status};
use millstream_topics::PaymentIntents;

use super::Run;
use crate::stand_ins::{Delivery, Plan, Stripe};

fn payment(method: &str, delayed_status: bool) -> ProcessPayment {
    ProcessPayment {
        payment_method_id: method.into(),
        amount_cents: 10_900,
        delayed_status,
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let stripe = Stripe::of(&run.endpoints)?;
    let (good, bad) = ("pm_card_visa", "pm_card_visa_chargeDeclined");
    for (name, method, delayed, delivery, status) in [
        ("at-once", good, false, Delivery::Later, Status::Succeeded),
        ("declined", bad, false, Delivery::Later, Status::Declined),
        ("later", good, true, Delivery::Later, Status::Succeeded),
        (
            "later-declined",
            bad,
            true,
            Delivery::Later,
            Status::Declined,
        ),
        ("overtaken", good, true, Delivery::AtOnce, Status::Succeeded),
        ("twice", good, true, Delivery::Twice, Status::Succeeded),
        ("silent", good, true, Delivery::Never, Status::Succeeded),
    ] {
        let key = run.key(name);
        let plan = Plan {
            delivery,
            ..Plan::default()
        };
        stripe.plan(&key, &plan).await?;
        let processed: PaymentProcessed = run
            .request::<PaymentIntents, _>(&key, payment(method, delayed))
            .await?;
        run.expect(&format!("the payment {name}"), processed.status, status);
        let made = stripe.seen(&key).await?.intents;
        run.expect(&format!("payments made of {name}"), made, 1);
    }
    let key = run.key("no-card");
    let refused: RequestFailed = run
        .request::<PaymentIntents, _>(&key, payment("pm_card_none", false))
        .await?;
    run.expect(
        "a payment by an unknown method",
        refused.code.as_str(),
        UNKNOWN_PAYMENT_METHOD,
    );
    Ok(())
}
