//! Where an event stands in Kafka, as Restate's subscription tells it in request headers, and when it
//! was recorded.
//!
//! A record's timestamp is its producer's, whose clock may be wrong, so it is believed as far as it can
//! be: between what Kafka and its topics usually keep and what Kafka lets pass (decision 28).

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lane::invocation;

/// Thirty days: a timestamp so long before Restate took the record is not believed.
const OLDEST_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// An hour: nor is one so long after. Kafka 4 refuses such a record unless it is told otherwise.
const AHEAD_MS: i64 = 60 * 60 * 1000;

/// Topic, partition and offset of a record, with its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOffset {
    /// Topic.
    pub topic: Cow<'static, str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// When Restate took the record; the same at every attempt. `None`: that is not known.
    pub taken_ms: Option<i64>,
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

impl SourceOffset {
    /// When the record was recorded, in milliseconds since 1970-01-01 UTC: its timestamp, or when
    /// Restate took it if the timestamp cannot be right.
    pub fn recorded_ms(&self) -> i64 {
        match self.taken_ms {
            Some(taken) if !believes(taken, self.timestamp_ms) => taken,
            _ => self.timestamp_ms,
        }
    }

    /// The time that an event says, in microseconds, or when it was recorded if that cannot be right.
    pub fn believed_micros(&self, said: i64) -> i64 {
        match believes(self.recorded_ms(), said / 1000) {
            true => said,
            false => self.recorded_micros(),
        }
    }

    /// The same in microseconds.
    pub fn recorded_micros(&self) -> i64 {
        self.recorded_ms().saturating_mul(1000)
    }

    /// The same as a time.
    pub fn time(&self) -> SystemTime {
        let millis = u64::try_from(self.recorded_ms()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// As [`Self::from_headers`] reads it: for a handler that hands a record on to another. The id of
    /// that one's invocation need not tell when the record was taken.
    pub(crate) fn to_headers(&self) -> [(&'static str, String); 4] {
        [
            ("kafka.topic", self.topic.clone().into_owned()),
            ("kafka.partition", self.partition.to_string()),
            ("kafka.offset", self.offset.to_string()),
            ("kafka.timestamp", self.recorded_ms().to_string()),
        ]
    }

    /// Reads the headers of this invocation through `header`.
    pub fn from_headers<'h>(
        invocation: &str,
        header: impl Fn(&'static str) -> Option<&'h str>,
    ) -> Result<Self, NotFromKafka> {
        let text = |name| header(name).ok_or(NotFromKafka { header: name });
        let number = |name| {
            text(name)?
                .parse()
                .map_err(|_| NotFromKafka { header: name })
        };
        Ok(Self {
            topic: text("kafka.topic")?.to_owned().into(),
            partition: i32::try_from(number("kafka.partition")?).map_err(|_| NotFromKafka {
                header: "kafka.partition",
            })?,
            offset: number("kafka.offset")?,
            // A record of the oldest format has no timestamp.
            timestamp_ms: number("kafka.timestamp").unwrap_or(0),
            taken_ms: invocation::made_ms(invocation),
        })
    }
}

/// Whether a timestamp can be right of something that somebody else saw at `seen_ms`.
pub fn believes(seen_ms: i64, timestamp_ms: i64) -> bool {
    let believed = seen_ms.saturating_sub(OLDEST_MS)..=seen_ms.saturating_add(AHEAD_MS);
    believed.contains(&timestamp_ms)
}

impl fmt::Display for SourceOffset {
    /// `topic/partition/offset`: the id of an event that carries none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::invocation::id_made;

    #[test]
    fn a_timestamp_is_believed_as_far_as_it_can_be() {
        const TAKEN: i64 = 1_763_686_800_000;
        let at = |timestamp_ms: i64, invocation: &str| {
            let headers = |name: &str| match name {
                "kafka.topic" => "t".to_owned(),
                "kafka.timestamp" => timestamp_ms.to_string(),
                _ => "1".to_owned(),
            };
            let headers: Vec<_> = ["topic", "partition", "offset", "timestamp"]
                .map(|name| format!("kafka.{name}"))
                .map(|name| (headers(&name), name))
                .to_vec();
            let header = |name: &'static str| {
                let found = headers.iter().find(|(_, known)| known == name);
                found.map(|(value, _)| value.as_str())
            };
            SourceOffset::from_headers(invocation, header).unwrap()
        };
        let recorded = |timestamp_ms| at(timestamp_ms, &id_made(TAKEN)).recorded_ms();
        for believed in [TAKEN, TAKEN - OLDEST_MS, TAKEN - 1, TAKEN + AHEAD_MS] {
            assert_eq!(recorded(believed), believed);
        }
        for wrong in [
            0,
            -1,
            i64::MIN,
            TAKEN - OLDEST_MS - 1,
            TAKEN + AHEAD_MS + 1,
            4_102_444_800_000,
            i64::MAX,
        ] {
            assert_eq!(recorded(wrong), TAKEN, "{wrong}");
        }
        // Nothing tells when a workflow's run was made: it is given what its starter believes.
        let run = at(0, "inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC7");
        assert_eq!((run.taken_ms, run.recorded_ms()), (None, 0));
        // What an event says of itself is measured by when it was recorded.
        let position = at(TAKEN - 5, &id_made(TAKEN));
        let said = [TAKEN * 1000 - 1, 0, i64::MIN, i64::MAX];
        let believed = said.map(|said| position.believed_micros(said));
        let recorded = (TAKEN - 5) * 1000;
        assert_eq!(believed, [said[0], recorded, recorded, recorded]);
        let handed_on = at(0, &id_made(TAKEN)).to_headers();
        assert_eq!(handed_on[3], ("kafka.timestamp", TAKEN.to_string()));
    }
}
