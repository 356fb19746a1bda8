//! A ledger that writes its state without awaiting the acknowledgement of its result: the mistake
//! that the pipeline exists to prevent. The suite must find what it loses.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::record::cloudevents;
use millstream_pipeline::record::digest::derived_id;
use millstream_pipeline::record::source_offset::SourceOffset;
use millstream_pipeline::state::dedup::{Bookkeeping, Input};
use millstream_pipeline::state::{STATE_ENTRY, Stored};
use rdkafka::producer::{FutureProducer, FutureRecord};
use restate_sdk::prelude::*;

use super::catalogue::{self, TOPICS, ledger};
use super::service::{Account, LEDGER};

/// How long the producer keeps records to itself.
const LINGER: Duration = Duration::from_millis(300);

/// The careless ledger, under the name of the careful one.
pub struct Careless {
    codec: Codec,
    producer: FutureProducer,
}

impl Careless {
    /// With clients of its own.
    pub fn new(bootstrap: &str, registry: &str) -> anyhow::Result<Self> {
        let producer = kafka::client(bootstrap)
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER.as_millis().to_string())
            .create()?;
        let codec = Codec::new(registry, TOPICS)?;
        Ok(Self { codec, producer })
    }
}

#[restate_sdk::object(name = "Ledger", inactivity_timeout = "0s")]
impl Careless {
    /// Handles `ledger`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let header = |name: &str| ctx.headers().get(name).map(String::as_str);
        let position = SourceOffset::from_headers(ctx.invocation_id(), header)?;
        let entry: Option<Bytes> = ctx.get(STATE_ENTRY).await?;
        let mut stored = Stored::<Account>::parse(entry.as_ref())?;
        let mut bookkeeping = stored
            .bookkeeping
            .take()
            .unwrap_or_else(|| Bookkeeping::begin(&position, (1, 0)));
        if bookkeeping.accept_position(&position, 1) != Input::New {
            return Ok(());
        }
        let decoded = self.codec.decode::<ledger::LedgerEntry>(&record).await?;
        let (Ok(event), Some(cause)) = (decoded.event, decoded.meta) else {
            return Ok(());
        };
        let results = catalogue::Ledger::DECLARATION.results.as_ref();
        let topic = results.map_or("", |results| results.name);
        stored.state.book(&cause.id, &event.payload);
        let result = EncodedBody::of(&ledger::LedgerBooked {
            in_seq: event.in_seq,
            count: stored.state.count,
            chain: stored.state.chain.clone(),
        });
        let Some(body) = result.transpose()? else {
            return Ok(());
        };
        let meta = EventMeta {
            id: derived_id(&cause.id, "Ledger/onEvent", 0),
            source: format!("{LEDGER}/{}", ctx.key()),
            time: position.timestamp_ms * 1000,
            correlation_id: cause.correlation_id.clone(),
            causation_id: Some(cause.id),
            seq: Some(bookkeeping.next_seq(topic)),
            epoch: Some(bookkeeping.epoch.clone()),
            ..EventMeta::default()
        };
        let value = self.codec.join(&body, Some(&meta)).await?;
        let record = cloudevents::record(topic, ctx.key(), body.schema.full_name, &meta, value);
        let outgoing = FutureRecord::<Vec<u8>, Vec<u8>> {
            key: record.key.as_ref(),
            payload: record.value.as_ref(),
            ..FutureRecord::to(topic)
        };
        // Here is the mistake: nobody waits for the acknowledgement.
        let _ = self.producer.send_result(outgoing);
        stored.bookkeeping = Some(bookkeeping);
        ctx.set(STATE_ENTRY, stored.to_bytes()?);
        Ok(())
    }
}
