//! The patterns of the catalogue, by events on topics.

mod database;
mod idempotency;
mod orders;
mod payment_signals;
mod reservations;
mod saga;
mod sync_to_async;
mod tracking;
mod user_updates;
mod webhooks;
