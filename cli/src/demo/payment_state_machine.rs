//! Payments are made, repeated, cancelled before and after, and refused; the account is right.

use std::collections::BTreeSet;

use anyhow::Context;
use millstream_handlers::payment_state_machine::INSUFFICIENT_FUNDS;
use millstream_pipeline::events::{RequestFailed, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::accounts::{AccountBalance, Deposit};
use millstream_schemas::payments::{CancelPayment, MakePayment, PaymentStatus, Status};
use millstream_topics::{Accounts, Payments, PaymentsEvent};

use super::Run;

fn deposit(amount_cents: i64) -> Deposit {
    Deposit {
        amount_cents,
        movement_id: None,
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let account_id = run.key("account-abc");
    run.request::<Accounts, AccountBalance>(&account_id, deposit(1000))
        .await?;
    let make = |amount_cents| MakePayment {
        account_id: account_id.clone(),
        amount_cents,
    };
    let [kept, returned, blocked] = ["payment-1", "payment-2", "payment-3"].map(|it| run.key(it));
    let commands: [(&str, PaymentsEvent, Status); 6] = [
        (&kept, make(100).into(), Status::CompletedSuccessfully),
        (&kept, make(100).into(), Status::CompletedSuccessfully),
        (&returned, make(50).into(), Status::CompletedSuccessfully),
        (&returned, CancelPayment {}.into(), Status::Cancelled),
        (&blocked, CancelPayment {}.into(), Status::Cancelled),
        (&blocked, make(10).into(), Status::Cancelled),
    ];
    for (payment, command, expected) in commands {
        let answer: PaymentStatus = run.request::<Payments, _>(payment, command).await?;
        run.expect(&format!("the status of {payment}"), answer.status, expected);
    }
    let too_much = run.key("payment-4");
    let refused: RequestFailed = run.request::<Payments, _>(&too_much, make(901)).await?;
    run.expect("the refusal", &*refused.code, INSUFFICIENT_FUNDS);
    let balance: AccountBalance = run.request::<Accounts, _>(&account_id, deposit(1)).await?;
    run.expect("what is left", balance.balance_cents, 1000 - 100 + 1);
    // What a reader sees that knows nothing of the reader rule.
    let results = Accounts::DECLARATION.results.as_ref();
    let once = results.and_then(|results| results.once);
    let once = once.context("each result of accounts is published once")?;
    let is_last = |seen: &Seen| {
        let balance = seen.event::<AccountBalance>();
        balance.is_ok_and(|it| it.balance_cents == 1000 - 100 + 1)
    };
    let seen = run.records_until(once.name, &account_id, is_last).await?;
    let ids: BTreeSet<_> = seen.iter().filter_map(|it| it.header("ce_id")).collect();
    run.expect("results that come twice", seen.len() - ids.len(), 0);
    Ok(())
}
