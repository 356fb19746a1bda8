//! Payments and accounts together, without Restate.

use std::time::Duration;

use millstream_pipeline::events::EventMeta;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::process::outputs::Outputs;
use millstream_schemas::payments::{
    CancelPayment, ExpirePayment, MakePayment, PaymentStatus, Status,
};
use millstream_topics::{Payments, PaymentsEvent};

use super::{Account, INSUFFICIENT_FUNDS, Payment, When};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One payment, one account, and what happens in them.
#[derive(Default)]
struct World {
    payment: Payment,
    account: Account,
    now_ms: i64,
}

impl World {
    fn with(balance_cents: i64) -> Self {
        let mut world = Self::default();
        let deposit = millstream_schemas::accounts::Deposit {
            amount_cents: balance_cents,
            movement_id: None,
        };
        let when = world.when();
        world
            .account
            .decide(&deposit.into(), "deposit", when)
            .unwrap();
        world
    }

    /// What is handled now.
    fn when(&self) -> When {
        When {
            recorded_ms: self.now_ms,
            taken_ms: self.now_ms,
        }
    }

    /// Handles an event, and hands the expiry that it sets to `timer`.
    fn handle(&mut self, event: impl Into<PaymentsEvent>) -> (Result<Status, Failure>, bool) {
        let event = event.into();
        self.now_ms += 1;
        let meta = EventMeta {
            id: format!("event-{}", self.now_ms),
            time: self.now_ms * 1000,
            ..EventMeta::default()
        };
        let before = self.payment.clone();
        let mut outputs = Outputs::new("payment1", meta.clone(), self.now_ms);
        let decided = self
            .payment
            .transfer("payment1", &event, &meta.id)
            .and_then(|transfer| {
                let when = self.when();
                let moved = transfer.map(|it| self.account.decide(&it.command, "", when).unwrap());
                self.payment
                    .decide(&event, moved.as_ref(), DAY, &mut outputs)
            });
        if decided.is_err() {
            assert_eq!(self.payment, before);
        }
        let due = Some((self.now_ms + 86_400_000) * 1000);
        let armed = outputs
            .emitted()
            .any(|it| it.is::<Payments>("payment1", ExpirePayment {}, due));
        (decided.map(|PaymentStatus { status }| status), armed)
    }

    fn balance(&mut self) -> i64 {
        let json = serde_json::to_value(&self.account).unwrap();
        json["balance_cents"].as_i64().unwrap()
    }
}

fn make(amount_cents: i64) -> MakePayment {
    MakePayment {
        account_id: "abc".into(),
        amount_cents,
    }
}

const COMPLETED: (Result<Status, Failure>, bool) = (Ok(Status::CompletedSuccessfully), true);

#[test]
fn a_payment_is_made_once_and_given_back_once() {
    let mut world = World::with(1000);
    assert_eq!(world.handle(make(100)), COMPLETED);
    assert_eq!(
        world.handle(make(100)),
        (Ok(Status::CompletedSuccessfully), false)
    );
    assert_eq!(world.balance(), 900);
    assert_eq!(
        world.handle(CancelPayment {}),
        (Ok(Status::Cancelled), true)
    );
    for _ in 0..2 {
        assert_eq!(
            world.handle(CancelPayment {}),
            (Ok(Status::Cancelled), false)
        );
        for amount in [100, 200] {
            assert_eq!(world.handle(make(amount)), (Ok(Status::Cancelled), false));
        }
    }
    assert_eq!(world.balance(), 1000);
}

#[test]
fn a_cancellation_that_comes_first_blocks_the_payment() {
    let mut world = World::with(1000);
    assert_eq!(
        world.handle(CancelPayment {}),
        (Ok(Status::Cancelled), true)
    );
    assert_eq!(world.handle(make(100)), (Ok(Status::Cancelled), false));
    assert_eq!(world.balance(), 1000);
}

#[test]
fn a_payment_that_was_refused_can_be_tried_again() {
    let mut world = World::with(50);
    let (refused, armed) = world.handle(make(100));
    assert_eq!(refused.unwrap_err().code, INSUFFICIENT_FUNDS);
    assert!(!armed);
    assert_eq!(world.handle(make(50)), COMPLETED);
    assert_eq!(world.balance(), 0);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut world = World::with(1000);
    let nobody = MakePayment {
        account_id: " ".into(),
        amount_cents: 1,
    };
    for bad in [make(0), make(-100), make(i64::MIN), nobody] {
        assert_eq!(world.handle(bad).0.unwrap_err().code, "invalid-request");
    }
    assert_eq!(world.handle(make(100)), COMPLETED);
    let other = world.handle(make(200)).0.unwrap_err();
    assert_eq!(other.code, "idempotency-mismatch");
    assert_eq!(world.balance(), 900);
}

#[test]
fn a_payment_is_forgotten_when_its_time_is_over_and_not_before() {
    let mut world = World::with(1000);
    assert_eq!(world.handle(ExpirePayment {}), (Ok(Status::New), false));
    assert_eq!(world.handle(make(100)), COMPLETED);
    let early = world.handle(ExpirePayment {});
    assert_eq!(early, (Ok(Status::CompletedSuccessfully), false));
    world.now_ms += 86_400_000;
    assert_eq!(world.handle(ExpirePayment {}), (Ok(Status::New), false));
    assert_eq!(world.payment, Payment::default());
    assert_eq!(world.balance(), 900);
}

#[test]
fn the_state_shows_status_and_payment() {
    let mut world = World::with(1000);
    world.handle(make(100)).0.unwrap();
    let json = serde_json::to_value(&world.payment).unwrap();
    assert_eq!(json["status"], "COMPLETED_SUCCESSFULLY");
    assert_eq!(json["payment"]["account_id"], "abc");
    assert_eq!(json["payment"]["amount_cents"], 100);
}
