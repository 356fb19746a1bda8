//! Timers that a program outside sets by events.

use std::time::Duration;

use millstream_pipeline::events::EventMeta;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;

use super::{Setter, from_now, pending, state};
use crate::support::{Bench, LIMIT, endpoints, failure, unique};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_produced_once_and_not_before_its_time() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let name = unique("timer");
    let due = from_now(SECOND);
    let meta = setter.mail(&name, &name, Some(due)).await;
    let mail = setter.arrives(&name).await;
    assert!(mail.timestamp >= due / 1000, "{} of {due}", mail.timestamp);
    assert_eq!(mail.meta, Some(meta), "it is the event that was set");
    // Nothing is left but what tells a repeated event.
    state(endpoints(), &name, |entry| {
        entry.is_some_and(|entry| entry.get("timer").is_none())
    })
    .await;
    setter.pass(SECOND).await;
    assert_eq!(setter.mails(&name).len(), 1);
    assert_eq!(pending(endpoints(), &name).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_already_is_produced_at_once() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    for not_before in [
        None,
        Some(from_now(Duration::ZERO)),
        Some(0),
        Some(-1),
        Some(i64::MIN),
    ] {
        let name = unique("timer");
        setter.mail(&name, &name, not_before).await;
        setter.arrives(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_again_takes_its_place() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let (name, first, second) = (unique("timer"), unique("first"), unique("second"));
    setter.mail(&name, &first, Some(from_now(5 * SECOND))).await;
    let due = from_now(6 * SECOND);
    setter.mail(&name, &second, Some(due)).await;
    let mail = setter.arrives(&second).await;
    assert!(mail.timestamp >= due / 1000, "not at the time of the first");
    setter.pass(SECOND).await;
    assert_eq!(
        (setter.mails(&first).len(), setter.mails(&second).len()),
        (0, 1)
    );
    // Sooner than before works as well, and a name is free again when its timer has fired.
    let (late, soon) = (unique("late"), unique("soon"));
    setter.mail(&name, &late, Some(from_now(5 * SECOND))).await;
    setter.mail(&name, &soon, None).await;
    setter.arrives(&soon).await;
    setter.pass(6 * SECOND).await;
    assert_eq!(
        (setter.mails(&late).len(), setter.mails(&soon).len()),
        (0, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_timer_is_silent() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let name = unique("timer");
    setter.mail(&name, &name, Some(from_now(5 * SECOND))).await;
    setter.cancel(&name).await;
    setter.pass(6 * SECOND).await;
    assert!(setter.mails(&name).is_empty());
    state(endpoints(), &name, |entry| {
        entry.is_some_and(|entry| entry.get("timer").is_none())
    })
    .await;
    // There may be nothing to cancel.
    setter.cancel(&name).await;
    setter.cancel(&unique("nobody")).await;
    setter.mail(&name, &name, None).await;
    setter.arrives(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_future_waits() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    for years in [3, 99] {
        let name = unique("timer");
        setter
            .mail(&name, &name, Some(from_now(years * YEAR)))
            .await;
        state(endpoints(), &name, |entry| {
            entry.is_some_and(|entry| entry["timer"]["topic"] == "outbound-emails")
        })
        .await;
        assert_eq!(pending(endpoints(), &name).await, 1);
        setter.pass(Duration::ZERO).await;
        assert!(setter.mails(&name).is_empty());
        // Nobody needs it any more.
        setter.mail(&name, &name, None).await;
        setter.arrives(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_may_expire_while_its_timer_runs() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let product = unique("product");
    for (reservation, expires_in, expected) in [("late", 0, "expired"), ("in time", 3600, "ok")] {
        let command = ReserveProduct {
            reservation_id: reservation.into(),
        };
        let meta = EventMeta {
            expires_at: Some(from_now(Duration::from_secs(expires_in))),
            ..setter.client().meta()
        };
        let due = Some(from_now(SECOND));
        setter
            .set::<ProductReservations>(&unique("timer"), (&product, &command), (&meta, due))
            .await;
        let result = setter.client().result_of(&meta, LIMIT).await.unwrap();
        match expected {
            // The product is still free for the next.
            "expired" => assert_eq!(failure(&result), expected),
            _ => assert!(result.event::<ProductReserved>().unwrap().reserved),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lateness_is_measured() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    setter.pass(Duration::ZERO).await;
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    let text = http.get(&endpoints().metrics).send().await.unwrap();
    let text = text.text().await.unwrap();
    let count = "millstream_timer_lateness_seconds_count{topic=\"outbound-emails\"} ";
    let fired: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(count)?.parse().ok())
        .unwrap();
    assert!(fired >= 1);
}
