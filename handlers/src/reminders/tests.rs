use millstream_pipeline::events::EventMeta;
use millstream_schemas::invoice_events;
use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_secs(60);

fn outputs() -> Outputs {
    Outputs::new("invoice1", EventMeta::default(), 1_000)
}

fn failed(created: i64) -> InvoiceEventsEvent {
    let customer = "customer1".to_owned();
    invoice_events::PaymentFailed { customer, created }.into()
}

fn succeeded(created: i64) -> InvoiceEventsEvent {
    let customer = "customer1".to_owned();
    invoice_events::PaymentSucceeded { customer, created }.into()
}

fn see(invoice: &mut Invoice, event: InvoiceEventsEvent) -> Outputs {
    let mut outputs = outputs();
    track(invoice, event, INTERVAL, &mut outputs).unwrap();
    outputs
}

fn due(invoice: &mut Invoice, n: i32, round: i64) -> Outputs {
    let mut outputs = outputs();
    remind(invoice, ReminderDue { n, round }, INTERVAL, &mut outputs).unwrap();
    outputs
}

fn mail(n: u32) -> SendEmail {
    SendEmail {
        recipient: "customer1".into(),
        subject: format!("Reminder {n}: invoice1"),
        body: "The payment of invoice1 failed. Please pay it.".into(),
    }
}

/// The outputs are the reminder `n` and the timer of the next.
fn reminds(outputs: &Outputs, n: u32, round: i64) {
    let emitted: Vec<_> = outputs.emitted().collect();
    assert!(emitted[0].is::<OutboundEmails>("invoice1", mail(n), None));
    let next = ReminderDue {
        n: i32::try_from(n).unwrap() + 1,
        round,
    };
    assert!(emitted[1].is::<InvoiceReminders>("invoice1", next, Some(61_000_000)));
    assert_eq!(emitted.len(), 2);
}

#[test]
fn three_reminders_then_people() {
    let mut invoice = Invoice::default();
    reminds(&see(&mut invoice, failed(1)), 1, 1);
    reminds(&due(&mut invoice, 2, 1), 2, 1);
    reminds(&due(&mut invoice, 3, 1), 3, 1);
    let last = due(&mut invoice, 4, 1);
    let escalation = Escalation {
        customer: "customer1".into(),
        reason: "invoice1 is not paid after 3 reminders".into(),
    };
    let emitted: Vec<_> = last.emitted().collect();
    assert_eq!(emitted.len(), 1);
    assert!(emitted[0].is::<SupportEscalations>("invoice1", escalation, None));
    for n in 1..9 {
        assert_eq!(due(&mut invoice, n, 1).emitted().count(), 0);
    }
    assert_eq!(
        see(&mut invoice, failed(2)).emitted().count(),
        0,
        "people have it"
    );
}

#[test]
fn a_success_ends_it_and_a_later_failure_begins_anew() {
    let mut invoice = Invoice::default();
    see(&mut invoice, failed(1));
    assert_eq!(
        see(&mut invoice, failed(1)).emitted().count(),
        0,
        "once is enough"
    );
    let paid = see(&mut invoice, succeeded(2));
    assert_eq!(paid.cancelled().collect::<Vec<_>>(), ["reminder"]);
    assert!(invoice.paid);
    assert_eq!(
        due(&mut invoice, 2, 1).emitted().count(),
        0,
        "it was due already"
    );
    assert_eq!(
        see(&mut invoice, failed(1)).emitted().count(),
        0,
        "late news"
    );
    assert!(invoice.paid);
    reminds(&see(&mut invoice, failed(3)), 1, 2);
    assert_eq!(
        due(&mut invoice, 2, 1).emitted().count(),
        0,
        "of the first round"
    );
    reminds(&due(&mut invoice, 2, 2), 2, 2);
}

#[test]
fn nameless_customers_are_refused() {
    let event = invoice_events::PaymentFailed::default();
    let mut invoice = Invoice::default();
    let refused = track(&mut invoice, event.into(), INTERVAL, &mut outputs()).unwrap_err();
    assert_eq!(refused.code, "invalid-request");
    assert_eq!(invoice, Invoice::default());
}

#[derive(Debug, Clone)]
enum Step {
    Failed(i64),
    Succeeded(i64),
    Due(i32, i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0i64..9).prop_map(Step::Failed),
        (0i64..9).prop_map(Step::Succeeded),
        (0i32..6, 0i64..4).prop_map(|(n, round)| Step::Due(n, round)),
    ]
}

proptest! {
    /// Whatever comes in whatever order: never more than three mails and one escalation between
    /// two successes, and none while the invoice is paid.
    #[test]
    fn nobody_is_pestered(steps in prop::collection::vec(step(), 0..100)) {
        let mut invoice = Invoice::default();
        let mut sent = 0;
        for step in steps {
            let was_paid = invoice.paid;
            let is_due = matches!(step, Step::Due(..));
            let outputs = match step {
                Step::Failed(created) => see(&mut invoice, failed(created)),
                Step::Succeeded(created) => { sent = 0; see(&mut invoice, succeeded(created)) }
                Step::Due(n, round) => due(&mut invoice, n, round),
            };
            let emitted = outputs.emitted().count();
            if was_paid && is_due {
                prop_assert_eq!(emitted, 0);
            }
            sent += usize::from(emitted > 0);
            prop_assert!(sent <= 4);
            prop_assert!(invoice.reminder_count <= REMINDERS);
        }
    }
}
