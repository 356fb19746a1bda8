//! The carrier that ships orders.
//!
//! `PUT /shipments/{order}` takes an order and `DELETE` gives it back; an order whose id begins with
//! `FAIL_SHIP` is rejected with 422. Control: `PUT /failing/{order}` with a number answers so many
//! requests for the order with 503; `GET /shipments/{order}` tells what was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};
use serde::Serialize;

/// Where it is below the stand-ins' address.
pub const PATH: &str = "/carrier";

/// Orders that begin so are rejected.
const REJECTED: &str = "FAIL_SHIP";

/// What the carrier knows of an order.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Shipment {
    /// Requests for the order.
    pub requests: u32,
    /// How many requests are still to fail.
    pub failing: u32,
    /// Whether the carrier has the order.
    pub shipped: bool,
    /// Whether it was given back.
    pub cancelled: bool,
}

type Shared = Arc<Mutex<HashMap<String, Shipment>>>;

/// Its routes.
pub fn routes() -> Router {
    Router::new()
        .route("/shipments/{order}", put(ship).delete(cancel).get(shipment))
        .route("/failing/{order}", put(fail))
        .with_state(Shared::default())
}

fn lock(shipments: &Shared) -> MutexGuard<'_, HashMap<String, Shipment>> {
    shipments.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a request, and lets it fail if it is told to.
fn asked<'s>(
    shipments: &'s mut HashMap<String, Shipment>,
    order: &str,
) -> Result<&'s mut Shipment, StatusCode> {
    let shipment = shipments.entry(order.to_owned()).or_default();
    shipment.requests += 1;
    if shipment.failing > 0 {
        shipment.failing -= 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(shipment)
}

async fn ship(State(shipments): State<Shared>, Path(order): Path<String>) -> StatusCode {
    let mut shipments = lock(&shipments);
    match asked(&mut shipments, &order) {
        Ok(_) if order.starts_with(REJECTED) => StatusCode::UNPROCESSABLE_ENTITY,
        Ok(shipment) => {
            shipment.shipped = true;
            StatusCode::OK
        }
        Err(status) => status,
    }
}

async fn cancel(State(shipments): State<Shared>, Path(order): Path<String>) -> StatusCode {
    let mut shipments = lock(&shipments);
    match asked(&mut shipments, &order) {
        Ok(shipment) if shipment.shipped => {
            shipment.cancelled = true;
            StatusCode::OK
        }
        Ok(_) => StatusCode::NOT_FOUND,
        Err(status) => status,
    }
}

async fn shipment(State(shipments): State<Shared>, Path(order): Path<String>) -> Json<Shipment> {
    Json(lock(&shipments).get(&order).cloned().unwrap_or_default())
}

async fn fail(State(shipments): State<Shared>, Path(order): Path<String>, Json(times): Json<u32>) {
    lock(&shipments).entry(order).or_default().failing = times;
}
