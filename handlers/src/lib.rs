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
pub mod usage_metering;
pub mod user_updates;
pub mod webhooks;

use millstream_pipeline::lane::decider::Decider;
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
    let services = deciders(pipeline)
        .into_iter()
        .fold(pipeline.endpoint(), Builder::bind);
    Ok(services
        .bind(database::UserDatabase::new(pipeline, database.clone()))
        .bind(database::UserCredits::new(pipeline, database))
        .bind(delayed_queue::TaskQueue::new(
            pipeline,
            delayed_queue::simulation(),
            settings.tasks.task_retry_delay,
        ))
        .bind(saga::BookingWorkflow::new(pipeline))
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
        .bind(orders::OrderFulfillment::new(pipeline, &settings.orders))
        .bind(orders::Shipping::new(pipeline, &settings.orders))
        .bind(webhooks::PaymentWebhooks::new(pipeline))
        .bind(sync_to_async::DataUpload::new(pipeline, &settings.uploads))
        .bind(payment_signals::PaymentIntents::new(
            pipeline,
            &settings.payment_signals,
        )))
}

/// Those whose handlers do nothing but decide: they work in either lane, as their topic files say.
pub fn deciders(pipeline: &Pipeline) -> Vec<Decider> {
    vec![
        durable_promises::durable_promises(pipeline),
        durable_rpc::product_reservations(pipeline),
        enrichment::package_tracker(pipeline),
        orders::inventory(pipeline),
        orders::order_payments(pipeline),
        payment_state_machine::accounts(pipeline),
        saga::car_rentals(pipeline),
        saga::charges(pipeline),
        saga::flights(pipeline),
        usage_metering::usage_meter(pipeline),
    ]
}
