//! Where topics begin and end, and how far groups have come. A client asks for one group only, and
//! where topics begin and end is asked once for all of them: an installation has hundreds.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::{Kafka, TIMEOUT};
use crate::Error;
use millstream_pipeline::kafka::{Ends, offsets};

/// Groups that are asked for at once.
const PARALLEL: usize = 8;

/// Offsets of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartitionOffsets {
    /// Partition.
    pub partition: i32,
    /// First offset that is still there.
    pub start: i64,
    /// Offset of the next record to come.
    pub end: i64,
    /// Offset that the group goes on from; none: it has not committed yet.
    pub committed: Option<i64>,
}

impl PartitionOffsets {
    /// The offset that the group goes on from.
    pub fn next(&self) -> i64 {
        self.committed.unwrap_or(self.start).max(self.start)
    }

    /// Records that the group has not taken yet.
    pub fn lag(&self) -> i64 {
        (self.end - self.next()).max(0)
    }

    /// The group is ahead of the log: the topic was made anew, or the log lost its end.
    pub fn is_broken(&self) -> bool {
        self.committed.is_some_and(|committed| committed > self.end)
    }
}

/// Begin and end of each partition of a topic.
pub(crate) type Bounds = BTreeMap<String, Vec<(i32, i64, i64)>>;

/// The bounds of these partitions, by topic.
pub(crate) fn bounds(
    reader: &BaseConsumer<Ends>,
    partitions: &TopicPartitionList,
    limit: Duration,
) -> KafkaResult<Bounds> {
    let mut bounds = Bounds::new();
    let found = offsets::bounds(reader, partitions, limit)?;
    for (element, found) in partitions.elements().into_iter().zip(found) {
        let topic = bounds.entry(element.topic().to_owned()).or_default();
        topic.push(found);
    }
    Ok(bounds)
}

/// A topic, and the group that takes it.
pub(crate) type Way = (String, String);

impl Kafka {
    /// Where these partitions begin and end.
    pub async fn bounds(&self, partitions: TopicPartitionList) -> Result<Bounds, Error> {
        let reader = self.reader("millstream-status")?;
        self.blocking("read the ends of topics", move || {
            bounds(&reader, &partitions, TIMEOUT)
        })
        .await
    }

    /// How far each group has come on its topic, which has so many partitions.
    pub async fn offsets(
        &self,
        ways: impl IntoIterator<Item = (Way, i32)>,
    ) -> Result<BTreeMap<Way, Vec<PartitionOffsets>>, Error> {
        let ways = ways.into_iter().map(|((topic, group), partitions)| {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, partitions - 1);
            ((topic, group), list)
        });
        self.come_to(ways.collect()).await
    }

    /// The same of one partition; `None`: there is no such partition.
    pub async fn offsets_of(
        &self,
        topic: &str,
        group: &str,
        partition: i32,
    ) -> Result<Option<PartitionOffsets>, Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let way = (topic.to_owned(), group.to_owned());
        let found = self.come_to(vec![(way, list)]).await?;
        Ok(found.into_values().flatten().next())
    }

    /// What is handled between two answers must not look as if it were committed behind an end: the
    /// groups are asked for first.
    async fn come_to(
        &self,
        ways: Vec<(Way, TopicPartitionList)>,
    ) -> Result<BTreeMap<Way, Vec<PartitionOffsets>>, Error> {
        let mut asked = TopicPartitionList::new();
        for (_, list) in &ways {
            for it in list.elements() {
                if asked.find_partition(it.topic(), it.partition()).is_none() {
                    asked.add_partition(it.topic(), it.partition());
                }
            }
        }
        let committed: Vec<(Way, TopicPartitionList)> = stream::iter(ways)
            .map(|(way, list)| async move {
                let reader = self.reader(&way.1)?;
                let what = format!("read what {} has committed", way.1);
                let ask = move || reader.committed_offsets(list, TIMEOUT);
                Ok::<_, Error>((way, self.blocking(what, ask).await?))
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        let bounds = self.bounds(asked).await?;
        let of = |(way, committed): (Way, TopicPartitionList)| {
            let bounds = bounds.get(&way.0).into_iter().flatten();
            let of = bounds.filter_map(|(partition, start, end)| {
                let found = committed.find_partition(&way.0, *partition)?;
                Some(PartitionOffsets {
                    partition: *partition,
                    start: *start,
                    end: *end,
                    committed: match found.offset() {
                        Offset::Offset(offset) => Some(offset),
                        _ => None,
                    },
                })
            });
            let of = of.collect();
            (way, of)
        };
        Ok(committed.into_iter().map(of).collect())
    }
}
