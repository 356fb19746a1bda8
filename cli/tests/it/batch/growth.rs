//! Many keys in one shard. How long it takes is told, and looked at by whoever runs it:
//! `cargo test --release --test it -- batch::growth --ignored --nocapture`.

use std::time::Instant;

use bytes::Bytes;
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::lane::batch::log::Decide;
use millstream_pipeline::lane::batch::memory::Overlay;
use millstream_pipeline::lane::batch::shard::{Ended, Shard};
use millstream_pipeline::lane::batch::topics::{Limits, Place, ShardError, Taken, Topics};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{Process, Rig, config};
use crate::support::LIMIT;

/// Bytes of a state.
const STATE: usize = 250;

/// Counts the events of each key, in states of a size that is usual.
struct Counting;

impl Decide<Topics> for Counting {
    type Note = ();

    async fn decide(
        &self,
        states: &mut Overlay<'_, std::sync::Arc<str>, Bytes>,
        records: Vec<Taken>,
    ) -> Result<(Vec<Record>, ()), ShardError> {
        for taken in records {
            let key: std::sync::Arc<str> = String::from_utf8(taken.key.unwrap()).unwrap().into();
            let before = states.get(&key)?;
            let count: u64 = before.map_or(0, |it| {
                std::str::from_utf8(&it).unwrap().trim().parse().unwrap()
            });
            let state = format!("{:>STATE$}", count + 1);
            states.set(key, state.into());
        }
        Ok((Vec::new(), ()))
    }

    async fn crashed(
        &self,
        states: &mut Overlay<'_, std::sync::Arc<str>, Bytes>,
        record: Taken,
        _: usize,
    ) -> Result<(Vec<Record>, ()), ShardError> {
        self.decide(states, vec![record]).await
    }

    fn committed(&self, (): ()) {}
}

impl Rig {
    /// An event for each of so many keys.
    async fn produce_keys(&self, keys: usize) {
        let topic = self.inputs[0].clone();
        let producing = move || {
            let producer: BaseProducer = config().set("linger.ms", "20").create().unwrap();
            for number in 0..keys {
                let key = format!("key{number}");
                let mut record = BaseRecord::to(&topic).key(&key).payload("event");
                while let Err((_, refused)) = producer.send(record) {
                    record = refused;
                    producer.poll(std::time::Duration::from_millis(10));
                }
            }
            producer.flush(LIMIT).unwrap();
        };
        tokio::task::spawn_blocking(producing).await.unwrap();
    }

    /// A process whose shards keep so many bytes in memory.
    fn process_within(&self, memory: usize) -> Process {
        let limits = Limits {
            memory,
            ..self.place.limits
        };
        let place = Place {
            limits,
            ..self.place.clone()
        };
        Process {
            shard: Shard::default(),
            topics: Topics::new(config(), place),
            results: self.results.clone(),
        }
    }
}

impl Process {
    async fn count(&self) {
        let lease = self.shard.lease(&self.topics, &Counting, 0, || false);
        assert_eq!(lease.await.unwrap(), Ended::Idle);
    }
}

/// Bytes that this process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let parts = line.unwrap().split_whitespace().nth(1);
    parts.unwrap().parse::<u64>().unwrap() * 1024
}

/// Decides two events of each key within the limit, and has another process take the shard over.
async fn two_rounds(keys: usize, memory: usize) {
    let rig = Rig::new(1).await;
    let process = rig.process_within(memory);
    let before = resident();
    for round in 1..=2 {
        rig.produce_keys(keys).await;
        let begun = Instant::now();
        process.count().await;
        assert_eq!(process.shard.keys(), keys);
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{keys} keys, {memory} bytes of memory, round {round}: {:.0} events/s, {} MiB more resident",
            keys as f64 / seconds,
            resident().saturating_sub(before) >> 20
        );
    }
    drop(process);
    rig.produce(0, 7, None).await;
    let next = rig.process_within(memory);
    let begun = Instant::now();
    next.count().await;
    println!(
        "{keys} keys, {memory} bytes of memory: taken over in {:.2} s",
        begun.elapsed().as_secs_f64() - rig.place.limits.idle.as_secs_f64()
    );
    assert_eq!(next.shard.keys(), keys);
    let states = rig.read(&rig.place.state_topic).await;
    let counted = |key: &str| {
        let newest = states.iter().rev().find(|(of, _)| of == key).unwrap();
        newest.1.trim().to_owned()
    };
    assert_eq!((counted("key0"), counted("key7")), ("3".into(), "2".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn states_beyond_the_limit_of_memory_are_as_good_as_others() {
    two_rounds(20_000, 500_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; its figures are for docs/scaling.md"]
async fn a_million_keys_with_a_quarter_of_their_states_in_memory() {
    two_rounds(1_000_000, 1_000_000 * STATE / 4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a while; its figures are for docs/scaling.md"]
async fn a_shard_of_125_000_keys_is_taken_over() {
    two_rounds(125_000, usize::MAX).await;
    two_rounds(125_000, 125_000 * STATE / 4).await;
}
