//! Timers that cannot be set.

use std::time::Duration;

use millstream_pipeline::events::{
    Bytes, EventMeta, Timers, Topic,
    timers::{CancelTimer, SetTimer},
};
use millstream_pipeline::failure;
use millstream_schemas::accounts::Deposit;
use millstream_schemas::payments::{MakePayment, PaymentStatus};
use millstream_topics::{Accounts, OutboundEmails, Payments};

use super::{Setter, letter, state};
use crate::support::{Bench, LIMIT, endpoints, letter_code, sql, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_makes_no_sense_is_a_dead_letter() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let key = unique("mail");
    let value = bench.value(&letter(&key), None).await;
    let good = SetTimer {
        topic: OutboundEmails::DECLARATION.name.into(),
        key: key.clone(),
        value: Bytes(value),
    };
    let topic = |topic: &str| SetTimer {
        topic: topic.into(),
        ..good.clone()
    };
    let value = |value: &[u8]| SetTimer {
        value: Bytes(value.to_vec()),
        ..good.clone()
    };
    let no_key = SetTimer {
        key: String::new(),
        ..good.clone()
    };
    for (set, not_before, reason) in [
        (topic("no-such-topic"), None, "no-such-topic"),
        (topic(""), None, "no topic"),
        (topic("outbound-emails-dlq"), None, "no topic"),
        (no_key, None, "key"),
        (value(b""), None, ""),
        (value(b"plain text"), None, ""),
        (value(&[0, 0, 0]), None, ""),
        (good.clone(), Some(i64::MAX), "hundred years"),
        (good.clone(), Some(9_999_999_999_000_000), "hundred years"),
    ] {
        let name = unique("timer");
        let at = setter.send(&name, set.clone(), not_before).await;
        let letter = bench.dead_letter(Timers::DECLARATION.name, at).await;
        assert_eq!(letter_code(&letter), "invalid-request", "{set:?}");
        let message = letter.header("__connect.errors.exception.message").unwrap();
        assert!(message.contains(reason), "{set:?}: {message}");
        assert_eq!(letter.key.as_deref(), Some(name.as_str()));
        for (_, entry) in sql::settled_state(endpoints(), "Timers", &name).await {
            assert!(entry.get("timer").is_none(), "{entry}");
        }
    }
    assert!(setter.mails(&key).is_empty());
}

/// Whoever says that somebody else sends proves it, as on every topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_holds_no_principal_without_a_proof() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let mail = unique("mail");
    for proof in [None, Some("v1.0123456789abcdef.0.AAAA".to_owned())] {
        let meta = EventMeta {
            principal: Some("alice".into()),
            proof,
            ..bench.client.meta()
        };
        let event = letter(&mail);
        let set = setter.set::<OutboundEmails>(&mail, (&mail, &event), (&meta, None));
        let letter = bench.dead_letter(Timers::DECLARATION.name, set.await).await;
        assert_eq!(letter_code(&letter), failure::FORBIDDEN);
    }
    // Nor an event that its topic does not declare.
    let other = Deposit {
        amount_cents: 1,
        movement_id: None,
    };
    let meta = bench.client.meta();
    let set = setter.set::<OutboundEmails>(&mail, (&mail, &other), (&meta, None));
    let letter = bench.dead_letter(Timers::DECLARATION.name, set.await).await;
    assert_eq!(letter_code(&letter), failure::INVALID_REQUEST);
    setter.pass(Duration::ZERO).await;
    assert!(setter.mails(&mail).is_empty());
}

/// The timers of services lie under names that everybody can guess.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_away_a_timer_of_a_service() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let (account, payment) = (unique("account"), unique("payment"));
    let deposit = Deposit {
        amount_cents: 10,
        movement_id: None,
    };
    let client = &bench.client;
    let paid = client.request::<Accounts>(&account, deposit, LIMIT);
    paid.await.unwrap();
    let make = MakePayment {
        account_id: account,
        amount_cents: 10,
    };
    let made = client.request::<Payments>(&payment, make, LIMIT).await;
    made.unwrap().event::<PaymentStatus>().unwrap();
    let name = format!("Payments/{payment}/expiry");
    state(endpoints(), &name, |entry| {
        entry.is_some_and(|entry| entry["timer"]["topic"] == "payments")
    })
    .await;
    let (mail, meta) = (unique("mail"), client.meta());
    let event = letter(&mail);
    let set = setter.set::<OutboundEmails>(&name, (&mail, &event), (&meta, None));
    let sent = client.send::<Timers>(&name, CancelTimer {}, None);
    for at in [set.await, sent.await.unwrap()] {
        let letter = bench.dead_letter(Timers::DECLARATION.name, at).await;
        assert_eq!(letter_code(&letter), failure::FORBIDDEN);
    }
    state(endpoints(), &name, |entry| {
        entry.is_some_and(|entry| entry["timer"]["topic"] == "payments")
    })
    .await;
}
