//! Producers whose clocks are wrong.

use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::accounts::{AccountBalance, Deposit};
use millstream_schemas::payments::{MakePayment, PaymentStatus, Status};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::{Accounts, Payments, ProductReservations};

use crate::support::{Bench, LIMIT, Raw, endpoints, sql, unique};

const HOUR: i64 = 3_600_000;

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Sends an event with this timestamp and awaits its result.
async fn ask<T: Topic>(
    bench: &Bench,
    key: &str,
    event: impl Into<T::Event>,
    (timestamp, meta): (i64, EventMeta),
) -> Seen {
    let value = bench.value(&event.into(), Some(&meta)).await;
    let raw = Raw {
        topic: T::DECLARATION.name,
        key,
        value: &value,
        timestamp: Some(timestamp),
        partition: None,
    };
    raw.send(endpoints()).await;
    bench.client.result_of(&meta, LIMIT).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_from_1970_makes_nothing_be_forgotten() {
    let bench = Bench::new(endpoints()).await;
    let account = unique("account");
    let mut balances = Vec::new();
    for (amount_cents, movement, timestamp) in [
        (100, "m1", 0),
        (1, "m2", now()),
        (100, "m1", now()),
        (100, "m1", now() - 20 * 24 * HOUR),
        (1, "m2", 0),
    ] {
        let deposit = Deposit {
            amount_cents,
            movement_id: Some(movement.into()),
        };
        let event = (timestamp, bench.client.meta());
        let seen = ask::<Accounts>(&bench, &account, deposit, event).await;
        balances.push(seen.event::<AccountBalance>().unwrap().balance_cents);
    }
    assert_eq!(balances, [100, 101, 101, 101, 101]);
    // The object's time is that of its events, which Restate has just taken.
    let state = sql::settled_state(endpoints(), "Accounts", &account).await;
    let time = state[0].1["_m"]["t"].as_i64().unwrap();
    assert!((now() - HOUR / 10..=now()).contains(&time), "{time}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_are_remembered_whatever_the_clocks_say() {
    let bench = Bench::new(endpoints()).await;
    let product = unique("product");
    let with = |key: &str| EventMeta {
        idempotency_key: Some(key.into()),
        ..bench.client.meta()
    };
    let reserve = |id: &str| ReserveProduct {
        reservation_id: id.into(),
    };
    // Kafka 4 refuses what is more than an hour ahead.
    for (key, timestamp) in [("past", 0), ("ahead", now() + HOUR - 60_000)] {
        let first = (timestamp, with(key));
        let first = ask::<ProductReservations>(&bench, &product, reserve("r1"), first).await;
        let between = (now(), with("between"));
        ask::<ProductReservations>(&bench, &product, reserve("r2"), between).await;
        let again = (now(), with(key));
        let again = ask::<ProductReservations>(&bench, &product, reserve("r1"), again).await;
        assert!(again.event::<ProductReserved>().unwrap().reserved);
        let original = again.meta.unwrap().original_id;
        assert_eq!(original, Some(first.meta.unwrap().id), "{key}");
    }
}

/// It would be over before it began, and could be made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_from_1970_does_not_expire_at_once() {
    let bench = Bench::new(endpoints()).await;
    let (account, payment) = (unique("account"), unique("payment"));
    let deposit = Deposit {
        amount_cents: 100,
        movement_id: None,
    };
    let event = (0, bench.client.meta());
    ask::<Accounts>(&bench, &account, deposit, event).await;
    let make = MakePayment {
        account_id: account,
        amount_cents: 60,
    };
    let event = (0, bench.client.meta());
    let seen = ask::<Payments>(&bench, &payment, make, event).await;
    let status = seen.event::<PaymentStatus>().unwrap().status;
    assert_eq!(status, Status::CompletedSuccessfully);
    let state = sql::settled_state(endpoints(), "Payments", &payment).await;
    let expires_at = state[0].1["expires_at"].as_i64().unwrap() / 1000;
    assert!(expires_at > now() + HOUR, "{expires_at}");
}
