//! Dead letters: records that could not be handled, kept as they came.
//!
//! A dead letter goes to `<topic>-dlq` with the original key and bytes, the record's own headers,
//! and the reason in the two header families that people know: Kafka Connect's
//! (`__connect.errors.*`, text) and Spring's (`kafka_dlt-*`, numbers in big-endian bytes).
//! Restate hands over neither headers nor whether key and value were null, so the record is read
//! from Kafka once more ([`crate::dead_letter::original`]).
//!
//! Sources: Kafka KIP-298; Spring Kafka's `KafkaHeaders`.

pub mod headers;
pub mod original;

use bytes::Bytes;

use crate::failure::Failure;
use crate::record::source_offset::SourceOffset;
use crate::record::{EXPLAINED_MAX_BYTES, HeaderList, Record};

/// Stands for the original's own headers where nobody knows them any more.
pub const UNAVAILABLE: &str = "original-headers";

/// Names the parts of the original that the copy has only the beginning of, or nothing.
pub const SHORTENED: &str = "millstream-shortened";

/// What a dead letter topic and our producers take, less what the reason and Kafka's own framing
/// need. An original is larger only where somebody raised its topic's limit.
const MAX_BYTES: usize = EXPLAINED_MAX_BYTES - 64 * 1024;
/// What is left of a key, and of all headers together, of an original that is too large.
const MAX_SIDE_BYTES: usize = 64 * 1024;
/// What Kafka adds to a header, at most.
const HEADER_BYTES: usize = 10;

/// Where a dead letter comes from and why it is one.
#[derive(Debug)]
pub struct Reason<'a> {
    /// Where the record stands.
    pub position: &'a SourceOffset,
    /// Who could not handle it, `Service/handler`.
    pub handler: &'a str,
    /// The consumer group that delivered it.
    pub group: &'a str,
    /// Why.
    pub failure: &'a Failure,
}

/// In the place of the original's own headers.
pub(crate) fn unavailable() -> HeaderList {
    vec![(UNAVAILABLE.into(), Some(Bytes::from_static(b"unavailable")))]
}

/// Cuts an original so that its copy can be produced: without one the record would be tried for
/// ever. The names of the parts that were cut.
fn shorten(original: &mut Record) -> Vec<&'static str> {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = original
        .headers
        .iter()
        .map(|(name, value)| name.len() + length(value.as_deref()) + HEADER_BYTES)
        .sum();
    let mut shortened = Vec::new();
    if headers + length(original.key.as_deref()) + length(original.value.as_deref()) <= MAX_BYTES {
        return shortened;
    }
    if headers > MAX_SIDE_BYTES {
        original.headers = unavailable();
        shortened.push("headers");
    }
    for (part, bytes, max) in [
        ("key", &mut original.key, MAX_SIDE_BYTES),
        ("value", &mut original.value, MAX_BYTES - 2 * MAX_SIDE_BYTES),
    ] {
        if length(bytes.as_deref()) > max {
            bytes.iter_mut().for_each(|bytes| bytes.truncate(max));
            shortened.push(part);
        }
    }
    shortened
}

/// Makes the dead letter of a record.
pub fn dead_letter(topic: String, mut original: Record, reason: &Reason<'_>) -> Record {
    let shortened = shorten(&mut original);
    let Reason {
        position,
        handler,
        group,
        failure,
    } = reason;
    let mut headers = original.headers;
    let mut text = |name: &'static str, value: &str| {
        headers.push((name.into(), Some(Bytes::copy_from_slice(value.as_bytes()))));
    };
    text(headers::TOPIC, &position.topic);
    text(headers::PARTITION, &position.partition.to_string());
    text(headers::OFFSET, &position.offset.to_string());
    text(headers::HANDLER, handler);
    text("__connect.errors.task.id", "0");
    text(headers::CODE, &failure.code);
    text(headers::MESSAGE, &failure.message);
    text("kafka_dlt-original-topic", &position.topic);
    text("kafka_dlt-original-timestamp-type", "CREATE_TIME");
    text(headers::GROUP, group);
    text("kafka_dlt-exception-fqcn", &failure.code);
    text("kafka_dlt-exception-message", &failure.message);
    if !shortened.is_empty() {
        text(SHORTENED, &shortened.join(", "));
    }
    let mut bytes = |name: &'static str, value: &[u8]| {
        headers.push((name.into(), Some(Bytes::copy_from_slice(value))));
    };
    bytes(
        "kafka_dlt-original-partition",
        &position.partition.to_be_bytes(),
    );
    bytes("kafka_dlt-original-offset", &position.offset.to_be_bytes());
    bytes(headers::TIMESTAMP, &position.timestamp_ms.to_be_bytes());
    Record {
        topic,
        key: original.key,
        value: original.value,
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_keeps_the_record_and_says_why_in_both_families() {
        let position = SourceOffset {
            topic: "t".into(),
            partition: 3,
            offset: 258,
            timestamp_ms: 1_700_000_000_000,
            taken_ms: None,
        };
        let original = Record {
            topic: "t".into(),
            key: Some(b"k".to_vec()),
            value: None,
            headers: vec![("own".into(), Some(b"header"[..].into()))],
        };
        let failure = Failure::new(crate::failure::UNDECODABLE, "why");
        let reason = Reason {
            position: &position,
            handler: "S/h",
            group: "g",
            failure: &failure,
        };
        let letter = dead_letter("t-dlq".into(), original, &reason);
        let header = |name: &str| {
            let found = letter.headers.iter().find(|(key, _)| key == name);
            found.and_then(|(_, value)| value.as_deref()).unwrap()
        };
        assert_eq!(
            (letter.topic.as_str(), letter.key.as_deref(), &letter.value),
            ("t-dlq", Some(&b"k"[..]), &None)
        );
        assert_eq!(header("own"), b"header");
        assert_eq!(header("__connect.errors.offset"), b"258");
        assert_eq!(
            header("__connect.errors.exception.class.name"),
            b"undecodable"
        );
        assert_eq!(
            header("kafka_dlt-original-offset"),
            [0, 0, 0, 0, 0, 0, 1, 2]
        );
        assert_eq!(header("kafka_dlt-original-partition"), [0, 0, 0, 3]);
    }
    #[test]
    fn whatever_is_too_large_is_cut_and_says_so() {
        let position = SourceOffset {
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp_ms: 2,
            taken_ms: None,
        };
        let failure = Failure::new(crate::failure::UNDECODABLE, "why");
        let reason = Reason {
            position: &position,
            handler: "S/h",
            group: "g",
            failure: &failure,
        };
        let large = || Some(vec![b'x'; 3_000_000]);
        let small = || Some(b"s".to_vec());
        let cases = [
            (small(), Some(vec![0; 2_000_000]), small(), None),
            (small(), large(), small(), Some("value")),
            (large(), small(), small(), Some("key")),
            (small(), small(), large(), Some("headers")),
            (large(), large(), large(), Some("headers, key, value")),
        ];
        for (key, value, header, expected) in cases {
            let original = Record {
                topic: "t".into(),
                key,
                value,
                headers: vec![("own".into(), header.map(Bytes::from))],
            };
            let letter = dead_letter("t-dlq".into(), original, &reason);
            let parts = letter.headers.iter().map(|(_, value)| value.as_deref());
            let parts = parts.chain([letter.key.as_deref(), letter.value.as_deref()]);
            let size: usize = parts.flatten().map(<[u8]>::len).sum();
            assert!(size < 2_097_152 - 32 * 1024, "{size}");
            let said = letter.headers.iter().find(|(name, _)| name == SHORTENED);
            let said = said.and_then(|(_, value)| value.as_deref());
            assert_eq!(said, expected.map(str::as_bytes));
        }
    }
}
