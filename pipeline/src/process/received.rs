//! What came in.

use std::sync::Arc;

use bytes::Bytes;
use millstream_events::EventMeta;
use millstream_events::{Declaration, Tombstones};

use crate::dead_letter::{Reason, dead_letter, unavailable};
use crate::failure::Failure;
use crate::kafka::group;
use crate::record::Record;
use crate::record::key;
use crate::record::source_offset::SourceOffset;

/// A record on its way to a handler.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub declaration: &'static Declaration,
    pub service: &'static str,
    /// `Service/handler`.
    pub handler: Arc<str>,
    /// Key of the object or workflow, which is the record's.
    pub key: Arc<str>,
    pub position: SourceOffset,
    /// How often its shard was rewound; 0 outside of the batch lane.
    pub shard_epoch: u32,
    /// The record's value; empty: it may have been null.
    pub record: Bytes,
}

/// Why there is no event of a record.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Nobody wants it.
    PassedOver,
    /// There can be none.
    Refused(Failure),
}

impl Received {
    /// Whether its value has to be decoded, or why not: a null that the topic's file says to pass over
    /// (Restate hands over null as no bytes), or a key that no handler can take.
    pub fn is_to_be_read(&self) -> Result<(), Unread> {
        if self.record.is_empty() && self.declaration.tombstones == Tombstones::Skip {
            return Err(Unread::PassedOver);
        }
        key::check(&self.key, self.declaration.key).map_err(Unread::Refused)
    }

    /// What stands in for `meta` where its producer knows nothing of it.
    pub fn stand_in(&self) -> EventMeta {
        let id = self.position.to_string();
        EventMeta {
            correlation_id: id.clone(),
            id,
            time: self.position.recorded_micros(),
            ..EventMeta::default()
        }
    }

    /// Who handles it and emits what comes of that: `Service/key`.
    pub fn source(&self) -> String {
        format!("{}/{}", self.service, self.key)
    }
}

/// What is left of a record that Kafka has no longer: its headers are not known.
pub(crate) fn remains(key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Record {
    Record {
        key,
        value,
        headers: unavailable(),
        ..Record::default()
    }
}

/// The dead letter of a record, made from the record as Kafka has it, or from what is left of it if
/// Kafka has it no longer.
pub(crate) fn letter(
    received: &Received,
    original: Option<Record>,
    failure: &Failure,
    prefix: &str,
) -> Record {
    let original = original.unwrap_or_else(|| {
        let (key, value) = (received.key.as_bytes(), &received.record);
        remains(Some(key.to_vec()), Some(value.to_vec()))
    });
    let topic = received.declaration;
    let reason = Reason {
        position: &received.position,
        handler: &received.handler,
        group: &group::of_handler(prefix, topic.name, &received.handler),
        failure,
    };
    dead_letter(topic.dead_letter_topic(), original, &reason)
}
