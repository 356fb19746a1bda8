//! The patterns of the catalogue, by events on topics.

mod database;
mod delayed_queue;
mod idempotency;
mod orders;
mod priority_queue;
pub mod reminders;
mod reservations;
mod saga;
mod tracking;
mod user_updates;
