//! The declaration of every topic in the catalogue, and a typed handle for each.
//!
//! One TOML file per topic lies beside this crate. `build.rs` checks them all, reports every
//! problem at once, and makes a constant and a type of each: `product-reservations.toml` becomes
//! [`ProductReservations`], whose [`DECLARATION`](millstream_events::Topic::DECLARATION) is the file's
//! content and whose [`Event`](millstream_events::Topic::Event) can hold no event but the declared ones.

include!(concat!(env!("OUT_DIR"), "/millstream.rs"));
