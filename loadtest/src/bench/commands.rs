//! The commands of a round, encoded once and produced to both sides.

use futures::{StreamExt, TryStreamExt, stream};
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::events::{Event, EventMeta, Topic};
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_pipeline::record::cloudevents;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::ProductReservations;
use uuid::Uuid;

use crate::probe::process::now_micros;

/// How many records wait for their acknowledgement at once.
const IN_FLIGHT: usize = 1_000;

/// Records with the ids of their events.
pub struct Commands {
    records: Vec<Record>,
    /// Ids of the events, in order.
    pub ids: Vec<String>,
}

/// New commands to keys picked evenly, each with an idempotency key of its own.
pub async fn encode(
    codec: &Codec,
    prefix: &str,
    events: usize,
    keys: usize,
) -> anyhow::Result<Commands> {
    let mut commands = Commands {
        records: Vec::with_capacity(events),
        ids: Vec::with_capacity(events),
    };
    for number in 0..events {
        let id = Uuid::now_v7().to_string();
        let meta = EventMeta {
            id: id.clone(),
            source: "loadtest".into(),
            time: now_micros(),
            correlation_id: id.clone(),
            idempotency_key: Some(Uuid::now_v7().to_string()),
            ..EventMeta::default()
        };
        let event = ReserveProduct {
            reservation_id: format!("reservation-{number}"),
        };
        let Some(body) = EncodedBody::of(&event) else {
            continue;
        };
        let value = codec.join(&body?, Some(&meta)).await?;
        let key = format!("{prefix}-{}", scattered(number as u64) % keys as u64);
        let topic = ProductReservations::DECLARATION.name;
        commands.records.push(cloudevents::record(
            topic,
            &key,
            ReserveProduct::FULL_NAME,
            &meta,
            value,
        ));
        commands.ids.push(id);
    }
    Ok(commands)
}

/// A number that looks random and is the same in every run: SplitMix64.
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Commands {
    /// Produces all of them to `topic`.
    pub async fn produce(&self, publisher: &Publisher, topic: &str) -> anyhow::Result<()> {
        stream::iter(&self.records)
            .map(|record| {
                let record = Record {
                    topic: topic.to_owned(),
                    ..record.clone()
                };
                async move { publisher.publish(&record).await }
            })
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }
}
