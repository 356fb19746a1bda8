//! Relays that are killed, and relays that share the partitions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::support::{Foreign, Process, origins};
use crate::support::{endpoints, until};

const KEYS: usize = 20;
/// How long a relay may take to end: one transaction and leaving its group.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Sends numbered events, each key's numbers in order.
async fn send(foreign: &Foreign, numbers: std::ops::Range<usize>) {
    let one_key = async |key: usize| {
        for number in numbers.clone().filter(|number| number % KEYS == key) {
            let value = foreign.value(&number.to_string()).await;
            let key = format!("key{key}");
            foreign.send(Some(key.as_bytes()), Some(value)).await;
        }
    };
    let mut keys: FuturesUnordered<_> = (0..KEYS).map(one_key).collect();
    while keys.next().await.is_some() {}
}

/// Every event came through once, in the order of its key and of its partition.
async fn check(foreign: &Foreign, total: usize) {
    let guarded = foreign.guarded_count(total).await;
    let mut numbers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for seen in &guarded {
        let data = seen.data.as_ref().unwrap();
        let number = data["reservation_id"].as_str().unwrap().parse().unwrap();
        numbers
            .entry(seen.key.clone().unwrap())
            .or_default()
            .push(number);
    }
    for key in 0..KEYS {
        let expected: Vec<usize> = (key..total).step_by(KEYS).collect();
        assert_eq!(numbers[&format!("key{key}")], expected, "key{key}");
    }
    assert_eq!(guarded.len(), total);
    let by_partition = origins(&guarded);
    assert_eq!(by_partition.values().map(Vec::len).sum::<usize>(), total);
    assert!(foreign.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_relays_lose_nothing_and_double_nothing() {
    const ROUNDS: usize = 4;
    const EACH: usize = 400;
    let foreign = Foreign::apply(None, &[]).await;
    for round in 0..ROUNDS {
        let relay = Process::start(foreign.declaration, "killed");
        let sent = send(&foreign, round * EACH..(round + 1) * EACH);
        if round + 1 == ROUNDS {
            sent.await;
            check(&foreign, ROUNDS * EACH).await;
            return;
        }
        // Killed while records flow: some of this round are through and others are not yet sent.
        let killed = async {
            foreign.guarded_count(round * EACH + EACH / 10).await;
            drop(relay);
        };
        tokio::join!(sent, killed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_share_the_partitions_and_take_over() {
    const TOTAL: usize = 1500;
    let foreign = Foreign::apply(None, &[]).await;
    let group = format!("millstream.{}.guard", foreign.declaration.name);
    let first = Process::start(foreign.declaration, "first");
    let _second = Process::start(foreign.declaration, "second");
    let look: BaseConsumer = millstream_pipeline::kafka::client(&endpoints().kafka)
        .create()
        .unwrap();
    until("two relays with partitions", async || {
        let groups = look.fetch_group_list(Some(&group), Duration::from_secs(5));
        let groups = groups.ok()?;
        // Four partitions: each of two members has two of them.
        let group = groups.groups().first()?;
        (group.state() == "Stable" && group.members().len() == 2).then_some(())
    })
    .await;
    let sent = send(&foreign, 0..TOTAL);
    let killed = async {
        foreign.guarded_count(TOTAL / 10).await;
        drop(first);
    };
    tokio::join!(sent, killed);
    check(&foreign, TOTAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_asked_to_end_commits_what_it_has_produced() {
    const TOTAL: usize = 1000;
    let foreign = Foreign::apply(None, &[]).await;
    let relay = Process::start(foreign.declaration, "first");
    let sent = send(&foreign, 0..TOTAL);
    let ended = async {
        foreign.guarded_count(TOTAL / 10).await;
        let begun = Instant::now();
        let status = relay.terminate().await;
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < END_LIMIT, "{:?}", begun.elapsed());
        // Nothing is left open: readers see all that was produced, and the offsets say the same.
        let through = foreign.guarded().await.len();
        assert_eq!(committed(&foreign), i64::try_from(through).unwrap());
    };
    tokio::join!(sent, ended);
    let _second = Process::start(foreign.declaration, "second");
    check(&foreign, TOTAL).await;
}

/// How many records the relays' group is done with.
fn committed(foreign: &Foreign) -> i64 {
    let name = foreign.declaration.name;
    let reader: BaseConsumer = millstream_pipeline::kafka::client(&endpoints().kafka)
        .set("group.id", format!("millstream.{name}.guard"))
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(name, 0, 3);
    let offsets = reader.committed_offsets(list, END_LIMIT).unwrap();
    let offsets = offsets.elements();
    offsets
        .iter()
        .filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
        .sum()
}
