//! The batch lane: partitions that belong together, positions within their topics, and partitions that
//! nobody works off.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::kafka::{ActualTopic, Kafka};
use crate::lanes::{self, Way};
use crate::restate::{Lease, Restate};
use crate::standing::{self, Standing};
use crate::{Error, Settings};
use millstream_events::Declaration;
use millstream_pipeline::record::source_offset::believes;

const CHECK: &str = "batch lane";
/// Of a topic's retention a record may wait so large a part, in percent, before it is worth a word.
const WAITS: i64 = 50;

pub(super) async fn check_lanes(
    kafka: &Kafka,
    restate: &Restate,
    declarations: &[&Declaration],
    settings: &Settings,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Vec<Check>, Error> {
    let ways = lanes::ways(declarations, kafka, settings, topics).await?;
    if ways.is_empty() {
        return Ok(Vec::new());
    }
    let mut checks = partitions(declarations, &ways, topics);
    for way in &ways {
        checks.extend(positions(kafka, way).await);
    }
    let known = ways.iter().filter_map(|way| {
        let offsets = way.offsets.as_ref()?;
        Some((&way.topic[..], &way.group[..], &offsets[..]))
    });
    let still = standing::still(kafka, known).await?;
    for way in &ways {
        let place = (way.topic.clone(), way.group.clone());
        if let Some(at) = still.get(&place) {
            let service = way.to.service;
            let leases = restate.leases(service, lanes::WORK, at.partition).await?;
            checks.push(stands_still(way, *at, leases.first()));
        }
    }
    if checks.is_empty() {
        let services: BTreeSet<_> = ways.iter().map(|way| way.to.service).collect();
        let offsets = ways.iter().filter_map(|way| way.offsets.as_ref());
        let lag: i64 = offsets.flatten().map(|it| it.lag()).sum();
        let services: Vec<_> = services.into_iter().collect();
        let message = format!(
            "{}: partitions are worked off; lag {lag}",
            services.join(", ")
        );
        checks.push(Check::ok(CHECK, message));
    }
    Ok(checks)
}

/// A shard is the same partition of all topics of its service.
fn partitions(
    declarations: &[&Declaration],
    ways: &[Way<'_>],
    topics: &BTreeMap<String, ActualTopic>,
) -> Vec<Check> {
    let mut services: BTreeMap<&str, BTreeMap<&str, i32>> = BTreeMap::new();
    for way in ways {
        let own = lanes::own_topics(declarations, way.to.service);
        let names = own.iter().map(|it| it.name).chain([&way.topic[..]]);
        let counted = names.filter_map(|name| Some((name, topics.get(name)?.partitions)));
        services.entry(way.to.service).or_default().extend(counted);
    }
    let differ = |(service, counts): (&str, BTreeMap<&str, i32>)| {
        let kinds: BTreeSet<_> = counts.values().collect();
        (kinds.len() > 1).then(|| {
            let counts = counts.iter().map(|(topic, count)| format!("{topic} {count}"));
            let counts: Vec<_> = counts.collect();
            Check::fail(
                CHECK,
                format!(
                    "the topics of {service} have different numbers of partitions ({}), and a key must have the \
                     same one in all: what was added holds records that nobody decides. Declare new topics with as \
                     many as are needed, and move the producers",
                    counts.join(", ")
                ),
            )
        })
    };
    services.into_iter().filter_map(differ).collect()
}

/// Whether a topic has what is to be decided next, and will have it for long enough.
async fn positions(kafka: &Kafka, way: &Way<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let topic = &way.topic;
    for offsets in way.offsets.iter().flatten() {
        let partition = offsets.partition;
        if offsets.is_broken() {
            checks.push(Check::fail(
                CHECK,
                format!(
                    "{topic}/{partition} ends at offset {} and is decided up to {}: it is another topic than \
                     before, and its partition stands still. If that is as it should be, raise {}, build the \
                     handlers with it and apply",
                    offsets.end,
                    offsets.committed.unwrap_or_default(),
                    way.setting("generation")
                ),
            ));
        } else if let Some(committed) = offsets.committed.filter(|it| *it < offsets.start) {
            checks.push(Check::fail(
                CHECK,
                format!(
                    "{} records of {topic}/{partition} were deleted before they were decided (from offset \
                     {committed}): raise {}, and find out why {} is behind",
                    offsets.start - committed,
                    way.setting("retention"),
                    way.to.service
                ),
            ));
        } else if offsets.lag() > 0 {
            let waits = kafka.waits_since(topic, partition, offsets.next()).await;
            let Ok(Some(since)) = waits else { continue };
            let now = jiff::Timestamp::now().as_millisecond();
            checks.extend(is_near(way, partition, since, now));
        }
    }
    checks
}

/// A record that waits since then, if its topic will soon delete it.
fn is_near(way: &Way<'_>, partition: i32, since_ms: i64, now_ms: i64) -> Option<Check> {
    let retention = way.retention_ms();
    let waited = now_ms.saturating_sub(since_ms);
    // Whose clock is wrong says nothing of when it is deleted.
    let is_known = retention > 0 && believes(now_ms, since_ms);
    (is_known && waited > retention / 100 * WAITS).then(|| {
        Check::fail(
            CHECK,
            format!(
                "a record of {}/{partition} has waited for {} h and is deleted after {} h: raise {} now, \
                 and find out why {} is behind",
                way.topic,
                waited / 3_600_000,
                retention / 3_600_000,
                way.setting("retention"),
                way.to.service
            ),
        )
    })
}

/// What there is of a lease where nothing moves.
fn stands_still(way: &Way<'_>, at: Standing, lease: Option<&Lease>) -> Check {
    let program = millstream_pipeline::program::name();
    let service = way.to.service;
    let why = match lease {
        None => format!(
            "nobody has the partition, and no work order is on its way. Work orders come from the processes that \
             serve {service}: see to it that one runs (`{program} serve`), and that they are delivered \
             (`{program} status` shows the subscription of {service}/{})",
            lanes::WORK
        ),
        Some(lease) => {
            let failure = lease.failure.as_deref().unwrap_or("none so far");
            format!(
                "its lease ({}) is {}, at attempt {}; its last failure: {failure}. The log of the handlers \
                 has it under `a lease failed`",
                lease.id, lease.status, lease.attempts
            )
        }
    };
    let message = format!(
        "{service} stands still: at offset {} of {}/{} a record has waited for {} s; {why}",
        at.offset, way.topic, at.partition, at.seconds
    );
    Check::fail(CHECK, message)
}

#[cfg(test)]
mod tests {
    use millstream_events::{Lane, Topic};
    use millstream_topics::ProductReservations;

    use super::*;
    use crate::doctor::Outcome;
    use crate::kafka::PartitionOffsets;

    fn way() -> Way<'static> {
        let declaration = Box::leak(Box::new(Declaration {
            lane: Lane::Batch,
            ..ProductReservations::DECLARATION.clone()
        }));
        Way {
            to: declaration.subscriptions[0],
            topic: declaration.name.into(),
            group: "p.ProductReservations".into(),
            offsets: None,
            declaration,
        }
    }

    async fn told(start: i64, end: i64, committed: Option<i64>) -> Vec<Check> {
        let offsets = PartitionOffsets {
            partition: 3,
            start,
            end,
            committed,
        };
        let way = Way {
            offsets: Some(vec![offsets]),
            ..way()
        };
        positions(&Kafka::new("localhost:1"), &way).await
    }

    #[tokio::test]
    async fn a_position_is_within_its_topic() {
        assert_eq!(told(5, 9, Some(9)).await, []);
        assert_eq!(told(0, 0, None).await, []);
        for (start, end, committed, words) in [
            (0, 7, 9, "raise generation"),
            (5, 9, 2, "3 records of product-reservations/3 were deleted"),
        ] {
            let [check] = &told(start, end, Some(committed)).await[..] else {
                panic!("one thing is wrong");
            };
            assert_eq!(check.outcome, Outcome::Fail);
            assert!(check.message.contains(words), "{}", check.message);
        }
    }

    #[test]
    fn what_is_deleted_soon_is_told() {
        const NOW: i64 = 1_763_686_800_000;
        let retention = ProductReservations::DECLARATION.retention_ms;
        let told = |waited: i64| is_near(&way(), 3, NOW - waited, NOW).is_some();
        assert!(!told(retention / 3));
        assert!(told(retention / 3 * 2));
    }

    #[test]
    fn partitions_that_differ_are_told() {
        let topic = |partitions| ActualTopic {
            partitions,
            replication: 1,
            settings: BTreeMap::new(),
        };
        let declared = |name: &'static str,
                        handler: Option<&'static str>|
         -> &'static Declaration {
            let service = "ProductReservations";
            let to = handler.map(|handler| millstream_events::Subscription { service, handler });
            Box::leak(Box::new(Declaration {
                name,
                subscriptions: Box::leak(to.into_iter().collect::<Vec<_>>().into_boxed_slice()),
                ..ProductReservations::DECLARATION.clone()
            }))
        };
        let declarations = [
            declared("product-reservations-work", Some("work")),
            declared("product-reservations-state", None),
        ];
        let told = |of_states| {
            let topics = BTreeMap::from([
                ("product-reservations".to_owned(), topic(8)),
                ("product-reservations-work".to_owned(), topic(8)),
                ("product-reservations-state".to_owned(), topic(of_states)),
            ]);
            partitions(&declarations, &[way()], &topics)
        };
        assert_eq!(told(8), []);
        let message = &told(12)[0].message;
        assert!(
            message.contains("product-reservations-state 12"),
            "{message}"
        );
    }
}
