//! The catalogue: one module per pattern, business logic only.
//!
//! A module holds the state of its objects, the decision as a plain function of state and event,
//! and the handlers that Restate calls, which do nothing but hand the record to the pipeline.

// The SDK's macro adds client methods that it does not document.
#![allow(missing_docs)]

pub mod database;
pub mod delayed_queue;
pub mod durable_promises;
pub mod durable_rpc;
pub mod enrichment;
pub mod fan_out;
pub mod orders;
pub mod payment_signals;
pub mod payment_state_machine;
pub mod priority_queue;
pub mod reminders;
pub mod saga;
mod settings;
pub mod state_machine;
pub mod sync_to_async;
pub mod transactional_events;
pub mod user_updates;
pub mod webhooks;

use millstream_pipeline::service::Pipeline;
use restate_sdk::endpoint::Builder;

pub use settings::Settings;

/// All services of the catalogue. Fails if the database's URL is none.
pub fn catalogue(
    pipeline: &Pipeline,
    settings: &Settings,
) -> Result<Builder, database::InvalidUrl> {
    let rules = priority_queue::Rules {
        slots: settings.calls.calls_in_flight,
        hold: settings.calls.call_deadline,
        select: priority_queue::lowest_first,
    };
    let database = settings.database.open(pipeline)?;
    Ok(pipeline
        .endpoint()
        .bind(durable_promises::DurablePromises::new(pipeline))
        .bind(durable_rpc::ProductReservations::new(pipeline))
        .bind(database::UserDatabase::new(pipeline, database.clone()))
        .bind(database::UserCredits::new(pipeline, database))
        .bind(delayed_queue::TaskQueue::new(
            pipeline,
            delayed_queue::simulation(),
            settings.tasks.task_retry_delay,
        ))
        .bind(enrichment::PackageTracker::new(pipeline))
        .bind(saga::BookingWorkflow::new(pipeline))
        .bind(saga::Flights::new(pipeline))
        .bind(saga::CarRentals::new(pipeline))
        .bind(saga::Charges::new(pipeline))
        .bind(transactional_events::UserFeed::new(
            pipeline,
            &settings.posts,
        ))
        .bind(state_machine::MachineOperator::new(
            pipeline,
            &settings.state_machine,
        ))
        .bind(payment_state_machine::Payments::new(
            pipeline,
            &settings.payments,
        ))
        .bind(payment_state_machine::Accounts::new(pipeline))
        .bind(fan_out::FanOutWorker::new(pipeline, &settings.fan_out))
        .bind(fan_out::Subtasks::new(pipeline, &settings.fan_out))
        .bind(reminders::PaymentTracker::new(
            pipeline,
            settings.reminders.reminder_interval,
        ))
        .bind(priority_queue::PriorityQueue::new(pipeline, rules))
        .bind(priority_queue::ExpensiveCalls::new(
            pipeline,
            priority_queue::simulation(settings.calls.call_duration),
            settings.calls.call_deadline,
        ))
        .bind(user_updates::UserUpdates::new(
            pipeline,
            &settings.user_updates,
        ))
        .bind(orders::UserSession::new(pipeline, &settings.orders))
        .bind(orders::OrderPayments::new(pipeline))
        .bind(orders::OrderFulfillment::new(pipeline, &settings.orders))
        .bind(orders::Inventory::new(pipeline))
        .bind(orders::Shipping::new(pipeline, &settings.orders))
        .bind(webhooks::PaymentWebhooks::new(pipeline))
        .bind(sync_to_async::DataUpload::new(pipeline, &settings.uploads))
        .bind(payment_signals::PaymentIntents::new(
            pipeline,
            &settings.payment_signals,
        )))
}
