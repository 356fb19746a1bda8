//! Orders: a basket is checked out, paid, approved, shipped and delivered.
//!
//! ```text
//! user-sessions ─ UserSession ─ order-payments ─ OrderPayments ─ payment-requests ─> provider
//!                     │ once paid                     └──── payment-confirmations <─ provider
//!                     └─ orders ─ OrderFulfillment ─ inventory ─ Inventory
//!              order-approvals ──────┘         └──── shipments ─ Shipping ─ carrier
//! ```
//!
//! The order id is what everything but the basket is keyed by: whoever repeats an order id repeats
//! the order, and it is paid, reserved and shipped once.

mod approval;
mod fulfillment;
mod inventory;
mod payments;
mod session;
mod shipping;

use std::time::Duration;

use millstream_pipeline::code::Failure;

pub use approval::{APPROVAL_TIMED_OUT, ORDER_ALREADY_DECIDED, ORDER_CLOSED, ORDER_NOT_APPROVED};
pub use fulfillment::{CANCEL_SHIPMENT, OrderFulfillment, RELEASE_INVENTORY};
pub use inventory::{INVENTORY_RELEASED, Inventory};
pub use payments::{
    CHECKOUT_SUPERSEDED, ORDER_MISMATCH, OrderPayments, PAYMENT_ALREADY_CONFIRMED, PAYMENT_REJECTED,
};
pub use session::{BASKET_FULL, EMPTY_BASKET, PAYMENT_TIMED_OUT, UserSession};
pub use shipping::{CARRIER_UNAVAILABLE, SHIPMENT_CANCELLED, SHIPMENT_REJECTED, Shipping};

/// What the services of this module need from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// URL of the carrier that ships orders.
    pub carrier: String,
    /// How long a checkout waits for its payment. The user's other events wait behind it.
    pub payment_deadline: Duration,
    /// How long an order waits for the administrator.
    pub approval_deadline: Duration,
    /// How long the delivery of a shipped order takes.
    pub delivery_wait: Duration,
}

/// Refuses an order of nothing.
fn check_items(items: &[String]) -> Result<(), Failure> {
    match items.is_empty() {
        true => Err(Failure::invalid_request(
            "items is empty; name what is ordered",
        )),
        false => Ok(()),
    }
}
