//! A customer is reminded three times before people take over; another pays in between.

use millstream_pipeline::events::Topic;
use millstream_schemas::invoice_events::{PaymentFailed, PaymentSucceeded};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_topics::{InvoiceEvents, OutboundEmails, SupportEscalations};

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let (unpaid, paid) = (run.key("invoice123"), run.key("invoice124"));
    let customer = "cus_J5K2Y4F2eZvKYlo2".to_owned();
    let failed = PaymentFailed {
        customer: customer.clone(),
        created: 1,
    };
    for invoice in [&unpaid, &paid] {
        let meta = run.meta();
        run.send::<InvoiceEvents>(invoice, failed.clone(), &meta)
            .await?;
    }
    // Right behind the failure: who waits for a reminder first may be too late for the last.
    let succeeded = PaymentSucceeded {
        customer,
        created: 2,
    };
    let meta = run.meta();
    run.send::<InvoiceEvents>(&paid, succeeded, &meta).await?;
    run.record(OutboundEmails::DECLARATION.name, &paid).await?;

    run.record(SupportEscalations::DECLARATION.name, &unpaid)
        .await?;
    let mails = run.records(OutboundEmails::DECLARATION.name, &unpaid);
    let subjects: Result<Vec<_>, _> = mails
        .iter()
        .map(|mail| mail.event::<SendEmail>().map(|mail| mail.subject))
        .collect();
    let expected = [1, 2, 3].map(|n| format!("Reminder {n}: {unpaid}"));
    run.expect("the reminders", subjects?, expected.to_vec());
    let escalations = run.records(SupportEscalations::DECLARATION.name, &paid);
    run.expect("escalations of the paid invoice", escalations.len(), 0);
    Ok(())
}
