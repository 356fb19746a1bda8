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

use millstream_pipeline::failure::Failure;

pub use approval::{APPROVAL_TIMED_OUT, ORDER_ALREADY_DECIDED, ORDER_CLOSED, ORDER_NOT_APPROVED};
pub use fulfillment::{CANCEL_SHIPMENT, OrderFulfillment, RELEASE_INVENTORY};
pub use inventory::{INVENTORY_RELEASED, inventory};
pub use payments::{
    CHECKOUT_SUPERSEDED, ORDER_MISMATCH, PAYMENT_ALREADY_CONFIRMED, PAYMENT_REJECTED,
    order_payments,
};
pub use session::{BASKET_FULL, EMPTY_BASKET, PAYMENT_TIMED_OUT, UserSession};
pub use shipping::{CARRIER_UNAVAILABLE, SHIPMENT_CANCELLED, SHIPMENT_REJECTED, Shipping};

use crate::settings::milliseconds;

/// What the services of this module need from outside.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// URL of the carrier that ships orders
    #[arg(
        long,
        default_value = "http://localhost:9480/carrier",
        env = "MILLSTREAM_CARRIER",
        value_name = "URL"
    )]
    pub carrier: String,
    /// Milliseconds that a checkout waits for its payment; the user's other events wait behind it
    #[arg(
        long = "payment-deadline-ms",
        default_value = "120000",
        env = "MILLSTREAM_PAYMENT_DEADLINE_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub payment_deadline: Duration,
    /// Milliseconds that an order waits for its approval
    #[arg(
        long = "approval-deadline-ms",
        default_value = "86400000",
        env = "MILLSTREAM_APPROVAL_DEADLINE_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub approval_deadline: Duration,
    /// Milliseconds that the delivery of a shipped order takes
    #[arg(
        long = "delivery-wait-ms",
        default_value = "5000",
        env = "MILLSTREAM_DELIVERY_WAIT_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
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
