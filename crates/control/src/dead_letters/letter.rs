//! One dead letter, with all that its original had.

use millstream_events::{EventMeta, dlq_status::DeadLetterMarked};
use serde::Serialize;

use millstream_pipeline::dead_letter::headers::{
    CODE, GROUP, HANDLER, MESSAGE, OFFSET, PARTITION, TIMESTAMP, TOPIC,
};
use millstream_pipeline::dead_letter::{SHORTENED, UNAVAILABLE};
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::HeaderList;

/// Header of a replayed record: the name of the dead letter.
pub const REPLAY_OF: &str = "millstream-replay-of";

/// A dead letter.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// Its name: where the original stood, as `topic/partition/offset`.
    pub id: String,
    /// The original's topic.
    pub topic: String,
    /// The original's partition.
    pub partition: i32,
    /// The original's offset.
    pub offset: i64,
    /// When the original was recorded, in milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// The original's key, with U+FFFD for what is not UTF-8; `None`: null.
    pub key: Option<String>,
    /// Why it is a dead letter.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// Who could not handle it, `Service/handler` or `guard`.
    pub handler: String,
    /// The consumer group that delivered it.
    pub group: String,
    /// When it became a dead letter, in milliseconds since 1970-01-01 UTC.
    pub kept: i64,
    /// The topic that keeps it.
    pub dead_letter_topic: String,
    /// The parts of the original that were too large to be kept whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortened: Option<String>,
    /// The event's full name; `None` when the value cannot be decoded.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// `meta` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<EventMeta>,
    /// The event's other fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked: Option<DeadLetterMarked>,
    /// The key's bytes; `None`: null.
    #[serde(skip)]
    pub raw_key: Option<Vec<u8>>,
    /// The value's bytes; `None`: null.
    #[serde(skip)]
    pub value: Option<Vec<u8>>,
    /// The original's own headers.
    #[serde(skip)]
    pub headers: HeaderList,
}

impl DeadLetter {
    /// Reads a record of a dead letter topic; `None`: it was not written by us.
    pub(super) fn read(seen: Seen) -> Option<Self> {
        let mut headers = seen.raw_headers;
        // The reason comes last, also if the original was a dead letter of somebody else.
        let at = headers.iter().rposition(|(name, _)| name == TOPIC)?;
        let reason = headers.split_off(at);
        if matches!(headers.as_slice(), [(only, _)] if only == UNAVAILABLE) {
            headers.clear();
        }
        let bytes = |name: &str| {
            let found = reason.iter().find(|(key, _)| key == name);
            found.and_then(|(_, value)| value.as_deref())
        };
        let text = |name| Some(std::str::from_utf8(bytes(name)?).ok()?.to_owned());
        let topic = text(TOPIC)?;
        let partition: i32 = text(PARTITION)?.parse().ok()?;
        let offset: i64 = text(OFFSET)?.parse().ok()?;
        let timestamp = bytes(TIMESTAMP)?.try_into().ok()?;
        Some(Self {
            id: format!("{topic}/{partition}/{offset}"),
            topic,
            partition,
            offset,
            timestamp: i64::from_be_bytes(timestamp),
            key: seen.key,
            code: text(CODE)?,
            message: text(MESSAGE)?,
            handler: text(HANDLER)?,
            group: text(GROUP)?,
            kept: seen.timestamp,
            dead_letter_topic: seen.topic,
            shortened: text(SHORTENED),
            full_name: seen.full_name,
            meta: seen.meta,
            data: seen.data,
            marked: None,
            raw_key: seen.raw_key,
            value: seen.value,
            headers,
        })
    }

    /// The original once more, for the topic that it stood on.
    pub(super) fn replay(&self) -> Record {
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| name != REPLAY_OF);
        headers.push((REPLAY_OF.into(), Some(self.id.clone().into())));
        Record {
            topic: self.topic.clone(),
            key: self.raw_key.clone(),
            value: self.value.clone(),
            headers,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use millstream_pipeline::dead_letter::{Reason, dead_letter};
    use millstream_pipeline::failure::Failure;
    use millstream_pipeline::record::source_offset::SourceOffset;

    fn seen(record: Record) -> Seen {
        Seen {
            topic: record.topic,
            partition: 0,
            offset: 9,
            timestamp: 77,
            key: None,
            full_name: None,
            meta: None,
            data: None,
            undecodable: None,
            headers: BTreeMap::new(),
            value: record.value,
            raw_key: record.key,
            raw_headers: record.headers,
        }
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,8}",
            // Headers of a dead letter that somebody else wrote belong to the original.
            Just(TOPIC.to_owned()),
            Just(OFFSET.to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn a_dead_letter_gives_back_all_of_its_original(
            key: Option<Vec<u8>>,
            value: Option<Vec<u8>>,
            own in proptest::collection::vec((name(), any::<Option<Vec<u8>>>()), 0..6),
            (partition, offset, timestamp_ms) in (0..100_i32, 0..i64::MAX, any::<i64>()),
        ) {
            let position = SourceOffset { topic: "t".into(), partition, offset, timestamp_ms, taken_ms: None };
            let headers = own.into_iter().map(|(name, value)| (name.into(), value.map(Into::into))).collect();
            let original = Record { topic: "t".into(), key, value, headers };
            let failure = Failure::new(millstream_pipeline::failure::UNDECODABLE, "why");
            let reason = Reason { position: &position, handler: "S/h", group: "g", failure: &failure };
            let kept = dead_letter("t-dlq".into(), original.clone(), &reason);
            let letter = DeadLetter::read(seen(kept)).unwrap();
            prop_assert_eq!(&letter.id, &position.to_string());
            prop_assert_eq!(
                (letter.timestamp, letter.code.as_str(), letter.message.as_str(), letter.kept),
                (timestamp_ms, "undecodable", "why", 77)
            );
            prop_assert_eq!((letter.handler.as_str(), letter.group.as_str()), ("S/h", "g"));
            let mut replayed = letter.replay();
            prop_assert_eq!(
                replayed.headers.pop(),
                Some((REPLAY_OF.into(), Some(position.to_string().into())))
            );
            prop_assert_eq!(replayed.headers, original.headers);
            prop_assert_eq!(
                (replayed.topic, replayed.key, replayed.value),
                (original.topic, original.key, original.value)
            );
        }
    }
}
