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
pub mod state_machine;
pub mod sync_to_async;
pub mod transactional_events;
pub mod user_updates;
pub mod webhooks;

use std::time::Duration;

use millstream_pipeline::service::Pipeline;
use restate_sdk::endpoint::Builder;

/// What the catalogue's handlers need from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// URL of the system that `user-updates` brings up to date.
    pub user_directory: String,
    /// How long `user-updates` waits before it asks a busy system again.
    pub busy_delay: Duration,
    /// Where `database` keeps its users.
    pub postgres: Option<database::Database>,
    /// Of `orders`.
    pub orders: orders::Settings,
    /// Of `transactional-events`.
    pub posts: transactional_events::Settings,
    /// How long `state-machine` takes for a transition.
    pub transition: Duration,
    /// How long `payment-state-machine` remembers a payment after its last change.
    pub payment_expiry: Duration,
    /// How long `fan-out` takes for a subtask.
    pub subtask: Duration,
    /// How fast the simulated uploads of `sync-to-async` are.
    pub upload_bytes_per_second: u64,
    /// Of `payment-signals`.
    pub payment_signals: payment_signals::Settings,
    /// How long `delayed-queue` waits before it tries a failed task again for the first time.
    pub task_retry_delay: Duration,
    /// How long `reminders` waits between two of them.
    pub reminder_interval: Duration,
    /// How many expensive calls `priority-queue` lets run at once.
    pub calls_in_flight: usize,
    /// How long an expensive call takes.
    pub call_duration: Duration,
    /// How long an expensive call may hold its slot.
    pub call_deadline: Duration,
}

/// All services of the catalogue.
pub fn catalogue(pipeline: &Pipeline, settings: &Settings) -> Builder {
    let rules = priority_queue::Rules {
        slots: settings.calls_in_flight,
        hold: settings.call_deadline,
        select: priority_queue::lowest_first,
    };
    pipeline
        .endpoint()
        .bind(durable_promises::DurablePromises::new(pipeline))
        .bind(durable_rpc::ProductReservations::new(pipeline))
        .bind(database::UserDatabase::new(pipeline, settings))
        .bind(database::UserCredits::new(pipeline, settings))
        .bind(delayed_queue::TaskQueue::new(
            pipeline,
            delayed_queue::simulation(),
            settings.task_retry_delay,
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
        .bind(state_machine::MachineOperator::new(pipeline, settings))
        .bind(payment_state_machine::Payments::new(pipeline, settings))
        .bind(payment_state_machine::Accounts::new(pipeline))
        .bind(fan_out::FanOutWorker::new(pipeline, settings))
        .bind(fan_out::Subtasks::new(pipeline, settings))
        .bind(reminders::PaymentTracker::new(
            pipeline,
            settings.reminder_interval,
        ))
        .bind(priority_queue::PriorityQueue::new(pipeline, rules))
        .bind(priority_queue::ExpensiveCalls::new(
            pipeline,
            priority_queue::simulation(settings.call_duration),
            settings.call_deadline,
        ))
        .bind(user_updates::UserUpdates::new(pipeline, settings))
        .bind(orders::UserSession::new(pipeline, &settings.orders))
        .bind(orders::OrderPayments::new(pipeline))
        .bind(orders::OrderFulfillment::new(pipeline, &settings.orders))
        .bind(orders::Inventory::new(pipeline))
        .bind(orders::Shipping::new(pipeline, &settings.orders))
        .bind(webhooks::PaymentWebhooks::new(pipeline))
        .bind(sync_to_async::DataUpload::new(
            pipeline,
            settings.upload_bytes_per_second,
        ))
        .bind(payment_signals::PaymentIntents::new(
            pipeline,
            &settings.payment_signals,
        ))
}
