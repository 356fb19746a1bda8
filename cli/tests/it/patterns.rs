//! The patterns of the catalogue, by events on topics.

mod database;
mod idempotency;
mod orders;
mod posts;
mod promises;
mod reservations;
mod saga;
mod tracking;
mod user_updates;
