//! Handlers that are killed while the provider is asked, and while its webhook is waited for.

use std::collections::BTreeMap;

use millstream_devstack::Part;
use millstream_topics::PaymentIntents;

use super::{BAD, GOOD, check, payment, results, webhooks};
use crate::support::stripe::Stripe;
use crate::support::{LIMIT, OwnStack, client_of, sql, unique, until};

/// Longer than any test: what comes earlier has not come by itself.
const NEVER_MS: &str = "3600000";

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_survives_kills() {
    let variables = [("MILLSTREAM_WEBHOOK_DEADLINE_MS", NEVER_MS)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stack = OwnStack::start(BTreeMap::from([(Part::Handlers, variables.into())])).await;
    let endpoints = stack.endpoints();
    let (client, stripe) = (client_of(&endpoints).await, Stripe::of(&endpoints));

    for method in [GOOD, BAD] {
        // While the provider carries out the request: it is repeated, and the payment is not.
        let (id, meta) = (unique("asking"), client.meta());
        stripe.plan(&id, "LATER", 100, 3000).await;
        let sending = client.send::<PaymentIntents>(&id, payment(method, false), Some(&meta));
        sending.await.unwrap();
        until("the payment", async || {
            (stripe.seen(&id).await.0 == 1).then_some(())
        })
        .await;
        stack.kill_part(Part::Handlers).await.unwrap();
        stack.start_part(Part::Handlers).await.unwrap();
        check(&client.result_of(&meta, LIMIT).await.unwrap(), method);
        assert_eq!(stripe.seen(&id).await, (1, 0));

        // While the webhook is waited for. It comes while nobody is there.
        let (id, meta) = (unique("waiting"), client.meta());
        stripe.plan(&id, "TWICE", 3_600_000, 0).await;
        let sending = client.send::<PaymentIntents>(&id, payment(method, true), Some(&meta));
        sending.await.unwrap();
        until("the wait", async || {
            let journals = sql::journals(&endpoints, "PaymentIntents", &id).await;
            let waits = |entries: &[String]| entries.iter().any(|it| it == "Command: Sleep");
            journals.iter().any(|(_, it)| waits(it)).then_some(())
        })
        .await;
        stack.kill_part(Part::Handlers).await.unwrap();
        stripe.settle(&id).await;
        assert!(results(&client, &id).is_empty());
        stack.start_part(Part::Handlers).await.unwrap();
        check(&client.result_of(&meta, LIMIT).await.unwrap(), method);
        assert_eq!(webhooks(&client, &id, 2).await, 1);
        assert_eq!(
            stripe.seen(&id).await,
            (1, 1),
            "made once, and asked for once"
        );
        // Copies are allowed by a kill between Kafka and the journal, with the same id.
        let all = results(&client, &id);
        let first = all[0].meta.as_ref().unwrap().id.clone();
        assert!(all.iter().all(|it| it.meta.as_ref().unwrap().id == first));
    }
}
