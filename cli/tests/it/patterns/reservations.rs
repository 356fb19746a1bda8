//! Product reservations: durable RPC.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::Topic;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;

use crate::support::{LIMIT, client, many_events_permit, unique, until};

pub fn by(reservation: &str) -> ReserveProduct {
    ReserveProduct {
        reservation_id: reservation.into(),
    }
}

/// Whether the product is the reservation's.
async fn reserved(client: &Client, product: &str, reservation: &str) -> bool {
    let seen = client
        .request::<ProductReservations>(product, by(reservation), LIMIT)
        .await
        .unwrap();
    let answer: ProductReserved = seen.event().unwrap();
    assert_eq!(answer.reservation_id, reservation);
    answer.reserved
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_reservation_keeps_the_product() {
    let client = client().await;
    let (product, other) = (unique("product"), unique("product"));
    assert!(reserved(&client, &product, "reservation1").await);
    assert!(!reserved(&client, &product, "reservation2").await);
    assert!(reserved(&client, &product, "reservation1").await);
    assert!(
        reserved(&client, &other, "reservation2").await,
        "products are independent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_gets_the_product() {
    let _permit = many_events_permit().await;
    const COUNT: i64 = 120;
    let client = client().await;
    let product = unique("product");
    let metas: Vec<_> = (0..COUNT).map(|_| client.meta()).collect();
    try_join_all(metas.iter().enumerate().map(|(n, meta)| {
        let command = by(&format!("reservation{n}"));
        client.send::<ProductReservations>(&product, command, Some(meta))
    }))
    .await
    .unwrap();

    let of_product =
        || client.seen(|seen| seen.key.as_ref() == Some(&product) && seen.topic == results_topic());
    until("all results", async || {
        (of_product().len() >= COUNT as usize).then_some(())
    })
    .await;
    let results = of_product();
    let seqs: Vec<_> = results
        .iter()
        .map(|seen| seen.meta.as_ref().unwrap().seq.unwrap())
        .collect();
    assert_eq!(
        seqs,
        (1..=COUNT).collect::<Vec<_>>(),
        "no gap, no copy, in order"
    );
    let answered: BTreeSet<_> = results
        .iter()
        .map(|seen| seen.meta.as_ref().unwrap().causation_id.as_deref())
        .collect();
    let asked: BTreeSet<_> = metas.iter().map(|meta| Some(meta.id.as_str())).collect();
    assert_eq!(answered, asked, "each command has its result");
    let epochs: BTreeSet<_> = results
        .iter()
        .map(|seen| seen.meta.as_ref().unwrap().epoch.as_deref().unwrap())
        .collect();
    assert_eq!(epochs.len(), 1);
    let winners = results
        .iter()
        .filter(|seen| seen.event::<ProductReserved>().unwrap().reserved);
    assert_eq!(winners.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_command_has_no_second_result() {
    let client = client().await;
    let product = unique("product");
    let copied = client.meta();
    for _ in 0..2 {
        client
            .send::<ProductReservations>(&product, by("copied"), Some(&copied))
            .await
            .unwrap();
    }
    // Of one key, so it is handled after the copy.
    let marker = client
        .request::<ProductReservations>(&product, by("marker"), LIMIT)
        .await
        .unwrap();
    assert_eq!(marker.meta.unwrap().seq, Some(2));
    let results = client.seen(|seen| seen.key.as_ref() == Some(&product));
    assert_eq!(results.len(), 2, "{results:?}");
}

fn results_topic() -> &'static str {
    ProductReservations::DECLARATION
        .results
        .as_ref()
        .unwrap()
        .name
}
