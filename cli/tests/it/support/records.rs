//! Records made by hand, for what the client would not send.

use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::outgoing;
use millstream_pipeline::publish::Record;
use millstream_schemas::{Event, EventMeta};
use millstream_topics::TOPICS;

/// The record that the client would send for an event of `topic`.
pub async fn record<E: Event>(
    endpoints: &Endpoints,
    topic: &str,
    key: &str,
    event: &E,
    meta: &EventMeta,
) -> Record {
    let codec = Codec::new(&endpoints.schema_registry, TOPICS).unwrap();
    let body = EncodedBody::of(event).unwrap().unwrap();
    let value = codec.join(&body, Some(meta)).await.unwrap();
    outgoing::record(topic, key, E::FULL_NAME, meta, value)
}
