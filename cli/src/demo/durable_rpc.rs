//! Two reservations want one product; the first asks again; one repeats itself by its idempotency key.

use millstream_pipeline::events::{EventMeta, RequestFailed};
use millstream_pipeline::failure;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;

use super::Run;

fn reservation(id: &str) -> ReserveProduct {
    ReserveProduct {
        reservation_id: id.into(),
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let product = run.key("product1");
    for (id, expected) in [
        ("reservation1", true),
        ("reservation2", false),
        ("reservation1", true),
    ] {
        let answer: ProductReserved = run
            .request::<ProductReservations, _>(&product, reservation(id))
            .await?;
        run.expect(
            &format!("{id} asks for the product"),
            answer.reserved,
            expected,
        );
    }
    let other = run.key("product2");
    let answer: ProductReserved = run
        .request::<ProductReservations, _>(&other, reservation("reservation2"))
        .await?;
    run.expect("another product is free", answer.reserved, true);

    // The same idempotency key: the same answer, and it says that it is a repetition.
    let product = run.key("product3");
    let with_key = |meta: EventMeta| EventMeta {
        idempotency_key: Some("attempt-1".into()),
        ..meta
    };
    let (first, second, third) = (
        with_key(run.meta()),
        with_key(run.meta()),
        with_key(run.meta()),
    );
    run.send::<ProductReservations>(&product, reservation("reservation1"), &first)
        .await?;
    run.send::<ProductReservations>(&product, reservation("reservation1"), &second)
        .await?;
    run.send::<ProductReservations>(&product, reservation("reservation2"), &third)
        .await?;
    let first = run.result_of(&first).await?.meta.unwrap_or_default();
    let again = run.result_of(&second).await?.meta.unwrap_or_default();
    run.expect(
        "the repetition names the first answer",
        again.original_id,
        Some(first.id),
    );
    let refused = run.result_of(&third).await?.event::<RequestFailed>()?;
    run.expect(
        "the key with another body",
        refused.code.as_str(),
        failure::IDEMPOTENCY_MISMATCH,
    );
    Ok(())
}
