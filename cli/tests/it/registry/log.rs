//! The schema registry and its log; each test has its own topic.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_registry::{RegistryConfig, Running, start};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::api::{Api, record, unique};
use crate::support::endpoints;

/// A registry of its own topic, started and ready.
pub async fn own(kafka: &str, topic: &str) -> (Api, Running, CancellationToken) {
    let stop = CancellationToken::new();
    let config = RegistryConfig {
        topic: topic.to_owned(),
        replication: Some(1),
        ..RegistryConfig::new(kafka, "127.0.0.1:0".parse().unwrap())
    };
    let running = start(config, stop.clone()).await.unwrap();
    let api = Api::new(&format!("http://{}", running.address));
    let ready = async {
        while api.get("/health").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready)
        .await
        .expect("the registry becomes ready");
    (api, running, stop)
}

/// Stops it.
pub async fn stop(running: Running, stop: CancellationToken) {
    stop.cancel();
    running.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_rebuilt_from_the_log() {
    let kafka = &endpoints().kafka;
    let topic = unique("schemas");
    let (api, running, token) = own(kafka, &topic).await;
    for (n, subject) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(
            api.register(subject, &record(subject, "")).await,
            (200, json!({ "id": n + 1 }))
        );
    }
    api.put("/config", json!({ "compatibility": "FULL" })).await;
    api.put("/mode/c", json!({ "mode": "READONLY" })).await;
    api.delete("/subjects/a").await;
    let paths = [
        "/subjects?deleted=true",
        "/subjects",
        "/schemas?deleted=true",
        "/config",
        "/mode/c",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(api.get(path).await);
    }
    stop(running, token).await;

    let (api, running, token) = own(kafka, &topic).await;
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(api.get(path).await, before, "{path}");
    }
    assert_eq!(
        api.register("d", "\"int\"").await,
        (200, json!({ "id": 4 })),
        "ids go on"
    );
    stop(running, token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_registries_give_out_different_ids() {
    let kafka = &endpoints().kafka;
    let topic = unique("schemas");
    let (one, first, first_token) = own(kafka, &topic).await;
    let (two, second, second_token) = own(kafka, &topic).await;
    let mut ids = BTreeMap::new();
    for n in 0..20 {
        let subject = format!("s{n}");
        let schema = record(&subject, "");
        let api = if n % 2 == 0 { &one } else { &two };
        let (_, answer) = api.register(&subject, &schema).await;
        assert_eq!(ids.insert(answer["id"].as_i64().unwrap(), subject), None);
    }
    assert_eq!(
        ids.keys().copied().collect::<Vec<_>>(),
        (1..=20).collect::<Vec<_>>()
    );
    // At the same moment, too, no id means two schemas.
    let schemas = ["x", "y"].map(|subject| record(subject, ""));
    let (x, y) = tokio::join!(
        one.register("x", &schemas[0]),
        two.register("y", &schemas[1])
    );
    assert_ne!(x.1["id"], y.1["id"]);
    stop(first, first_token).await;
    stop(second, second_token).await;
}

/// The topic is deleted and made again behind the registry's back: what is no longer in it is not
/// served as if it were.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_noticed() {
    let kafka = &endpoints().kafka;
    let topic = unique("schemas");
    let (api, running, token) = own(kafka, &topic).await;
    for subject in ["a", "b", "c"] {
        api.register(subject, &record(subject, "")).await;
    }
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()
        .unwrap();
    let options = AdminOptions::new();
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    // The registry may have noticed and made it itself: then it is shorter than it was.
    let length = log(kafka, &topic).len();
    admin.delete_topics(&[&topic], &options).await.unwrap();
    let made = async {
        while admin.create_topics([&new], &options).await.unwrap()[0].is_err() {
            if end(kafka, &topic).is_some_and(|end| (end as usize) < length) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), made)
        .await
        .expect("the topic is made again");
    let written = async {
        while api.register("d", &record("d", "")).await != (200, json!({ "id": 1 })) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written)
        .await
        .expect("it begins again");
    assert_eq!(api.get("/subjects").await, (200, json!(["d"])));
    stop(running, token).await;
}

/// A topic as Confluent's registry leaves it behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_confluents_registry_is_taken_over() {
    let kafka = &endpoints().kafka;
    let topic = unique("schemas");
    // An empty registry makes the topic.
    let (_, running, token) = own(kafka, &topic).await;
    stop(running, token).await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()
        .unwrap();
    let records = [
        (r#"{"keytype":"NOOP","magic":0}"#, None),
        (
            r#"{"keytype":"SCHEMA","subject":"t-value","version":1,"magic":1}"#,
            Some(
                r#"{"subject":"t-value","version":1,"id":5,"md5":"4lyPoTSPFsVHpA2UCAZ8Fg==","schema":"{\"type\":\"record\",\"name\":\"T\",\"namespace\":\"n\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}","deleted":false}"#,
            ),
        ),
        (
            r#"{"keytype":"SCHEMA","subject":"p-value","version":1,"magic":1}"#,
            Some(
                r#"{"subject":"p-value","version":1,"id":6,"schemaType":"PROTOBUF","schema":"syntax = \"proto3\";","deleted":false}"#,
            ),
        ),
        // A default of the wrong type, rules, and a namespace of Debezium's.
        (
            r#"{"keytype":"SCHEMA","subject":"d-value","version":1,"magic":1}"#,
            Some(
                r#"{"subject":"d-value","version":1,"id":3,"metadata":{"properties":{"owner":"me"}},"ruleSet":{"domainRules":[{"name":"e","kind":"TRANSFORM","mode":"WRITEREAD","type":"ENCRYPT","tags":["PII"],"disabled":false}]},"schema":"{\"type\":\"record\",\"name\":\"Value\",\"namespace\":\"dbserver-1.inventory.customers\",\"fields\":[{\"name\":\"a\",\"type\":\"int\",\"default\":\"0\"}]}","deleted":false}"#,
            ),
        ),
        (
            r#"{"keytype":"CONFIG","subject":"t-value","magic":0}"#,
            Some(
                r#"{"subject":"t-value","compatibilityLevel":"FULL","compatibilityGroup":"major"}"#,
            ),
        ),
        (
            r#"{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}"#,
            Some("{}"),
        ),
    ];
    for (key, value) in records {
        let mut record = FutureRecord::to(&topic).partition(0).key(key);
        record.payload = value;
        producer.send(record, Duration::from_secs(5)).await.unwrap();
    }
    let (api, running, token) = own(kafka, &topic).await;
    assert_eq!(
        api.get("/subjects").await,
        (200, json!(["d-value", "p-value", "t-value"]))
    );
    let (_, odd) = api.get("/subjects/d-value/versions/1").await;
    assert_eq!(odd["ruleSet"]["domainRules"][0]["type"], json!("ENCRYPT"));
    assert_eq!(odd["metadata"], json!({ "properties": { "owner": "me" } }));
    let text = odd["schema"].as_str().unwrap();
    let found = api
        .post("/subjects/d-value", json!({ "schema": text }))
        .await;
    assert_eq!((found.0, &found.1["id"]), (200, &json!(3)));
    assert_eq!(api.register("d-value", text).await.1["id"], json!(3));
    let without = json!({ "schema": text, "metadata": {}, "ruleSet": {} });
    let elsewhere = api.post("/subjects/e-value/versions", without).await;
    assert_eq!(
        Api::code(elsewhere),
        42201,
        "another schema, and a wrong one"
    );
    assert_eq!(
        api.get("/schemas/ids/6").await.1["schemaType"],
        json!("PROTOBUF")
    );
    let same = r#"{ "namespace": "n", "name": "T", "type": "record", "fields": [{ "type": "int", "name": "a" }] }"#;
    assert_eq!(
        api.register("t-value", same).await,
        (200, json!({ "id": 5 }))
    );
    assert_eq!(
        api.register("u-value", "\"int\"").await,
        (200, json!({ "id": 7 }))
    );
    assert_eq!(
        api.get("/config/t-value").await,
        (
            200,
            json!({ "compatibilityLevel": "FULL", "compatibilityGroup": "major" })
        )
    );
    stop(running, token).await;

    // What we added stands there as Confluent's registry would have written it.
    let log = log(kafka, &topic);
    assert!(log.contains(&(
        r#"{"keytype":"SCHEMA","subject":"u-value","version":1,"magic":1}"#.into(),
        Some(
            r#"{"subject":"u-value","version":1,"id":7,"schema":"\"int\"","deleted":false}"#.into()
        )
    )));
}

/// The offset after the last record of a topic's one partition, if it is there.
fn end(kafka: &str, topic: &str) -> Option<i64> {
    Some(
        reader(kafka)
            .fetch_watermarks(topic, 0, Duration::from_secs(10))
            .ok()?
            .1,
    )
}

fn reader(kafka: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "registry-log")
        .set("allow.auto.create.topics", "false")
        .create()
        .unwrap()
}

/// All records of a topic's one partition.
fn log(kafka: &str, topic: &str) -> Vec<(String, Option<String>)> {
    let end = end(kafka, topic).unwrap();
    let consumer = reader(kafka);
    let mut partition = TopicPartitionList::new();
    partition
        .add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&partition).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    loop {
        let message = consumer
            .poll(Duration::from_secs(10))
            .expect("a record")
            .unwrap();
        records.push((text(message.key().unwrap()), message.payload().map(text)));
        if message.offset() + 1 >= end {
            return records;
        }
    }
}
