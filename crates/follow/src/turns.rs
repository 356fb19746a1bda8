//! Whether an event waits for its turn, told by what stands behind it on its topic.
//!
//! Restate does not say of which record an invocation is that has not begun. But a key's invocations are
//! begun in the order of its records: those that are not done are of its last ones.

use std::collections::BTreeMap;

use millstream_pipeline::kafka::Asker;
use millstream_pipeline::kafka::group;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset};

use crate::follower::{FollowError, Follower};
use crate::journey::Journey;
use crate::restate::{self, Held, Turn};
use crate::search::{SearchError, Slice, Stretch, Topics};
use crate::tree::unanswered;
use crate::wanted::Wanted;

/// So many keys are looked at.
const MAX_KEYS: usize = 20;
/// So many records of a partition are looked through, the last ones.
const MAX_RECORDS: i64 = 500_000;
/// A younger record may be delivered although its group has not said so: offsets are committed now and then.
const COMMITTED_MS: i64 = 3_000;

/// Where events with the same key stand: their handler, topic, partition and key.
type Row = (String, String, i32, String);

impl Follower {
    /// Puts to each event where it waits in Restate. Only events that something may still come of are
    /// looked at.
    pub(crate) async fn add_waits(&mut self, journey: &mut Journey) -> Result<(), FollowError> {
        let held = restate::held(&self.restate, journey, &self.roles).await?;
        restate::begun(journey, &held);
        let open: Vec<usize> = unanswered(journey).collect();
        let mut rows: BTreeMap<Row, Vec<Turn>> = BTreeMap::new();
        for turn in restate::turns(journey, &open, &self.roles, &held) {
            let (topic, partition) = (turn.place.topic.clone(), turn.place.partition);
            let row = (
                turn.handler.clone(),
                topic,
                partition,
                turn.queue.key.clone(),
            );
            rows.entry(row).or_default().push(turn);
        }
        if rows.len() > MAX_KEYS {
            journey.problems.push(format!(
                "whether events wait for their turn is known of {MAX_KEYS} keys only"
            ));
        }
        for (row, turns) in rows.into_iter().take(MAX_KEYS) {
            self.add_turns(journey, &held, &row, &turns).await?;
        }
        Ok(())
    }

    async fn add_turns(
        &mut self,
        journey: &mut Journey,
        held: &Held,
        (handler, topic, partition, key): &Row,
        turns: &[Turn],
    ) -> Result<(), FollowError> {
        let Some(declaration) = self.roles.declaration(topic) else {
            return Ok(());
        };
        let group = group::of_handler(&self.options.prefix, declaration.name, handler);
        let mut config = self.config.clone();
        config.set("group.id", group);
        let taken = taken(config, topic.clone(), *partition).await?;
        let stretch = Stretch {
            from: None,
            until: None,
        };
        let known = Topics::only(topic, partition + 1);
        let slices = self.slices_of(known, stretch).await?.into_iter();
        let Some(slice) = slices.last().filter(|it| it.partition == *partition) else {
            return Ok(());
        };
        let first = turns.iter().map(|turn| turn.place.offset + 1).min();
        let from = first.unwrap_or(slice.until).max(slice.until - MAX_RECORDS);
        let hits = self
            .scan(vec![Slice { from, ..slice }], Wanted::key(key.as_bytes()))
            .await?;
        let delivered = Delivered {
            until: taken,
            young: jiff::Timestamp::now().as_millisecond() - COMMITTED_MS,
            records: hits
                .iter()
                .map(|hit| (hit.found.place.offset, hit.found.time))
                .collect(),
        };
        for turn in turns {
            let time = journey.nodes[turn.node].time.unwrap_or(0);
            let Some(behind) = delivered.behind(turn.place.offset, time) else {
                continue;
            };
            if turn.place.offset + 1 < from && behind < held.length(turn) {
                journey.problems.push(format!(
                    "whether {} waits for its turn is not known: more than {MAX_RECORDS} records are behind it",
                    turn.place
                ));
                continue;
            }
            restate::tell(journey, held, turn, behind);
        }
        Ok(())
    }
}

/// Up to where the group of these settings has taken a partition.
async fn taken(config: ClientConfig, topic: String, partition: i32) -> Result<i64, SearchError> {
    let asked = tokio::task::spawn_blocking(move || {
        let committed = Asker::new(&config).committed(&topic)?;
        let found = committed.find_partition(&topic, partition);
        Ok::<_, KafkaError>(match found.map(|it| it.offset()) {
            Some(Offset::Offset(offset)) => offset,
            // It has taken nothing.
            _ => 0,
        })
    });
    let taken = asked.await.map_err(|_| SearchError::GivenUp)?;
    Ok(taken?)
}

/// What Restate has taken of a partition.
struct Delivered {
    /// Up to this offset.
    until: i64,
    /// And what was recorded after this time, most probably.
    young: i64,
    /// The records of a key: offsets, and when they were recorded.
    records: Vec<(i64, i64)>,
}

impl Delivered {
    /// How many of the records are behind one at this offset, of this time; `None`: it is not delivered.
    fn behind(&self, offset: i64, time: i64) -> Option<usize> {
        let is_taken = |(offset, time): &(i64, i64)| *offset < self.until || *time > self.young;
        let records = self.records.iter().filter(|it| is_taken(it));
        is_taken(&(offset, time)).then(|| records.filter(|it| it.0 > offset).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_delivered_is_behind() {
        let delivered = Delivered {
            until: 10,
            young: 1_000,
            records: vec![(3, 5), (9, 7), (10, 7), (12, 1_001)],
        };
        assert_eq!(delivered.behind(3, 5), Some(2));
        assert_eq!(delivered.behind(9, 7), Some(1));
        assert_eq!(delivered.behind(10, 7), None, "nobody has taken it");
        assert_eq!(delivered.behind(12, 1_001), Some(0), "just now, perhaps");
    }
}
