use millstream_pipeline::events::EventMeta;
use proptest::prelude::*;

use super::*;

fn outputs() -> Outputs {
    Outputs::new("order", EventMeta::default(), 0)
}

fn address() -> ReturnAddress {
    let address = serde_json::json!({ "t": "replies", "k": "key", "c": "cause", "r": "request" });
    serde_json::from_value(address).unwrap()
}

fn by(user: &str, item: &str) -> AwaitPayment {
    AwaitPayment {
        user_id: user.into(),
        items: vec![item.into()],
    }
}

fn confirmed(transaction: &str) -> PaymentConfirmationsEvent {
    let transaction_id = transaction.to_owned();
    PaymentConfirmed { transaction_id }.into()
}

fn rejected_for(reason: &str) -> PaymentConfirmationsEvent {
    let reason = reason.to_owned();
    PaymentRejected { reason }.into()
}

/// A checkout comes and waits, as it does where it has an address.
fn checkout(payment: &mut Payment, request: AwaitPayment) -> (Result<bool, Failure>, Outputs) {
    let mut outputs = outputs();
    let paid = await_payment(payment, request, &mut outputs).map(|paid| paid.is_some());
    if paid == Ok(false) && payment.status == Status::Requested {
        payment.waiting = Some(address());
    }
    (paid, outputs)
}

fn says(payment: &mut Payment, event: PaymentConfirmationsEvent) -> (Result<(), Failure>, usize) {
    let mut outputs = outputs();
    let said = provider_says(payment, event, &mut outputs);
    (said.map(|_| ()), outputs.answered())
}

#[test]
fn the_provider_is_asked_and_the_checkout_is_told() {
    let mut payment = Payment::default();
    let (paid, outputs) = checkout(&mut payment, by("user", "laptop"));
    assert_eq!(paid, Ok(false));
    let AwaitPayment { user_id, items } = by("user", "laptop");
    let asked = RequestPayment { user_id, items };
    let emitted: Vec<_> = outputs.emitted().collect();
    assert_eq!(emitted.len(), 1);
    assert!(emitted[0].is::<PaymentRequests>("order", asked, None));

    assert_eq!(says(&mut payment, confirmed("txn")), (Ok(()), 1));
    assert_eq!(says(&mut payment, confirmed("txn")), (Ok(()), 0));
    let (paid, outputs) = checkout(&mut payment, by("user", "laptop"));
    assert_eq!((paid, outputs.emitted().count()), (Ok(true), 0));
}

#[test]
fn the_provider_may_come_first() {
    let mut payment = Payment::default();
    assert_eq!(says(&mut payment, confirmed("txn")), (Ok(()), 0));
    let (paid, outputs) = checkout(&mut payment, by("user", "laptop"));
    assert_eq!((paid, outputs.emitted().count()), (Ok(true), 0));

    let mut payment = Payment::default();
    let _ = says(&mut payment, rejected_for("card-expired"));
    payment.waiting = Some(address());
    let (paid, outputs) = checkout(&mut payment, by("user", "laptop"));
    assert_eq!((paid, outputs.emitted().count()), (Ok(false), 0));
    assert_eq!((payment.rejection, payment.status), (None, Status::Open));
}

#[test]
fn a_rejected_payment_may_be_tried_again() {
    let mut payment = Payment::default();
    let _ = checkout(&mut payment, by("user", "laptop"));
    let word = || rejected_for("insufficient-funds");
    assert_eq!(says(&mut payment, word()), (Ok(()), 1));
    assert_eq!(says(&mut payment, word()), (Ok(()), 0), "its copy");
    let (paid, outputs) = checkout(&mut payment, by("user", "mouse"));
    assert_eq!((paid, outputs.emitted().count()), (Ok(false), 1));
}

#[test]
fn a_checkout_that_comes_again_waits_for_the_same_payment() {
    let mut payment = Payment::default();
    let _ = checkout(&mut payment, by("user", "laptop"));
    let (paid, outputs) = checkout(&mut payment, by("user", "laptop"));
    assert_eq!((paid, outputs.emitted().count()), (Ok(false), 0));
    assert_eq!(outputs.answered(), 1, "the one before");
}

#[test]
fn an_order_belongs_to_one_user_and_one_basket() {
    let mut payment = Payment::default();
    let _ = checkout(&mut payment, by("user", "laptop"));
    for open in [true, false] {
        for other in [by("thief", "laptop"), by("user", "mouse")] {
            let before = payment.clone();
            let (refused, _) = checkout(&mut payment, other);
            assert_eq!(refused.unwrap_err().code, ORDER_MISMATCH, "{open}");
            assert_eq!(payment, before);
        }
        let _ = says(&mut payment, confirmed("txn"));
    }
    let mut rejected = Payment::default();
    let _ = checkout(&mut rejected, by("user", "laptop"));
    let _ = says(&mut rejected, rejected_for("card-expired"));
    let (refused, _) = checkout(&mut rejected, by("thief", "laptop"));
    assert_eq!(refused.unwrap_err().code, ORDER_MISMATCH);
}

#[test]
fn a_contradiction_is_a_dead_letter() {
    let mut payment = Payment::default();
    let _ = says(&mut payment, confirmed("txn"));
    for event in [confirmed("other"), rejected_for("card-expired")] {
        let (refused, _) = says(&mut payment, event);
        assert_eq!(refused.unwrap_err().code, PAYMENT_ALREADY_CONFIRMED);
    }
    let (refused, _) = says(&mut Payment::default(), confirmed(""));
    assert_eq!(refused.unwrap_err().code, "invalid-request");
}

#[test]
fn a_reason_is_a_code_unless_it_means_something_else() {
    for (reason, code) in [
        ("insufficient-funds", "insufficient-funds"),
        ("Insufficient funds!", PAYMENT_REJECTED),
        ("", PAYMENT_REJECTED),
        ("expired", PAYMENT_REJECTED),
        ("handler-failed", PAYMENT_REJECTED),
        ("deadline-exceeded", PAYMENT_REJECTED),
    ] {
        let failure = rejected(reason.to_owned());
        assert_eq!(failure.code, code);
        assert!(failure.message.contains(reason) && !failure.keeps_dead_letter());
    }
}

#[derive(Debug, Clone)]
enum Comes {
    Checkout(AwaitPayment),
    Provider(PaymentConfirmationsEvent),
}

fn comes() -> impl Strategy<Value = Comes> {
    let one = |from: &[&str]| {
        proptest::sample::select(from.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    };
    prop_oneof![
        (one(&["user", "other"]), one(&["laptop", "mouse"]))
            .prop_map(|(user, item)| Comes::Checkout(by(&user, &item))),
        one(&["txn-1", "txn-2", ""]).prop_map(|id| Comes::Provider(confirmed(&id))),
        one(&["card-expired", ""]).prop_map(|reason| Comes::Provider(rejected_for(&reason))),
    ]
}

proptest! {
    /// Whatever comes in whatever order: one request at a time, none once it is paid, and a
    /// payment that is confirmed stays so.
    #[test]
    fn nobody_pays_twice(events in proptest::collection::vec(comes(), 0..30)) {
        let mut payment = Payment::default();
        for event in events {
            let before = payment.clone();
            let (refused, requests) = match event {
                Comes::Checkout(request) => {
                    let (paid, outputs) = checkout(&mut payment, request);
                    if let Ok(paid) = paid {
                        prop_assert_eq!(paid, before.status == Status::Confirmed);
                    }
                    (paid.is_err(), outputs.emitted().count())
                }
                Comes::Provider(word) => (says(&mut payment, word).0.is_err(), 0),
            };
            if refused {
                prop_assert_eq!(&payment, &before);
            }
            if requests > 0 {
                prop_assert_eq!((before.status, requests), (Status::Open, 1));
            }
            if let Some(transaction) = before.transaction_id {
                prop_assert_eq!(payment.transaction_id.as_ref(), Some(&transaction));
                prop_assert_eq!(payment.status, Status::Confirmed);
            }
        }
    }
}
