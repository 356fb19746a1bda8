//! Payments and the accounts that they take money from.

mod storm;

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::RequestFailed;
use millstream_schemas::accounts::{AccountBalance, Deposit, Withdraw};
use millstream_schemas::payments::{
    CancelPayment, ExpirePayment, MakePayment, PaymentStatus, Status,
};
use millstream_topics::{Accounts, AccountsEvent, Payments, PaymentsEvent};

use crate::support::{LIMIT, client, endpoints, failure, many_events_permit, sql, unique, until};

pub fn make(account: &str, amount_cents: i64) -> MakePayment {
    MakePayment {
        account_id: account.to_owned(),
        amount_cents,
    }
}

pub fn deposit(amount_cents: i64) -> Deposit {
    Deposit {
        amount_cents,
        movement_id: None,
    }
}

/// An account of its own with this much in it.
pub async fn account(client: &Client, amount_cents: i64) -> String {
    let account = unique("account");
    if amount_cents > 0 {
        let put = client.request::<Accounts>(&account, deposit(amount_cents), LIMIT);
        let put: AccountBalance = put.await.unwrap().event().unwrap();
        assert_eq!((put.accepted, put.balance_cents), (true, amount_cents));
    }
    account
}

pub async fn balance(endpoints: &Endpoints, account: &str) -> i64 {
    match sql::settled_state(endpoints, "Accounts", account)
        .await
        .pop()
    {
        Some((_, state)) => state["balance_cents"].as_i64().unwrap(),
        None => 0,
    }
}

/// Status, or code.
async fn ask(client: &Client, payment: &str, command: impl Into<PaymentsEvent>) -> String {
    let asked = client.request::<Payments>(payment, command.into(), LIMIT);
    let seen = asked.await.unwrap();
    match seen.event::<RequestFailed>() {
        Ok(failed) => failed.code,
        Err(_) => text(seen.event::<PaymentStatus>().unwrap().status).to_owned(),
    }
}

pub fn text(status: Status) -> &'static str {
    match status {
        Status::New => "NEW",
        Status::CompletedSuccessfully => "COMPLETED_SUCCESSFULLY",
        Status::Cancelled => "CANCELLED",
    }
}

pub async fn payment_state(endpoints: &Endpoints, payment: &str) -> serde_json::Value {
    let entry = sql::settled_state(endpoints, "Payments", payment)
        .await
        .pop();
    entry.map(|(_, state)| state).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_made_once_and_given_back_once() {
    let client = client().await;
    let (account, payment) = (account(&client, 1000).await, unique("payment"));
    for _ in 0..2 {
        let status = ask(&client, &payment, make(&account, 100)).await;
        assert_eq!(status, "COMPLETED_SUCCESSFULLY");
        assert_eq!(balance(endpoints(), &account).await, 900);
    }
    let state = payment_state(endpoints(), &payment).await;
    assert_eq!(state["status"], "COMPLETED_SUCCESSFULLY");
    assert_eq!(state["payment"]["account_id"], account.as_str());
    for _ in 0..2 {
        assert_eq!(ask(&client, &payment, CancelPayment {}).await, "CANCELLED");
        assert_eq!(
            ask(&client, &payment, make(&account, 100)).await,
            "CANCELLED"
        );
        assert_eq!(balance(endpoints(), &account).await, 1000);
    }
    let state = payment_state(endpoints(), &payment).await;
    assert_eq!(state["status"], "CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_blocks_what_comes_after_and_waits_for_what_is_under_way() {
    let client = client().await;
    let account = account(&client, 1000).await;
    let blocked = unique("payment");
    assert_eq!(ask(&client, &blocked, CancelPayment {}).await, "CANCELLED");
    assert_eq!(
        ask(&client, &blocked, make(&account, 100)).await,
        "CANCELLED"
    );
    assert_eq!(balance(endpoints(), &account).await, 1000);

    let (during, made, cancelled) = (unique("payment"), client.meta(), client.meta());
    let sent = client.send::<Payments>(&during, make(&account, 100), Some(&made));
    sent.await.unwrap();
    let sent = client.send::<Payments>(&during, CancelPayment {}, Some(&cancelled));
    sent.await.unwrap();
    for (meta, expected) in [
        (made, Status::CompletedSuccessfully),
        (cancelled, Status::Cancelled),
    ] {
        let seen = client.result_of(&meta, LIMIT).await.unwrap();
        assert_eq!(seen.event::<PaymentStatus>().unwrap().status, expected);
    }
    assert_eq!(balance(endpoints(), &account).await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_needs_money_and_may_be_tried_again() {
    let client = client().await;
    let (account, payment) = (account(&client, 0).await, unique("payment"));
    assert_eq!(
        ask(&client, &payment, make(&account, 100)).await,
        "insufficient-funds"
    );
    // A state is written after its result.
    until("a payment that is NEW", async || {
        let state = payment_state(endpoints(), &payment).await;
        (state["status"] == "NEW").then_some(())
    })
    .await;
    let put = client.request::<Accounts>(&account, deposit(100), LIMIT);
    put.await.unwrap().event::<AccountBalance>().unwrap();
    assert_eq!(
        ask(&client, &payment, make(&account, 100)).await,
        "COMPLETED_SUCCESSFULLY"
    );
    assert_eq!(balance(endpoints(), &account).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_moves_nothing() {
    let client = client().await;
    let (account, payment) = (account(&client, 1000).await, unique("payment"));
    for bad in [
        make(&account, 0),
        make(&account, -100),
        make("", 100),
        make(" ", 100),
    ] {
        assert_eq!(ask(&client, &payment, bad).await, "invalid-request");
    }
    let withdraw = |amount_cents| Withdraw {
        amount_cents,
        movement_id: None,
    };
    let bad: [AccountsEvent; 5] = [
        deposit(0).into(),
        deposit(-5).into(),
        withdraw(0).into(),
        withdraw(-5).into(),
        deposit(i64::MAX).into(),
    ];
    for bad in bad {
        let refused = client.request::<Accounts>(&account, bad, LIMIT);
        assert_eq!(failure(&refused.await.unwrap()), "invalid-request");
    }
    let too_much = client.request::<Accounts>(&account, withdraw(1001), LIMIT);
    let too_much: AccountBalance = too_much.await.unwrap().event().unwrap();
    assert_eq!((too_much.accepted, too_much.balance_cents), (false, 1000));

    // A payment that nobody made, and one that was made otherwise.
    assert_eq!(ask(&client, &payment, ExpirePayment {}).await, "NEW");
    assert_eq!(
        ask(&client, &payment, make(&account, 100)).await,
        "COMPLETED_SUCCESSFULLY"
    );
    for other in [make(&account, 200), make("another", 100)] {
        assert_eq!(ask(&client, &payment, other).await, "idempotency-mismatch");
    }
    assert_eq!(
        ask(&client, &payment, ExpirePayment {}).await,
        "COMPLETED_SUCCESSFULLY",
        "before its time"
    );
    assert_eq!(balance(endpoints(), &account).await, 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_comes_again_after_many_others_moves_nothing() {
    let _permit = many_events_permit().await;
    let client = client().await;
    let account = account(&client, 1000).await;
    let rent = Withdraw {
        amount_cents: 100,
        movement_id: Some("rent".into()),
    };
    let meta = client.meta();
    let sent = client.send::<Accounts>(&account, rent.clone(), Some(&meta));
    sent.await.unwrap();
    // More than the windows of event ids and of idempotency keys hold.
    for _ in 0..70 {
        let sent = client.send::<Accounts>(&account, deposit(1), None);
        sent.await.unwrap();
    }
    let sent = client.send::<Accounts>(&account, rent.clone(), Some(&meta));
    sent.await.unwrap();
    let again = client.request::<Accounts>(&account, rent, LIMIT);
    let again: AccountBalance = again.await.unwrap().event().unwrap();
    assert_eq!((again.accepted, again.balance_cents), (true, 970));
}
