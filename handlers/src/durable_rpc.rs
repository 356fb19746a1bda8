//! Durable RPC: a product is reserved once, and whoever asks again is told the same.
//!
//! The request is an event and so is its answer. Requests for one product are handled one after
//! the other; products do not wait for each other.

use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::{ProductReservations, TOPICS};
use serde::{Deserialize, Serialize};

/// Who has the product.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_by: Option<String>,
}

/// The first reservation gets the product and keeps it.
pub fn reserve(product: &mut Product, request: ReserveProduct) -> Result<ProductReserved, Failure> {
    let reservation_id = request.reservation_id;
    if reservation_id.is_empty() {
        return Err(Failure::invalid_request(
            "reservation_id is empty; name the reservation",
        ));
    }
    let owner = product
        .reserved_by
        .get_or_insert_with(|| reservation_id.clone());
    let reserved = *owner == reservation_id;
    Ok(ProductReserved {
        reservation_id,
        reserved,
    })
}

/// The service. Its key is the product id.
pub fn product_reservations(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("ProductReservations" in TOPICS))
        .on::<ProductReservations, _>(reserve)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(product: &mut Product, reservation: &str) -> bool {
        reserve(
            product,
            ReserveProduct {
                reservation_id: reservation.into(),
            },
        )
        .unwrap()
        .reserved
    }

    #[test]
    fn the_first_reservation_keeps_the_product() {
        let mut product = Product::default();
        assert!(ask(&mut product, "reservation1"));
        assert!(!ask(&mut product, "reservation2"));
        assert!(ask(&mut product, "reservation1"));
    }

    #[test]
    fn a_reservation_has_a_name() {
        let refused = reserve(&mut Product::default(), ReserveProduct::default()).unwrap_err();
        assert_eq!(refused.code, "invalid-request");
    }
}
