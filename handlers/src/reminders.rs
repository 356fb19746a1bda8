//! Reminders: a customer whose payment failed is reminded three times, then people take over. A
//! success in between ends it.
//!
//! Between reminders nothing runs: a durable timer makes the tracker send itself `ReminderDue`. A
//! reminder that was due already when the success came is told by its number and round.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::Failure;
use millstream_pipeline::process::outputs::Outputs;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_schemas::invoice_reminders::ReminderDue;
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::support_escalations::Escalation;
use millstream_topics::InvoiceEventsEvent::{self, PaymentFailed, PaymentSucceeded};
use millstream_topics::{
    InvoiceEvents, InvoiceReminders, OutboundEmails, SupportEscalations, TOPICS,
};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::settings::milliseconds;

/// Reminders before people take over.
pub const REMINDERS: u32 = 3;
/// Name of the timer.
const TIMER: &str = "reminder";

/// How often customers are reminded.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Milliseconds between two reminders of an unpaid invoice; a day by default
    #[arg(
        long = "reminder-interval-ms",
        default_value = "86400000",
        env = "MILLSTREAM_REMINDER_INTERVAL_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub reminder_interval: Duration,
}

/// The service. Its key is the invoice id.
pub struct PaymentTracker {
    service: Service,
    interval: Duration,
}

impl PaymentTracker {
    /// The service on `pipeline`, with this long between two reminders.
    pub fn new(pipeline: &Pipeline, interval: Duration) -> Self {
        Self {
            service: pipeline.service(service_name!(PaymentTracker in TOPICS)),
            interval,
        }
    }
}

/// What is known of an invoice.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    paid: bool,
    /// Sent since the last failure that began anew.
    #[serde(default)]
    reminder_count: u32,
    #[serde(default)]
    escalated: bool,
    /// When it was paid last, by the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid_at: Option<i64>,
    /// How often reminding has begun.
    #[serde(default)]
    round: i64,
}

/// A failure begins the reminders, unless they are under way; a success ends them.
///
/// A failure from before the last success is late news: webhooks overtake each other.
pub fn track(
    invoice: &mut Invoice,
    event: InvoiceEventsEvent,
    interval: Duration,
    outputs: &mut Outputs,
) -> Result<Option<()>, Failure> {
    let (customer, created) = match &event {
        PaymentFailed(event) => (&event.customer, event.created),
        PaymentSucceeded(event) => (&event.customer, event.created),
    };
    if customer.is_empty() {
        return Err(Failure::invalid_request(
            "customer is empty; say whose invoice it is",
        ));
    }
    match event {
        PaymentSucceeded(event) => {
            outputs.cancel(TIMER);
            invoice.customer = event.customer;
            invoice.paid = true;
            invoice.paid_at = invoice.paid_at.max(Some(created));
            invoice.reminder_count = 0;
            invoice.escalated = false;
        }
        PaymentFailed(event) => {
            let is_late = invoice.paid && invoice.paid_at > Some(created);
            let under_way = !invoice.paid && invoice.round > 0;
            if !is_late && !under_way {
                invoice.customer = event.customer;
                invoice.paid = false;
                invoice.round += 1;
                send(invoice, interval, outputs);
            }
        }
    }
    Ok(Some(()))
}

/// The next reminder, or the escalation after the last.
pub fn remind(
    invoice: &mut Invoice,
    due: ReminderDue,
    interval: Duration,
    outputs: &mut Outputs,
) -> Result<Option<()>, Failure> {
    let is_next = i64::from(due.n) == i64::from(invoice.reminder_count) + 1;
    let is_wanted = !invoice.paid && !invoice.escalated && due.round == invoice.round;
    if !is_next || !is_wanted || invoice.round == 0 {
        return Ok(Some(()));
    }
    if invoice.reminder_count < REMINDERS {
        send(invoice, interval, outputs);
        return Ok(Some(()));
    }
    invoice.escalated = true;
    let id = outputs.key().to_owned();
    let escalation = Escalation {
        customer: invoice.customer.clone(),
        reason: format!("{id} is not paid after {REMINDERS} reminders"),
    };
    outputs.emit::<SupportEscalations>(id, escalation);
    Ok(Some(()))
}

fn send(invoice: &mut Invoice, interval: Duration, outputs: &mut Outputs) {
    invoice.reminder_count += 1;
    let (n, id) = (invoice.reminder_count, outputs.key().to_owned());
    let mail = SendEmail {
        recipient: invoice.customer.clone(),
        subject: format!("Reminder {n}: {id}"),
        body: format!("The payment of {id} failed. Please pay it."),
    };
    outputs.emit::<OutboundEmails>(id.clone(), mail);
    let next = ReminderDue {
        n: i32::try_from(n + 1).unwrap_or(i32::MAX),
        round: invoice.round,
    };
    outputs
        .emit::<InvoiceReminders>(id, next)
        .after(interval)
        .cancellable(TIMER);
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl PaymentTracker {
    /// Handles `invoice-events`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let decide = |invoice: &mut Invoice, event, outputs: &mut Outputs| {
            track(invoice, event, self.interval, outputs)
        };
        self.service
            .handle_with::<InvoiceEvents, _>(&ctx, record, decide)
            .await
    }

    /// Handles `invoice-reminders`.
    #[handler(name = "onReminder")]
    async fn on_reminder(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let decide = |invoice: &mut Invoice, event, outputs: &mut Outputs| {
            remind(invoice, event, self.interval, outputs)
        };
        self.service
            .handle_with::<InvoiceReminders, _>(&ctx, record, decide)
            .await
    }
}

#[cfg(test)]
mod tests;
