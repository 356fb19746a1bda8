//! Where an event stands in Kafka, as Restate's subscription tells it in request headers.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Topic, partition and offset of a record, with its timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
}

/// The invocation does not come from a subscription.
#[derive(Debug, thiserror::Error)]
#[error(
    "no usable header {header}: this handler is fed by a Kafka subscription only; \
     produce an event to its topic instead of calling it"
)]
pub struct NotFromKafka {
    header: &'static str,
}

impl Position {
    /// The record's timestamp in microseconds.
    pub fn timestamp_micros(&self) -> i64 {
        self.timestamp_ms.saturating_mul(1000)
    }

    /// The record's timestamp.
    pub fn time(&self) -> SystemTime {
        let millis = u64::try_from(self.timestamp_ms).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// As [`Self::from_headers`] reads it: for a handler that hands a record on to another.
    pub(crate) fn to_headers(&self) -> [(&'static str, String); 4] {
        [
            ("kafka.topic", self.topic.clone()),
            ("kafka.partition", self.partition.to_string()),
            ("kafka.offset", self.offset.to_string()),
            ("kafka.timestamp", self.timestamp_ms.to_string()),
        ]
    }

    /// Reads the headers through `header`.
    pub fn from_headers<'h>(
        header: impl Fn(&'static str) -> Option<&'h str>,
    ) -> Result<Self, NotFromKafka> {
        let text = |name| header(name).ok_or(NotFromKafka { header: name });
        let number = |name| {
            text(name)?
                .parse()
                .map_err(|_| NotFromKafka { header: name })
        };
        Ok(Self {
            topic: text("kafka.topic")?.to_owned(),
            partition: i32::try_from(number("kafka.partition")?).map_err(|_| NotFromKafka {
                header: "kafka.partition",
            })?,
            offset: number("kafka.offset")?,
            // A record of the oldest format has no timestamp.
            timestamp_ms: number("kafka.timestamp").unwrap_or(0),
        })
    }
}

impl fmt::Display for Position {
    /// `topic/partition/offset`: the id of an event that carries none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}
