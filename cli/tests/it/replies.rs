//! The topic `replies`: what arrives there without anybody who waits for it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millstream_pipeline::events::{
    Bytes, Event, EventMeta, Replies, RequestFailed, Timers, Topic, timers::SetTimer,
};
use millstream_pipeline::failure;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::digest::{digest, hex};
use millstream_pipeline::record::wire;
use millstream_schemas::flights::{FlightReservation, Status};
use millstream_schemas::order_payments::{AwaitPayment, PaymentReceived};
use millstream_schemas::payment_confirmations::PaymentConfirmed;
use millstream_schemas::user_sessions::{AddItem, CheckoutCompleted};
use millstream_topics::{OrderPayments, PaymentConfirmations, UserSessions};

use crate::patterns::orders::shop::Shop;
use crate::support::{Bench, LIMIT, endpoints, letter_code, query, unique, until};

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
        assert_eq!(letter_code(&letter), failure::INVALID_CORRELATION_ID);
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

/// A checkout that waits for its payment.
struct Waiting {
    shop: Shop,
    bench: Bench,
    order: String,
    checkout: EventMeta,
    /// The command that it waits for the reply of, as everybody can read it.
    command: EventMeta,
}

impl Waiting {
    async fn new() -> Self {
        let shop = Shop::of(endpoints(), &[]).await;
        let (user, order) = (unique("user"), unique("order"));
        shop.add(&user, "laptop").await;
        shop.provider_keeps_silent(&order).await;
        let checkout = shop.begin_checkout(&user, &order).await;
        let asked = |seen: &Seen| {
            seen.topic == OrderPayments::DECLARATION.name && seen.key.as_deref() == Some(&order)
        };
        shop.watch.until(1, asked).await;
        let command = shop.watch.events(asked).remove(0).meta.unwrap();
        Self {
            shop,
            bench: Bench::new(endpoints()).await,
            order,
            checkout,
            command,
        }
    }

    fn reply_key(&self) -> String {
        self.command.reply_key.clone().unwrap()
    }

    /// `meta` of a command with the return address of this one.
    fn stolen(&self, id: &str) -> EventMeta {
        EventMeta {
            id: id.into(),
            reply_to: Some(TOPIC.into()),
            reply_key: Some(self.reply_key()),
            ..self.bench.client.meta()
        }
    }

    /// The dead letter of a reply under the key that the checkout waits for.
    async fn letter(&self, cause: &str) -> Seen {
        let key = self.reply_key();
        let of_cause = |seen: &Seen| {
            let meta = seen
                .meta
                .as_ref()
                .and_then(|meta| meta.causation_id.as_deref());
            seen.topic == "replies-dlq" && seen.key.as_ref() == Some(&key) && meta == Some(cause)
        };
        let letter = self.bench.client.wait_for("a dead letter", LIMIT, of_cause);
        letter.await.unwrap()
    }

    /// Nothing has ended the wait: it ends with its own payment.
    async fn completes(self) {
        let answers = self.bench.answers(&self.checkout.id);
        assert!(answers.is_empty(), "{answers:?}");
        let paid = PaymentConfirmed {
            transaction_id: unique("transaction"),
        };
        let sent = self
            .bench
            .client
            .send::<PaymentConfirmations>(&self.order, paid, None);
        sent.await.unwrap();
        let result = self.shop.client.result_of(&self.checkout, LIMIT).await;
        let completed: CheckoutCompleted = result.unwrap().event().unwrap();
        assert_eq!(completed.order_id, self.order);
    }
}

/// Whoever reads the command can send another with its return address, even with its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_another_command_is_nobody_s() {
    let waiting = Waiting::new().await;
    let client = &waiting.bench.client;
    // Another order, which is paid: its reply says what the checkout waits for.
    let other = unique("order");
    let paid = PaymentConfirmed {
        transaction_id: unique("transaction"),
    };
    let sent = client.send::<PaymentConfirmations>(&other, paid, None);
    sent.await.unwrap();
    let of_other = AwaitPayment {
        user_id: unique("thief"),
        items: vec!["laptop".into()],
    };
    let own = unique("stolen");
    for id in [own.as_str(), &waiting.command.id] {
        let meta = waiting.stolen(id);
        let sent = client.send::<OrderPayments>(&other, of_other.clone(), Some(&meta));
        sent.await.unwrap();
        let letter = waiting.letter(id).await;
        assert_eq!(letter_code(&letter), failure::INVALID_CORRELATION_ID);
        assert_eq!(
            letter.full_name.as_deref(),
            Some(PaymentReceived::FULL_NAME)
        );
    }
    // One that fails, of any topic.
    let meta = waiting.stolen(&unique("stolen"));
    let (user, nothing) = (unique("user"), AddItem::default());
    let sent = client.send::<UserSessions>(&user, nothing, Some(&meta));
    sent.await.unwrap();
    let letter = waiting.letter(&meta.id).await;
    assert_eq!(letter.full_name.as_deref(), Some(RequestFailed::FULL_NAME));
    waiting.completes().await;
}

/// With write access to `timers` alone.
#[tokio::test(flavor = "multi_thread")]
async fn no_timer_writes_a_reply() {
    let waiting = Waiting::new().await;
    let client = &waiting.bench.client;
    let forged = PaymentReceived {
        transaction_id: unique("forged"),
    };
    let meta = EventMeta {
        causation_id: Some(waiting.command.id.clone()),
        source: format!("OrderPayments/{}", waiting.order),
        ..client.meta()
    };
    let set = SetTimer {
        topic: TOPIC.into(),
        key: waiting.reply_key(),
        value: Bytes(waiting.bench.value(&forged, Some(&meta)).await),
    };
    let (name, meta) = (unique("timer"), client.meta());
    let sent = client.send::<Timers>(&name, set, Some(&meta));
    let at = sent.await.unwrap();
    let letter = waiting
        .bench
        .dead_letter(Timers::DECLARATION.name, at)
        .await;
    assert_eq!(letter_code(&letter), failure::FORBIDDEN);
    waiting.completes().await;
}

/// A reply that cannot be read says of no request that it is its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_cannot_be_read_ends_no_request() {
    let waiting = Waiting::new().await;
    let mut unknown = wire::header(2_000_000_000).to_vec();
    unknown.push(0);
    let without_meta = waiting
        .bench
        .value(
            &FlightReservation {
                status: Status::Reserved,
            },
            None,
        )
        .await;
    for (value, code) in [
        (unknown, failure::UNKNOWN_SCHEMA),
        (without_meta, failure::UNDECODABLE),
        (b"\x01".to_vec(), failure::UNDECODABLE),
    ] {
        let at = waiting
            .bench
            .send(TOPIC, Some(&waiting.reply_key()), Some(&value))
            .await;
        let letter = waiting.bench.dead_letter(TOPIC, at).await;
        assert_eq!(letter_code(&letter), code);
    }
    waiting.completes().await;
}

/// Ids that are no invocation's must not reach the engine; those that may be one's do no harm.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_nobody_is_dropped() {
    let bench = Bench::new(endpoints()).await;
    let name = "0123456789abcdef0123456789abcdef";
    for (invocation, code) in [
        (
            "inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC7",
            failure::UNDECODABLE,
        ),
        (
            "inv_1lYGhA16ahyg7N42dgm5tFLK9N8MT7fHC7",
            failure::INVALID_CORRELATION_ID,
        ),
    ] {
        let key = format!("{invocation}.5000.{name}");
        let at = bench.send(TOPIC, Some(&key), Some(b"\x01")).await;
        let letter = bench.dead_letter(TOPIC, at).await;
        assert_eq!(letter_code(&letter), code);
    }
    // As `Replies` makes it of a reply of anybody's.
    let name = hex::<16>(&digest(&[b"reply", b"command", b"any", b""]));
    for invocation in [
        "inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC7",
        "inv_1000000000000000000000000000000000",
    ] {
        let meta = EventMeta {
            causation_id: Some("command".into()),
            ..bench.client.meta()
        };
        let reservation = FlightReservation {
            status: Status::Reserved,
        };
        let value = bench.value(&reservation, Some(&meta)).await;
        let key = format!("{invocation}.5000.{name}");
        let at = bench.send(TOPIC, Some(&key), Some(&value)).await;
        bench.no_lag::<Replies>(at).await;
        assert!(bench.dead_letters(TOPIC, at).is_empty());
    }
    // The engine takes them all: none is tried again.
    let open = "SELECT id FROM sys_invocation WHERE target_service_name = 'Replies' \
                AND status != 'completed'";
    until("no reply that is under way", async || {
        let open = query(&endpoints().restate_admin, open).await;
        open.is_empty().then_some(())
    })
    .await;
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
