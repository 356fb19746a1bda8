//! The declaration of every topic in the catalogue, and a typed handle for each.
//!
//! One TOML file per topic lies beside this crate. `build.rs` checks them all, reports every
//! problem at once, and makes a constant and a type of each: `product-reservations.toml` becomes
//! [`ProductReservations`], whose [`Topic::DECLARATION`] is the file's content and whose
//! [`Topic::Event`] can hold no event but the declared ones.

mod declaration;

pub use declaration::{
    Cleanup, Declaration, EventDeclaration, HttpRoute, Identity, ResultTopic, Signature, Subjects,
    Subscription, Topic,
};

include!(concat!(env!("OUT_DIR"), "/millstream.rs"));
