//! The batch lane's driver on a real Kafka. What may happen between its steps is the model's matter
//! (`batch::model`); here it is whether brokers and client do what the model takes for granted.

mod both;
mod brokers;
mod enrichment;
mod fate;
mod growth;
mod served;
mod verbs;

use std::sync::Arc;

use bytes::Bytes;
use millstream_devstack::Ports;
use millstream_pipeline::events::{Access, Declaration, Subscription, Topic};
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_pipeline::lane::batch::dispatcher::Dispatcher;
use millstream_pipeline::lane::batch::lane::{Lane, Settings};
use millstream_pipeline::lane::batch::log::{Changes, Decide, Log, Position, Transactions};
use millstream_pipeline::lane::batch::memory::Overlay;
use millstream_pipeline::lane::batch::notes::Notes;
use millstream_pipeline::lane::batch::shard::{Ended, Shard};
use millstream_pipeline::lane::batch::topics::{Place, ShardError, Taken, Topics};
use millstream_pipeline::observe::metrics::metrics;
use millstream_pipeline::serve::Handlers;
use millstream_pipeline::service::Pipeline;
use millstream_topics::ProductReservations;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use restate_sdk::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, endpoints, unique, until};

/// Not one that others use on the same stack.
const PREFIX: &str = "test-batch";

/// Topics of one partition, made for one test.
struct Rig {
    inputs: Vec<String>,
    results: String,
    place: Place,
}

fn config() -> ClientConfig {
    millstream_pipeline::kafka::client(&endpoints().kafka)
}

fn admin() -> AdminClient<DefaultClientContext> {
    config().create().unwrap()
}

impl Rig {
    async fn new(inputs: usize) -> Self {
        Self::of(&unique("batch"), inputs).await
    }

    /// The topics of a service.
    async fn of(service: &str, inputs: usize) -> Self {
        let name = unique("batch");
        let inputs: Vec<_> = (0..inputs).map(|it| format!("{name}-{it}")).collect();
        let results = format!("{name}-results");
        let names: Vec<_> = inputs.iter().map(String::as_str).collect();
        let place = Place::new(PREFIX, service, &names, 0);
        let topics = names.iter().copied().chain([results.as_str()]);
        let topics = topics.map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1)));
        let states = NewTopic::new(&place.state_topic, 1, TopicReplication::Fixed(1))
            .set("cleanup.policy", "compact");
        let topics: Vec<_> = topics.chain([states]).collect();
        let made = admin().create_topics(&topics, &AdminOptions::new()).await;
        made.unwrap()
            .into_iter()
            .for_each(|made| drop(made.unwrap()));
        Self {
            inputs: inputs.clone(),
            results,
            place,
        }
    }

    /// The shard as another process has it.
    fn process(&self) -> Process {
        Process {
            shard: Shard::default(),
            topics: Topics::new(config(), self.place.clone()),
            results: self.results.clone(),
        }
    }

    /// Produces `count` records to an input, in a transaction that is `committed`, or in none.
    async fn produce(&self, input: usize, count: usize, committed: Option<bool>) {
        let topic = self.inputs[input].clone();
        let producing = move || {
            let mut config = config();
            if committed.is_some() {
                config.set("transactional.id", unique("another"));
            }
            let producer: BaseProducer = config.create().unwrap();
            if committed.is_some() {
                producer.init_transactions(LIMIT).unwrap();
                producer.begin_transaction().unwrap();
            }
            for number in 0..count {
                let key = format!("key{}", number % 7);
                let record = BaseRecord::to(&topic).key(&key).payload("event");
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(LIMIT).unwrap();
            match committed {
                Some(true) => producer.commit_transaction(LIMIT).unwrap(),
                Some(false) => producer.abort_transaction(LIMIT).unwrap(),
                None => {}
            }
        };
        tokio::task::spawn_blocking(producing).await.unwrap();
    }

    /// What a plain reader of committed records sees.
    async fn read(&self, topic: &str) -> Vec<(String, String)> {
        let topic = topic.to_owned();
        let reading = move || {
            let consumer: BaseConsumer = config()
                .set("group.id", "test")
                .set("isolation.level", "read_committed")
                .set("enable.partition.eof", "true")
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Beginning)
                .unwrap();
            consumer.assign(&list).unwrap();
            let (mut seen, mut heard) = (Vec::new(), std::time::Instant::now());
            loop {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().into()).unwrap();
                match consumer.poll(LIMIT) {
                    Some(Ok(message)) => {
                        heard = std::time::Instant::now();
                        seen.push((text(message.key()), text(message.payload())));
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => return seen,
                    Some(Err(error)) => panic!("{error}"),
                    None => assert!(heard.elapsed() < LIMIT, "{topic} says nothing"),
                }
            }
        };
        tokio::task::spawn_blocking(reading).await.unwrap()
    }

    /// Each key has its events counted, without a gap, and the inputs' offsets are in order.
    async fn assert_once(&self, expected: usize) {
        let results = self.read(&self.results).await;
        assert_eq!(results.len(), expected);
        let mut counts = std::collections::BTreeMap::new();
        let mut last = vec![-1; self.inputs.len()];
        for (key, value) in results {
            let parts: Vec<i64> = value.split(' ').map(|it| it.parse().unwrap()).collect();
            let (count, topic, offset) = (parts[0], parts[1] as usize, parts[2]);
            let known: &mut i64 = counts.entry(key).or_default();
            *known += 1;
            assert_eq!(count, *known);
            assert!(offset > last[topic], "{offset} after {}", last[topic]);
            last[topic] = offset;
        }
        let states = self.read(&self.place.state_topic).await;
        for (key, count) in counts {
            let newest = states.iter().rev().find(|(of, _)| *of == key).unwrap();
            assert_eq!(newest.1, count.to_string());
        }
    }

    /// Offsets of the service's group, and the ends of its topics.
    async fn lag(&self) -> Vec<(i64, i64)> {
        let (inputs, group) = (self.inputs.clone(), self.place.group.clone());
        let asking = move || {
            let client: BaseConsumer = config()
                .set("group.id", &group)
                .set_log_level(RDKafkaLogLevel::Emerg)
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            for input in &inputs {
                list.add_partition(input, 0);
            }
            let committed = client.committed_offsets(list, LIMIT).unwrap();
            let committed = committed.elements().into_iter().map(|it| {
                let (_, end) = client.fetch_watermarks(it.topic(), 0, LIMIT).unwrap();
                (it.offset().to_raw().unwrap(), end)
            });
            committed.collect()
        };
        tokio::task::spawn_blocking(asking).await.unwrap()
    }
}

struct Process {
    shard: Shard<Topics>,
    topics: Topics,
    results: String,
}

impl Process {
    async fn lease(&self) -> Result<Ended, ShardError> {
        let decide = Counting(self.results.clone());
        (self.shard).lease(&self.topics, &decide, 0, || false).await
    }
}

/// Counts the events of each key.
struct Counting(String);

impl Decide<Topics> for Counting {
    type Note = ();

    async fn decide(
        &self,
        states: &mut Overlay<'_, Arc<str>, Bytes>,
        records: Vec<Taken>,
    ) -> Result<(Vec<Record>, ()), ShardError> {
        let mut decided = Vec::new();
        for taken in records {
            let key = taken.key.unwrap();
            let key: Arc<str> = std::str::from_utf8(&key).unwrap().into();
            let count = states.get(&key)?.map_or(0, |state| {
                let text = std::str::from_utf8(&state).unwrap();
                text.parse::<u64>().unwrap()
            });
            let count = count + 1;
            states.set(Arc::clone(&key), Bytes::from(count.to_string()));
            decided.push(Record {
                topic: self.0.clone(),
                key: Some(key.as_bytes().to_vec()),
                value: Some(format!("{count} {} {}", taken.topic, taken.offset).into_bytes()),
                headers: Vec::new(),
            });
        }
        Ok((decided, ()))
    }

    async fn crashed(
        &self,
        states: &mut Overlay<'_, Arc<str>, Bytes>,
        record: Taken,
        _: usize,
    ) -> Result<(Vec<Record>, ()), ShardError> {
        self.decide(states, vec![record]).await
    }

    fn committed(&self, (): ()) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_both_believe_to_have_a_shard_decide_each_event_once() {
    let rig = Arc::new(Rig::new(2).await);
    let all_there = CancellationToken::new();
    let (producing, produced) = (Arc::clone(&rig), all_there.clone());
    let producing = tokio::spawn(async move {
        for round in 0..12 {
            let committed = [None, Some(true), Some(false)][round % 3];
            producing.produce(round % 2, 500, committed).await;
        }
        produced.cancel();
    });
    let holders = (0..2).map(|_| {
        let (rig, all_there) = (Arc::clone(&rig), all_there.clone());
        tokio::spawn(async move {
            let process = rig.process();
            let mut failed = 0;
            loop {
                // Asked before the lag is: between two rounds there is none either.
                let last = all_there.is_cancelled();
                match process.lease().await {
                    Ok(Ended::Idle)
                        if last && rig.lag().await.iter().all(|(at, end)| at == end) =>
                    {
                        return failed;
                    }
                    Ok(_) => {}
                    Err(_) => failed += 1,
                }
            }
        })
    });
    let holders: Vec<_> = holders.collect();
    producing.await.unwrap();
    for holder in holders {
        tokio::time::timeout(LIMIT, holder).await.unwrap().unwrap();
    }
    // Four of twelve rounds were aborted.
    rig.assert_once(8 * 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_open_is_settled_and_marks_of_others_are_passed_over() {
    let rig = Rig::new(2).await;
    rig.produce(0, 100, Some(true)).await;
    let dead = rig.process();
    let producer = dead.topics.producer().await.unwrap();
    producer.begin().await.unwrap();
    let output = Record {
        topic: rig.results.clone(),
        key: Some(b"never".to_vec()),
        value: Some(b"seen".to_vec()),
        headers: Vec::new(),
    };
    let position = Position(vec![50, 0]);
    let changes = Changes {
        outputs: vec![output],
        states: Arc::new([("never".into(), Bytes::from_static(b"7"))].into()),
        position: position.clone(),
        notes: Notes::default(),
    };
    producer.send(changes).await.unwrap();
    producer.acknowledged().await.unwrap();
    let alive = rig.process();
    assert_eq!(alive.lease().await.unwrap(), Ended::Idle);
    let committed = producer.commit(&position, &Notes::default()).await;
    assert!(committed.is_err(), "it is shut out");
    rig.assert_once(100).await;
    assert_eq!(rig.lag().await[0], (101, 101), "behind the mark too");
    // Nobody else had it in between, so nothing is loaded again.
    rig.produce(1, 10, None).await;
    assert_eq!(alive.lease().await.unwrap(), Ended::Idle);
    rig.assert_once(110).await;
    assert_eq!(alive.shard.keys(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_unread_is_passed_over_and_a_topic_made_anew_stops_the_shard() {
    let rig = Rig::new(1).await;
    rig.produce(0, 10, None).await;
    let process = rig.process();
    process.lease().await.unwrap();
    rig.produce(0, 20, None).await;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&rig.inputs[0], 0, Offset::Offset(25))
        .unwrap();
    let deleted = admin().delete_records(&list, &AdminOptions::new()).await;
    deleted.unwrap();
    let lost = metrics()
        .batch_lost
        .with_label_values(&[rig.inputs[0].as_str()]);
    assert_eq!(lost.get(), 0);
    process.lease().await.unwrap();
    assert_eq!(lost.get(), 15, "an alarm goes by this");
    let (_, last) = rig.read(&rig.results).await.pop().unwrap();
    assert!(last.ends_with(" 29"), "{last}");
    assert_eq!(rig.read(&rig.results).await.len(), 15);

    let options = AdminOptions::new();
    let gone = admin().delete_topics(&[&rig.inputs[0]], &options).await;
    gone.unwrap()[0].as_ref().unwrap();
    let again = NewTopic::new(&rig.inputs[0], 1, TopicReplication::Fixed(1));
    until("the topic is made anew", async || {
        let made = admin().create_topics([&again], &options).await.unwrap();
        made[0].is_ok().then_some(())
    })
    .await;
    rig.produce(0, 3, None).await;
    let other = rig.process();
    let refused = until("the shard stands still", async || {
        other
            .lease()
            .await
            .err()
            .filter(|it| matches!(it, ShardError::Beyond { .. }))
    })
    .await;
    assert!(refused.to_string().contains("generation"), "{refused}");

    // A generation has states of its own, and whoever has not heard of it is refused.
    let mut next = rig.process();
    next.topics = Topics::new(
        config(),
        Place {
            generation: 2,
            ..rig.place.clone()
        },
    );
    assert_eq!(next.lease().await.unwrap(), Ended::Idle);
    let results = rig.read(&rig.results).await;
    assert_eq!(results.len(), 15 + 3);
    assert_eq!(results[15].1, "1 0 0");
    assert_eq!(next.shard.keys(), 3);
    let refused = rig.process().lease().await.unwrap_err();
    assert!(
        matches!(refused, ShardError::Unreadable { .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_fit_their_topic_are_taken_however_many_there_are() {
    let rig = Rig::new(1).await;
    let resource = ResourceSpecifier::Topic(&rig.results);
    let config = AlterConfig::new(resource).set("max.message.bytes", "20000");
    let altered = admin().alter_configs([&config], &AdminOptions::new()).await;
    altered.unwrap()[0].as_ref().unwrap();
    rig.produce(0, 4000, None).await;
    let process = rig.process();
    let refused = process.lease().await;
    assert!(refused.is_err(), "else this shows nothing: {refused:?}");
    until("a lease that ends", async || process.lease().await.ok()).await;
    rig.assert_once(4000).await;
}

/// The topic of the work orders of a service that no catalogue has.
const WORK: &Declaration = &Declaration {
    name: "test-batch-work",
    key: "partition",
    partitions: 1,
    subscriptions: &[Subscription {
        service: "TestBatch",
        handler: "work",
    }],
    results: None,
    access: Access::Library,
    http: &[],
    ..*ProductReservations::DECLARATION
};

struct TestBatch(Lane<Counting>);

#[restate_sdk::object(inactivity_timeout = "5m", abort_timeout = "10m")]
impl TestBatch {
    #[handler]
    async fn work(&self, ctx: ObjectContext<'_>, _order: Bytes) -> HandlerResult<()> {
        self.0.work(ctx.key()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_and_restate_bring_a_shard_to_its_end_whenever_something_comes() {
    let rig = Rig::of("TestBatch", 2).await;
    let stop = CancellationToken::new();
    let settings = Settings {
        prefix: PREFIX.into(),
        service: "TestBatch".into(),
        topics: rig.inputs.clone(),
        partitions: 1,
        generation: 1,
        headers: false,
        limits: rig.place.limits,
    };
    let decide = Counting(rig.results.clone());
    let lane = Lane::new(config(), settings.clone(), decide, stop.clone());
    let pipeline = Pipeline::new(endpoints(), &[WORK], PREFIX).unwrap();
    let services = Endpoint::builder().bind(TestBatch(lane));
    let handlers = Handlers::unsigned(&pipeline, services);
    let port = Ports::choose(&[]).unwrap().handlers;
    let address: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    let served = stop.clone();
    let serving = tokio::spawn(handlers.serve(address, served.cancelled_owned()));
    let applied = millstream_control::Settings {
        prefix: PREFIX.into(),
        handlers: Some(format!("http://127.0.0.1:{port}")),
        ..millstream_control::Settings::default()
    };
    until("the handlers' port", || async move {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    let plan = millstream_control::plan(&[WORK], endpoints(), &applied)
        .await
        .unwrap();
    millstream_control::apply(&plan, endpoints(), |_| {})
        .await
        .unwrap();

    // Work orders that say nothing, old ones and such of no partition, more than anybody sends.
    let flooding = stop.clone();
    let flooded = tokio::spawn(async move {
        let publisher = Publisher::new(config()).unwrap();
        for number in 0..300 {
            let order = Record {
                topic: WORK.name.into(),
                key: Some(["0", "0", "7", "no partition"][number % 4].into()),
                value: Some(b"work".to_vec()),
                ..Record::default()
            };
            if flooding.is_cancelled() {
                break;
            }
            publisher.publish(&order).await.unwrap();
        }
    });
    let mut expected = 0;
    for round in 0..3 {
        // What comes while there is no dispatcher is seen by the next one.
        rig.produce(round % 2, 300, None).await;
        let stop = CancellationToken::new();
        let publisher = Publisher::new(config()).unwrap();
        let order = Record {
            topic: WORK.name.into(),
            key: Some(b"0".to_vec()),
            value: Some(b"work".to_vec()),
            ..Record::default()
        };
        let dispatcher =
            Dispatcher::new(&config(), settings.clone(), publisher, vec![order]).unwrap();
        let running = tokio::spawn(dispatcher.run(stop.clone()));
        for committed in [None, Some(false), Some(true)] {
            rig.produce(0, 50, committed).await;
            until("the shard's end", async || {
                let lag = rig.lag().await;
                lag.iter().all(|(at, end)| at == end).then_some(())
            })
            .await;
        }
        expected += 300 + 2 * 50;
        rig.assert_once(expected).await;
        stop.cancel();
        running.await.unwrap();
    }
    flooded.await.unwrap();
    stop.cancel();
    serving.await.unwrap().unwrap();
}
