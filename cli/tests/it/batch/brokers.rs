//! What brokers do of themselves, and others in the same topics.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use bytes::Bytes;
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::lane::batch::log::{Changes, Log, Position, Transactions};
use millstream_pipeline::lane::batch::notes::Notes;
use millstream_pipeline::lane::batch::shard::Ended;

use super::{Rig, config};
use crate::support::{LIMIT, unique, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_until_the_broker_aborts_its_transaction_commits_nothing() {
    let rig = Rig::new(1).await;
    rig.produce(0, 10, None).await;
    let process = rig.process();
    assert_eq!(process.lease().await.unwrap(), Ended::Idle);
    let producer = process.topics.producer().await.unwrap();
    producer.begin().await.unwrap();
    let output = Record {
        topic: rig.results.clone(),
        key: Some(b"never".to_vec()),
        value: Some(b"seen".to_vec()),
        headers: Vec::new(),
    };
    let position = Position(vec![10]);
    let changes = Changes {
        outputs: vec![output],
        states: Arc::new([("never".into(), Bytes::from_static(b"7"))].into()),
        position: position.clone(),
        notes: Notes::default(),
    };
    producer.send(changes).await.unwrap();
    producer.acknowledged().await.unwrap();
    // A record of nobody's behind it is read when the transaction is over.
    let behind = BaseRecord::to(&rig.results).key("behind").payload("it");
    let plain: BaseProducer = config().create().unwrap();
    plain.send(behind).map_err(|(error, _)| error).unwrap();
    tokio::task::block_in_place(|| plain.flush(LIMIT)).unwrap();
    until("the broker aborts it", async || {
        let read = rig.read(&rig.results).await;
        read.iter().any(|(key, _)| key == "behind").then_some(())
    })
    .await;
    let committed = producer.commit(&position, &Notes::default()).await;
    assert!(committed.is_err(), "it is over");
    rig.produce(0, 5, None).await;
    // Its own producer was shut out as well.
    until("a lease that ends", async || process.lease().await.ok()).await;
    let results = rig.read(&rig.results).await;
    assert_eq!(results.len(), 10 + 1 + 5);
    assert_eq!(rig.lag().await, [(15, 15)]);
}

/// A producer of transactions that is somebody else's.
fn other() -> BaseProducer {
    let mut config: ClientConfig = config();
    config.set("transactional.id", unique("another"));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_another_producer_is_waited_for_and_loses_nothing() {
    let rig = Rig::new(2).await;
    let (first, second) = (rig.inputs[0].clone(), rig.inputs[1].clone());
    rig.produce(0, 10, None).await;
    let open = tokio::task::spawn_blocking(move || {
        let producer = other();
        producer.begin_transaction().unwrap();
        for topic in [&first, &second] {
            for _ in 0..3 {
                let record = BaseRecord::to(topic).key("key1").payload("event");
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(LIMIT).unwrap();
        producer
    });
    let open = open.await.unwrap();
    // Behind it in both.
    rig.produce(0, 10, None).await;
    rig.produce(1, 10, Some(true)).await;
    let (one, other) = (rig.process(), rig.process());
    for process in [&one, &other, &one] {
        until("a lease that ends", async || process.lease().await.ok()).await;
    }
    rig.assert_once(10).await;
    let committing = move || open.commit_transaction(LIMIT).unwrap();
    tokio::task::spawn_blocking(committing).await.unwrap();
    until("the shard's end", async || {
        let _ = other.lease().await;
        let lag = rig.lag().await;
        lag.iter().all(|(at, end)| at == end).then_some(())
    })
    .await;
    rig.assert_once(10 + 6 + 20).await;
}
