//! Reminders: three mails one interval apart, then people; a success ends it.

use std::time::Duration;

use millstream_pipeline::client::Client;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::invoice_events::{PaymentFailed, PaymentSucceeded};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::support_escalations::Escalation;
use millstream_topics::{InvoiceEvents, InvoiceEventsEvent, OutboundEmails, SupportEscalations};

use crate::faults::ledger::records;
use crate::support::{Bench, LIMIT, client, endpoints, letter_code, sql, unique, until};

/// What the shared stack is set to.
const INTERVAL: Duration = Duration::from_millis(1000);

pub fn failed(created: i64) -> InvoiceEventsEvent {
    let customer = "customer1".to_owned();
    PaymentFailed { customer, created }.into()
}

pub fn succeeded(created: i64) -> InvoiceEventsEvent {
    let customer = "customer1".to_owned();
    PaymentSucceeded { customer, created }.into()
}

async fn send(client: &Client, invoice: &str, event: InvoiceEventsEvent) {
    let meta = client.meta();
    let sent = client.send::<InvoiceEvents>(invoice, event, Some(&meta));
    sent.await.unwrap();
}

/// The events of `T` about this invoice so far.
pub fn about<T: Topic>(client: &Client, invoice: &str) -> Vec<Seen> {
    client.seen(|seen| seen.topic == T::DECLARATION.name && seen.key.as_deref() == Some(invoice))
}

pub async fn escalated(client: &Client, invoice: &str) -> Seen {
    let escalation = |seen: &Seen| {
        seen.topic == SupportEscalations::DECLARATION.name && seen.key.as_deref() == Some(invoice)
    };
    let seen = client.wait_for("the escalation", LIMIT, escalation);
    seen.await.unwrap()
}

async fn mails(client: &Client, invoice: &str, count: usize) -> Vec<Seen> {
    until(&format!("{count} mails"), async || {
        let mails = about::<OutboundEmails>(client, invoice);
        (mails.len() >= count).then_some(mails)
    })
    .await
}

async fn is_paid(invoice: &str) {
    until("the payment", async || {
        let entries = sql::state(endpoints(), "PaymentTracker", invoice).await;
        (entries.first()?.1["paid"] == true).then_some(())
    })
    .await;
}

fn meta(seen: &Seen) -> &EventMeta {
    seen.meta.as_ref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_reminders_then_people() {
    let client = client().await;
    let invoice = unique("invoice");
    send(&client, &invoice, failed(1)).await;
    // More bad news changes nothing.
    send(&client, &invoice, failed(2)).await;
    let escalation = escalated(&client, &invoice).await;
    let told: Escalation = escalation.event().unwrap();
    assert_eq!(told.customer, "customer1");
    assert!(told.reason.contains(&invoice), "{told:?}");
    let mails = about::<OutboundEmails>(&client, &invoice);
    for (n, mail) in mails.iter().enumerate() {
        let sent: SendEmail = mail.event().unwrap();
        assert_eq!(sent.recipient, "customer1");
        assert_eq!(sent.subject, format!("Reminder {}: {invoice}", n + 1));
        assert_eq!(meta(mail).seq, Some(i64::try_from(n).unwrap() + 1));
    }
    assert_eq!(mails.len(), 3);
    for pair in mails
        .iter()
        .chain([&escalation])
        .collect::<Vec<_>>()
        .windows(2)
    {
        let apart = meta(pair[1]).time - meta(pair[0]).time;
        assert!(
            apart >= i64::try_from(INTERVAL.as_micros()).unwrap(),
            "{apart}"
        );
    }
    let entries = sql::settled_state(endpoints(), "PaymentTracker", &invoice).await;
    assert_eq!(entries[0].1["paid"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_stops_the_reminders_and_a_later_failure_begins_anew() {
    let bench = Bench::new(endpoints()).await;
    let client = &bench.client;
    let (invoice, clock) = (unique("invoice"), unique("invoice"));
    send(client, &invoice, failed(1)).await;
    mails(client, &invoice, 1).await;
    send(client, &invoice, succeeded(2)).await;
    is_paid(&invoice).await;
    // On a slow machine more than one mail has left by now, and even the escalation.
    let sent = published::<OutboundEmails>(&bench, &invoice).await.len();
    let told = published::<SupportEscalations>(&bench, &invoice)
        .await
        .len();
    // Another invoice goes through it all meanwhile.
    send(client, &clock, failed(1)).await;
    escalated(client, &clock).await;
    let now = published::<OutboundEmails>(&bench, &invoice).await;
    assert_eq!(now.len(), sent, "no mail after the success");
    let now = published::<SupportEscalations>(&bench, &invoice).await;
    assert_eq!(now.len(), told, "no escalation after the success");
    // Late news of a time before the payment.
    send(client, &invoice, failed(1)).await;
    send(client, &invoice, failed(3)).await;
    until("the escalation of the second round", async || {
        let all = about::<SupportEscalations>(client, &invoice);
        (all.len() > told).then_some(())
    })
    .await;
    let mails = published::<OutboundEmails>(&bench, &invoice).await;
    let subjects: Vec<_> = mails[sent..]
        .iter()
        .map(|mail| mail.event::<SendEmail>().unwrap().subject)
        .collect();
    let expected = [1, 2, 3].map(|n| format!("Reminder {n}: {invoice}"));
    assert_eq!(subjects, expected, "from the first, and each once");
    let entries = sql::settled_state(endpoints(), "PaymentTracker", &invoice).await;
    assert_eq!(entries[0].1["paid"], false);
    send(client, &invoice, succeeded(4)).await;
    is_paid(&invoice).await;
}

/// The events of `T` about this invoice that Kafka has, also those that no reader has got yet.
async fn published<T: Topic>(bench: &Bench, invoice: &str) -> Vec<Seen> {
    let mut all = records(endpoints(), &bench.codec, T::DECLARATION.name).await;
    all.retain(|seen| seen.key.as_deref() == Some(invoice));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_of_nobody_is_a_dead_letter() {
    let bench = Bench::new(endpoints()).await;
    let invoice = unique("invoice");
    for event in [
        PaymentFailed::default().into(),
        PaymentSucceeded::default().into(),
    ] {
        let event: InvoiceEventsEvent = event;
        let sent = bench.client.send::<InvoiceEvents>(&invoice, event, None);
        let at = sent.await.unwrap();
        let letter = bench.dead_letter(InvoiceEvents::DECLARATION.name, at).await;
        assert_eq!(letter_code(&letter), "invalid-request");
    }
    let entries = sql::settled_state(endpoints(), "PaymentTracker", &invoice).await;
    assert_eq!(entries[0].1["customer"], "");
    assert!(about::<OutboundEmails>(&bench.client, &invoice).is_empty());
}
