//! The patterns of the catalogue, by events on topics.

mod crashes;
mod database;
mod delayed_queue;
mod fan_out;
mod idempotency;
pub mod orders;
mod payment_signals;
mod payment_state_machine;
mod posts;
mod priority_queue;
mod promises;
pub mod reminders;
mod reservations;
mod saga;
mod state_machine;
mod sync_to_async;
pub mod tracking;
mod usage;
mod user_updates;
mod webhooks;
