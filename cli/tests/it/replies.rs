//! The topic `replies`: what arrives there without anybody who waits for it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millstream_pipeline::reader::Seen;
use millstream_pipeline::{code, wire};
use millstream_schemas::flights::{FlightReservation, Status};
use millstream_schemas::{EventMeta, RequestFailed};
use millstream_topics::{OrderPayments, Replies, Topic};

use crate::patterns::orders::shop::Shop;
use crate::support::{Bench, LIMIT, endpoints, letter_code, unique, until};

const TOPIC: &str = "replies";

/// The id of an awakeable that no invocation has.
fn awakeable(index: u32) -> String {
    let mut id = [0; 28];
    let random = uuid::Uuid::now_v7();
    id[8..24].copy_from_slice(random.as_bytes());
    id[24..].copy_from_slice(&index.to_be_bytes());
    format!("sign_1{}", BASE64_URL_SAFE_NO_PAD.encode(id))
}

async fn reply(bench: &Bench, age_ms: i64) -> Vec<u8> {
    let meta = EventMeta {
        id: unique("reply"),
        time: (jiff::Timestamp::now().as_millisecond() - age_ms) * 1000,
        ..EventMeta::default()
    };
    let reservation = FlightReservation {
        status: Status::Reserved,
    };
    bench.value(&reservation, Some(&meta)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_can_wait_for_is_a_dead_letter() {
    let bench = Bench::new(endpoints()).await;
    let value = reply(&bench, 0).await;
    // The first signals of an invocation are the engine's own: one of them cancels it.
    let (cancels, cut) = (awakeable(1), awakeable(17)[..20].to_owned());
    for key in [unique("nobody"), cancels, cut] {
        let at = bench.send(TOPIC, Some(&key), Some(&value)).await;
        let letter = bench.dead_letter(TOPIC, at).await;
        assert_eq!(letter_code(&letter), code::INVALID_CORRELATION_ID);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_nobody_waits_for_is_dropped() {
    let bench = Bench::new(endpoints()).await;
    let (value, key) = (reply(&bench, 0).await, awakeable(17));
    let at = bench.send(TOPIC, Some(&key), Some(&value)).await;
    bench.no_lag::<Replies>(at).await;
    let undecodable = bench.send(TOPIC, Some(&key), Some(b"\x01")).await;
    bench.no_lag::<Replies>(undecodable).await;
    for at in [at, undecodable] {
        assert_eq!(bench.dead_letters(Replies::DECLARATION.name, at).len(), 0);
    }
}

/// The registry may come to know the schema later: the verdict is the caller's for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_with_an_unknown_schema_ends_its_request() {
    let (shop, bench) = (
        Shop::of(endpoints(), &[]).await,
        Bench::new(endpoints()).await,
    );
    let (user, order) = (unique("user"), unique("order"));
    shop.add(&user, "laptop").await;
    shop.provider_keeps_silent(&order).await;
    let checkout = shop.begin_checkout(&user, &order).await;
    let asked = |seen: &Seen| {
        seen.topic == OrderPayments::DECLARATION.name && seen.key.as_deref() == Some(&order)
    };
    shop.watch.until(1, asked).await;
    let command = shop.watch.events(asked).remove(0);
    let reply_key = command.meta.unwrap().reply_key.unwrap();
    let mut value = wire::header(2_000_000_000).to_vec();
    value.push(0);
    bench.send(TOPIC, Some(&reply_key), Some(&value)).await;
    let refused = shop.client.result_of(&checkout, LIMIT).await.unwrap();
    let refused: RequestFailed = refused.event().unwrap();
    assert_eq!(refused.code, code::HANDLER_FAILED);
    assert!(
        refused.message.contains("2000000000"),
        "{}",
        refused.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_after_its_deadline_is_counted() {
    let bench = Bench::new(endpoints()).await;
    let late = async || {
        let text = millstream_pipeline::http::client()
            .get(&endpoints().metrics)
            .send()
            .await
            .unwrap();
        let text = text.text().await.unwrap();
        let count = |line: &str| {
            line.strip_prefix("millstream_replies_late_total ")?
                .parse()
                .ok()
        };
        text.lines().find_map(count).unwrap_or(0_u64)
    };
    let before = late().await;
    let key = format!("{}.5000", awakeable(17));
    let value = reply(&bench, 60_000).await;
    bench.send(TOPIC, Some(&key), Some(&value)).await;
    until("a late reply", async || {
        (late().await > before).then_some(())
    })
    .await;
}
