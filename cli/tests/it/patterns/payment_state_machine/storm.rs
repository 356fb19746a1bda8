//! A storm of payments and cancellations: whatever their order, no money is lost or made.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use futures::future::join_all;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::RequestFailed;
use millstream_schemas::payments::{CancelPayment, PaymentStatus};
use millstream_topics::Payments;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{account, balance, make, payment_state, text};
use crate::support::{LIMIT, client, endpoints, unique, until};

const PAYMENTS: usize = 20;
const ACCOUNTS: usize = 3;
/// No case begins after this.
const ENOUGH: Duration = Duration::from_secs(10);

/// A payment's number and what is asked of it: to pay from an account, or to be cancelled.
#[derive(Debug, Clone, Copy)]
struct Op {
    payment: usize,
    make: Option<(usize, i64)>,
}

fn storms() -> impl Strategy<Value = (Vec<i64>, Vec<Op>)> {
    // Few amounts, so that some commands repeat a payment and some contradict it.
    let amount = prop_oneof![3 => Just(100_i64), 1 => 1..200_i64];
    let make = (0..ACCOUNTS, amount).prop_map(Some);
    let what = prop_oneof![2 => make, 1 => Just(None)];
    let op = (0..PAYMENTS, what).prop_map(|(payment, make)| Op { payment, make });
    let deposits = proptest::collection::vec(0..1200_i64, ACCOUNTS);
    (deposits, proptest::collection::vec(op, 40..120))
}

#[test]
fn a_storm_leaves_the_money_right() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(client());
    let (begun, passed) = (Instant::now(), Cell::new(0));
    let config = Config {
        cases: 6,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&storms(), |(deposits, ops)| {
            if begun.elapsed() < ENOUGH {
                runtime.block_on(weather(&client, &deposits, &ops));
                passed.set(passed.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    println!("{} storms in {:?}", passed.get(), begun.elapsed());
}

/// A payment as its answers tell it.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Told {
    #[default]
    New,
    Paid(usize, i64),
    Cancelled,
}

impl Told {
    /// What an answer makes of it; it must be one that was possible.
    fn after(self, op: Op, answer: &str) -> Self {
        match (self, op.make, answer) {
            (Self::New | Self::Paid(..) | Self::Cancelled, None, "CANCELLED")
            | (Self::Cancelled, Some(_), "CANCELLED") => Self::Cancelled,
            (Self::New, Some((account, cents)), "COMPLETED_SUCCESSFULLY") => {
                Self::Paid(account, cents)
            }
            (Self::New, Some(_), "insufficient-funds") => Self::New,
            (Self::Paid(account, cents), Some(again), "COMPLETED_SUCCESSFULLY")
                if again == (account, cents) =>
            {
                self
            }
            (Self::Paid(account, cents), Some(other), "idempotency-mismatch")
                if other != (account, cents) =>
            {
                self
            }
            impossible => panic!("{impossible:?}"),
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Paid(..) => "COMPLETED_SUCCESSFULLY",
            Self::Cancelled => "CANCELLED",
        }
    }
}

async fn weather(client: &Client, deposits: &[i64], ops: &[Op]) {
    let accounts = join_all(deposits.iter().map(|&cents| account(client, cents))).await;
    let storm = unique("storm");
    let key = |payment: usize| format!("{storm}-{payment}");

    let send = |op: Op| {
        let (key, meta, accounts) = (key(op.payment), client.meta(), &accounts);
        async move {
            let at = match op.make {
                Some((account, cents)) => {
                    let make = make(&accounts[account], cents);
                    client.send::<Payments>(&key, make, Some(&meta)).await
                }
                None => {
                    client
                        .send::<Payments>(&key, CancelPayment {}, Some(&meta))
                        .await
                }
            };
            let (_, offset) = at.unwrap();
            let seen = client.result_of(&meta, LIMIT).await.unwrap();
            let answer = match seen.event::<RequestFailed>() {
                Ok(failed) => failed.code,
                Err(_) => text(seen.event::<PaymentStatus>().unwrap().status).to_owned(),
            };
            (offset, op, answer, meta.id)
        }
    };
    let mut answered = join_all(ops.iter().map(|&op| send(op))).await;

    // A payment's commands were handled in the order of their offsets.
    answered.sort_by_key(|(offset, ..)| *offset);
    let mut told: BTreeMap<usize, Told> = BTreeMap::new();
    for (_, op, answer, _) in &answered {
        let payment = told.entry(op.payment).or_default();
        *payment = payment.after(*op, answer);
    }
    for (payment, told) in &told {
        // It is written after the result that told of it.
        until(&format!("the status {}", told.status()), async || {
            let state = payment_state(endpoints(), &key(*payment)).await;
            (state["status"] == told.status()).then_some(())
        })
        .await;
    }
    for (number, (id, deposited)) in accounts.iter().zip(deposits).enumerate() {
        let paid: i64 = told
            .values()
            .filter_map(|told| match told {
                Told::Paid(account, cents) if *account == number => Some(cents),
                _ => None,
            })
            .sum();
        let left = balance(endpoints(), id).await;
        assert_eq!(left, deposited - paid, "{told:?}");
        assert!(left >= 0);
    }
    let commands: HashSet<&String> = answered.iter().map(|(.., id)| id).collect();
    let results = client.seen(|seen| {
        let meta = seen.meta.as_ref();
        let caused = meta.and_then(|meta| meta.causation_id.as_ref());
        caused.is_some_and(|id| commands.contains(id))
    });
    assert_eq!(results.len(), ops.len(), "one result for each command");
}
