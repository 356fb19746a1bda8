//! Subscriptions and partitions of the batch lane that stand still: a record waits, and neither it is
//! taken nor anything behind it. Restate's consumers can lose their brokers as ours can (docs/decisions/0023), and then only Restate
//! itself can make new ones.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};

use super::Error;
use super::kafka::{Kafka, PartitionOffsets};
use super::subscriptions::DeclaredSubscription;
use millstream_pipeline::record::source_offset::believes;

/// How long the oldest record must have waited before anybody is suspected.
const OLD: Duration = Duration::from_secs(10);
/// Restate commits once a second, and a batch takes less: whoever commits nothing for so long stands
/// still.
const SECOND_LOOK: Duration = Duration::from_secs(4);
/// Partitions that are looked at at once.
const PARALLEL: usize = 8;

/// Where somebody stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub partition: i32,
    /// The offset of the record that waits.
    pub offset: i64,
    /// How long it has waited.
    pub seconds: u64,
}

/// A topic, the group that has it taken, and how far that is.
pub(crate) type Way<'w> = (&'w str, &'w str, &'w [PartitionOffsets]);

/// Those of the declared subscriptions that stand still, by group.
pub(crate) async fn standing(
    kafka: &Kafka,
    declared: &[DeclaredSubscription],
    offsets: &BTreeMap<String, Vec<PartitionOffsets>>,
) -> Result<BTreeMap<String, Standing>, Error> {
    let ways = declared.iter().filter_map(|wanted| {
        let offsets = offsets.get(&wanted.group)?;
        Some((&wanted.topic[..], &wanted.group[..], &offsets[..]))
    });
    let still = still(kafka, ways).await?.into_iter();
    Ok(still.map(|((_, group), at)| (group, at)).collect())
}

/// Those ways on which nothing moves, by topic and group, at the partition where that has lasted longest.
/// Where an old record waits it takes a few seconds.
pub(crate) async fn still<'w>(
    kafka: &Kafka,
    ways: impl IntoIterator<Item = Way<'w>>,
) -> Result<BTreeMap<(String, String), Standing>, Error> {
    let behind = ways.into_iter().flat_map(|(topic, group, offsets)| {
        let behind = offsets.iter().filter(|offsets| offsets.lag() > 0);
        behind.map(move |offsets| (topic, group, offsets))
    });
    let suspects: Vec<_> = stream::iter(behind)
        .map(|(topic, group, offsets)| async move {
            let (partition, offset) = (offsets.partition, offsets.next());
            let since = match kafka.waits_since(topic, partition, offset).await {
                Ok(since) => since?,
                // Who may not read it, or is not answered, suspects nobody.
                Err(error) => {
                    tracing::debug!(topic, %error, "looking at what waits");
                    return None;
                }
            };
            let seconds = waited(since, jiff::Timestamp::now().as_millisecond());
            let standing = Standing {
                partition,
                offset,
                seconds,
            };
            (seconds >= OLD.as_secs()).then_some((topic, group, standing))
        })
        .buffer_unordered(PARALLEL)
        .filter_map(|found| async move { found })
        .collect()
        .await;
    if suspects.is_empty() {
        return Ok(BTreeMap::new());
    }
    tokio::time::sleep(SECOND_LOOK).await;
    let mut still: BTreeMap<(String, String), Standing> = BTreeMap::new();
    for (topic, group, standing) in suspects {
        let now = kafka.offsets_of(topic, group, standing.partition).await?;
        if now.is_some_and(|now| now.next() == standing.offset && now.lag() > 0) {
            let way = (topic.to_owned(), group.to_owned());
            let longest = still.entry(way).or_insert(standing);
            if longest.seconds < standing.seconds {
                *longest = standing;
            }
        }
    }
    Ok(still)
}

/// How long a record has waited that bears this timestamp. Its producer made it: where it cannot be
/// right nobody knows, and a second look tells whether the record waits at all.
fn waited(since_ms: i64, now_ms: i64) -> u64 {
    match believes(now_ms, since_ms) {
        true => u64::try_from(now_ms.saturating_sub(since_ms) / 1000).unwrap_or_default(),
        false => OLD.as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_time_is_suspected_too() {
        const NOW: i64 = 1_763_686_800_000;
        assert_eq!(waited(NOW - 25_900, NOW), 25);
        assert_eq!(waited(NOW + 5000, NOW), 0, "a clock that is a little ahead");
        for wrong in [0, -1, i64::MIN, i64::MAX, NOW + 2 * 3_600_000] {
            assert_eq!(waited(wrong, NOW), OLD.as_secs(), "{wrong}");
        }
    }
}
