//! Histories of one key's records, and what its handler does with them.

use bytes::Bytes;
use millstream_events::{EventMeta, Topic};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;
use serde::{Deserialize, Serialize};

use crate::codec::{EncodedBody, join};
use crate::failure::Failure;
use crate::process::Received;
use crate::process::outputs::Outputs;
use crate::record::source_offset::SourceOffset;

pub const EVENTS: &str = "product-reservations";
pub const RESULTS: &str = "product-reservations-results";
/// When the history begins, in milliseconds since 1970-01-01 UTC.
pub const BEGIN: i64 = 1_763_686_800_000;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Product {
    #[serde(default)]
    pub handled: Vec<String>,
}

/// What a record of the history does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Emits,
    Steps,
    Refused,
    Panics,
    Keyed,
    Expires,
    Undecodable,
    /// The record before, once more, at the same place.
    Redelivered,
    /// The event before, once more, at a place of its own.
    Copied,
}

pub const KINDS: [Kind; 10] = [
    Kind::Plain,
    Kind::Emits,
    Kind::Steps,
    Kind::Refused,
    Kind::Panics,
    Kind::Keyed,
    Kind::Expires,
    Kind::Undecodable,
    Kind::Redelivered,
    Kind::Copied,
];

pub fn reservation(id: &str) -> ReserveProduct {
    let reservation_id = id.to_owned();
    ReserveProduct { reservation_id }
}

pub fn decide(
    product: &mut Product,
    event: ReserveProduct,
    outputs: &mut Outputs,
) -> Result<Option<ProductReserved>, Failure> {
    let reservation_id = event.reservation_id;
    product.handled.push(reservation_id.clone());
    if reservation_id.starts_with("Emits") {
        for name in ["a", "b"] {
            outputs.emit::<ProductReservations>("p", reservation(name));
        }
        outputs.emit::<ProductReservations>("other", reservation("c"));
        let later = outputs.emit::<ProductReservations>("p", reservation("d"));
        later.at(BEGIN * 1000).cancellable("t");
    }
    assert!(!reservation_id.starts_with("Panics"), "as the history says");
    if reservation_id.starts_with("Refused") {
        return Err(Failure::invalid_request("as the history says"));
    }
    let reserved = true;
    Ok(Some(ProductReserved {
        reservation_id,
        reserved,
    }))
}

/// One history: the records in the order in which they are delivered.
pub fn history(kinds: &[Kind]) -> Vec<(Kind, Received)> {
    let mut records: Vec<(Kind, Received)> = Vec::new();
    for (offset, kind) in (0_i64..).zip(kinds) {
        let before = records.last().cloned();
        let record = match (kind, before) {
            (Kind::Redelivered, Some(before)) => before,
            (Kind::Copied, Some((kind, mut copy))) => {
                copy.position.offset = offset;
                (kind, copy)
            }
            _ => (*kind, received(*kind, offset)),
        };
        records.push(record);
    }
    records
}

fn received(kind: Kind, offset: i64) -> Received {
    let meta = EventMeta {
        id: format!("m{offset}"),
        time: BEGIN * 1000,
        correlation_id: "c".into(),
        idempotency_key: (kind == Kind::Keyed).then(|| "k".into()),
        expires_at: (kind == Kind::Expires).then_some((BEGIN + 500) * 1000),
        ..EventMeta::default()
    };
    let name = match kind {
        Kind::Keyed => "Keyed".into(),
        kind => format!("{kind:?}{offset}"),
    };
    let body = EncodedBody::of_event(&reservation(&name)).unwrap();
    // A plain producer knows nothing of `meta`.
    let meta = Some(&meta).filter(|_| kind != Kind::Plain);
    let record = match kind {
        Kind::Undecodable => Bytes::from_static(b"\0\0\0\0\x01"),
        _ => join(1, &body.bytes, meta).into(),
    };
    Received {
        declaration: ProductReservations::DECLARATION,
        service: "ProductReservations",
        handler: "ProductReservations/onEvent".into(),
        key: "p".into(),
        position: SourceOffset {
            topic: EVENTS.into(),
            partition: 0,
            offset,
            timestamp_ms: BEGIN + offset,
            taken_ms: None,
        },
        shard_epoch: 0,
        record,
    }
}

/// Every kind, with redeliveries and copies of what matters.
pub const ALL: [Kind; 18] = [
    Kind::Plain,
    Kind::Redelivered,
    Kind::Emits,
    Kind::Copied,
    Kind::Steps,
    Kind::Copied,
    Kind::Keyed,
    Kind::Keyed,
    Kind::Refused,
    Kind::Redelivered,
    Kind::Expires,
    Kind::Panics,
    Kind::Undecodable,
    Kind::Redelivered,
    Kind::Plain,
    Kind::Redelivered,
    Kind::Emits,
    Kind::Plain,
];
