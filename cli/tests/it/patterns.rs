//! The patterns of the catalogue, by events on topics.

use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;

use crate::support::{LIMIT, client, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_reserved_once() {
    let client = client().await;
    let product = unique("product");
    for (reservation, expected) in [("r1", true), ("r2", false), ("r1", true)] {
        let command = ReserveProduct {
            reservation_id: reservation.into(),
        };
        let seen = client
            .request::<ProductReservations>(&product, command, LIMIT)
            .await
            .unwrap();
        let answer: ProductReserved = seen.event().unwrap();
        assert_eq!(
            (answer.reservation_id.as_str(), answer.reserved),
            (reservation, expected)
        );
    }
}
