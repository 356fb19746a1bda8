//! Payments that the provider decides now or later, with one result either way.

mod kill;

use millstream_pipeline::client::Client;
use millstream_pipeline::events::Topic;
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::payment_intents::{PaymentProcessed, ProcessPayment, Status};
use millstream_schemas::payment_webhooks::{ProviderEvent, WebhookProcessed};
use millstream_topics::{PaymentIntents, PaymentWebhooks, PaymentWebhooksResults};

use crate::support::stripe::Stripe;
use crate::support::{Bench, LIMIT, client, endpoints, failure, unique, until};

const GOOD: &str = "pm_card_visa";
const BAD: &str = "pm_card_visa_chargeDeclined";

fn payment(method: &str, delayed_status: bool) -> ProcessPayment {
    ProcessPayment {
        payment_method_id: method.into(),
        amount_cents: 10_900,
        delayed_status,
    }
}

async fn pay(client: &Client, id: &str, request: ProcessPayment) -> Seen {
    let request = client.request::<PaymentIntents>(id, request, LIMIT);
    request.await.unwrap()
}

fn check(seen: &Seen, method: &str) {
    let processed: PaymentProcessed = seen.event().unwrap();
    let expected = match method {
        GOOD => (Status::Succeeded, None),
        _ => (Status::Declined, Some("card_declined".to_owned())),
    };
    assert_eq!((processed.status, processed.reason), expected);
}

/// Results of a payment so far.
fn results(client: &Client, id: &str) -> Vec<Seen> {
    let topic = "payment-intents-results";
    client.seen(|seen| seen.topic == topic && seen.key.as_deref() == Some(id))
}

/// Waits for so many webhooks of a payment; how many of them were new.
async fn webhooks(client: &Client, id: &str, count: usize) -> usize {
    let topic = PaymentWebhooksResults::DECLARATION.name;
    let of_it = |seen: &Seen| seen.topic == topic && seen.key.as_deref() == Some(id);
    until("the webhooks", async || {
        (client.seen(of_it).len() >= count).then_some(())
    })
    .await;
    let all = client.seen(of_it);
    let new = |seen: &&Seen| !seen.event::<WebhookProcessed>().unwrap().duplicate;
    all.iter().filter(new).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_the_provider_ends_in_one_result() {
    let (client, stripe) = (client().await, Stripe::of(endpoints()));
    let ways = [
        ("LATER", false, 1),
        ("LATER", true, 1),
        // Before the answer to the request, which still says that it is processing.
        ("AT_ONCE", false, 1),
        ("AT_ONCE", true, 1),
        ("TWICE", false, 2),
        ("TWICE", true, 2),
    ];
    let paying = ways.into_iter().flat_map(|way| [(way, GOOD), (way, BAD)]);
    let paying = paying.map(|((delivery, delayed, count), method)| {
        let (client, stripe) = (&client, &stripe);
        async move {
            let id = unique(delivery);
            stripe.plan(&id, delivery, 200, 100).await;
            check(&pay(client, &id, payment(method, delayed)).await, method);
            assert_eq!(webhooks(client, &id, count).await, 1, "{id}");
            assert_eq!(results(client, &id).len(), 1);
            assert_eq!(stripe.seen(&id).await.0, 1, "payments made of {id}");
        }
    });
    futures::future::join_all(paying).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_webhook_is_asked_for() {
    let (client, stripe) = (client().await, Stripe::of(endpoints()));
    // Decided before the deadline, and after the first questions.
    let waits = [(GOOD, 10), (BAD, 10), (GOOD, 4500)];
    let paying = waits.into_iter().map(|(method, settle_ms)| {
        let (client, stripe) = (&client, &stripe);
        async move {
            let id = unique("silent");
            stripe.plan(&id, "NEVER", settle_ms, 0).await;
            check(&pay(client, &id, payment(method, true)).await, method);
            let (made, questions) = stripe.seen(&id).await;
            assert!(made == 1 && questions >= 1, "{made} {questions}");
        }
    });
    futures::future::join_all(paying).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_asks_for_a_payment_gets_its_one_result() {
    let (client, stripe) = (client().await, Stripe::of(endpoints()));
    let id = unique("payment");
    let (first, second) = tokio::join!(
        pay(&client, &id, payment(GOOD, true)),
        pay(&client, &id, payment(GOOD, true))
    );
    let later = pay(&client, &id, payment(GOOD, true)).await;
    for seen in [first, second, later] {
        check(&seen, GOOD);
    }
    assert_eq!(stripe.seen(&id).await.0, 1);
    let other = pay(&client, &id, payment(BAD, true)).await;
    assert_eq!(failure(&other), "idempotency-mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_lies_does_not_make_a_payment() {
    let (client, stripe) = (client().await, Stripe::of(endpoints()));
    let id = unique("payment");
    stripe.plan(&id, "LATER", 1500, 0).await;
    let lie = ProviderEvent {
        event_id: "evt_forged".into(),
        r#type: "payment_intent.succeeded".into(),
        created: 5,
        payload: "{}".into(),
    };
    // Before there is such a payment.
    let request = client.request::<PaymentWebhooks>(&id, lie, LIMIT);
    request.await.unwrap();
    check(&pay(&client, &id, payment(BAD, true)).await, BAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_take_is_refused() {
    let (client, stripe) = (client().await, Stripe::of(endpoints()));
    let request = |method: &str, amount_cents| ProcessPayment {
        amount_cents,
        ..payment(method, false)
    };
    for (request, code, made) in [
        (request("pm_card_none", 5), "unknown-payment-method", 0),
        (request(GOOD, 100_000_000), "provider-refused", 0),
        (request(GOOD, 0), "invalid-request", 0),
        (request(GOOD, -5), "invalid-request", 0),
        (request("", 5), "invalid-request", 0),
    ] {
        let id = unique("payment");
        assert_eq!(failure(&pay(&client, &id, request).await), code);
        assert_eq!(stripe.seen(&id).await, (made, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_webhook_is_no_dead_letter_of_the_payment() {
    let (client, id) = (client().await, unique("payment"));
    let bad = ProviderEvent {
        event_id: String::new(),
        r#type: "payment_intent.succeeded".into(),
        created: 5,
        payload: "{}".into(),
    };
    let request = client.request::<PaymentWebhooks>(&id, bad, LIMIT);
    assert_eq!(failure(&request.await.unwrap()), "invalid-request");

    // What is no result at all is one, after everything that came before it.
    let bench = Bench::new(endpoints()).await;
    let topic = PaymentWebhooksResults::DECLARATION.name;
    let at = bench.send(topic, Some(&id), Some(b"no event")).await;
    bench.dead_letter(topic, at).await;
    let letters = client.seen(|seen| {
        seen.topic == format!("{topic}-dlq") && seen.key.as_deref() == Some(id.as_str())
    });
    assert!(letters.len() <= 1, "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_speaks_as_the_provider_does() {
    let stripe = Stripe::of(endpoints());
    let (key, payment, once) = (Some("sk_test_1"), unique("payment"), unique("once"));
    let form = |method| {
        [
            ("amount", "109"),
            ("currency", "usd"),
            ("payment_method", method),
            ("confirm", "true"),
            ("metadata[payment_id]", payment.as_str()),
        ]
    };
    let good = form(GOOD);
    let (status, _) = stripe.create(None, None, &good).await;
    assert_eq!(status, 401);
    let (status, paid) = stripe.create(key, Some(&once), &good).await;
    assert_eq!((status, paid["status"].as_str()), (200, Some("succeeded")));
    let (status, again) = stripe.create(key, Some(&once), &good).await;
    assert_eq!((status, &again), (200, &paid));
    let (status, other) = stripe.create(key, Some(&once), &form(BAD)).await;
    assert_eq!(status, 400);
    assert_eq!(other["error"]["type"], "idempotency_error");
    assert_eq!(stripe.seen(&payment).await.0, 1);
    let (status, declined) = stripe.create(key, None, &form(BAD)).await;
    assert_eq!(status, 402);
    assert_eq!(declined["error"]["code"], "card_declined");
    let intent = &declined["error"]["payment_intent"];
    assert_eq!(intent["status"], "requires_payment_method");
}
