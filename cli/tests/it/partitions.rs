//! Keys that a producer has put where Java's client would not.

use millstream_pipeline::events::Topic;
use millstream_pipeline::record::partition;
use millstream_schemas::invoice_events::PaymentSucceeded;
use millstream_topics::InvoiceEvents;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::support::command::millstream_on;
use crate::support::{Bench, Raw, endpoints, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_tells_which_keys_are_elsewhere() {
    let (topic, endpoints) = (unique("scanned"), endpoints());
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &endpoints.kafka)
        .create()
        .unwrap();
    let new = NewTopic::new(&topic, 4, TopicReplication::Fixed(1));
    let made = admin.create_topics([&new], &AdminOptions::new()).await;
    made.unwrap()[0].as_ref().unwrap();
    let elsewhere = |key: &str| (partition::of_key(key.as_bytes(), 4) + 1) % 4;
    for (key, partition) in [
        ("a", None),
        ("b", None),
        ("c", Some(elsewhere("c"))),
        ("c", Some(elsewhere("c"))),
        ("d", Some(elsewhere("d"))),
    ] {
        let raw = Raw {
            topic: &topic,
            key,
            value: b"v",
            timestamp: None,
            partition,
        };
        raw.send(endpoints).await;
    }
    let told = millstream_on(endpoints, &["doctor", "--scan", &topic, "--json"], "").await;
    let report = told.json();
    let placement = &report["scans"][0][1]["placement"];
    assert_eq!(placement["looked_at"], 5);
    assert_eq!(placement["misplaced"], 3);
    assert_eq!(placement["misplaced_keys"], 2);
    let checks = report["checks"].as_array().unwrap();
    let of_topic = |check: &&Value| check["message"].as_str().unwrap().starts_with(&topic);
    let check = checks.iter().find(of_topic).unwrap();
    assert_eq!(check["outcome"], "warn");
    let message = check["message"].as_str().unwrap();
    let example = format!(
        "key \"c\" at {topic}/{}/0 belongs on partition {}",
        elsewhere("c"),
        partition::of_key(b"c", 4)
    );
    assert!(message.contains(&example), "{message}");
    assert!(message.contains("murmur2_random"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_warns_where_order_matters() {
    let (bench, invoice) = (Bench::new(endpoints()).await, unique("invoice"));
    let topic = InvoiceEvents::DECLARATION;
    let event = PaymentSucceeded {
        customer: "customer".into(),
        created: 1_763_686_800_000_000,
    };
    let value = bench.value(&event, Some(&bench.client.meta())).await;
    let right = partition::of_key(invoice.as_bytes(), topic.partitions);
    let raw = Raw {
        topic: topic.name,
        key: &invoice,
        value: &value,
        timestamp: None,
        partition: Some((right + 1) % topic.partitions),
    };
    raw.send(endpoints()).await;
    let told = millstream_on(endpoints(), &["status", "--json"], "").await;
    let status = told.json();
    let found = status["misplaced"].as_array().unwrap();
    let ours = found.iter().find(|it| it["topic"] == topic.name);
    let placement = &ours.expect("the topic is named")["placement"];
    assert!(placement["misplaced"].as_u64().unwrap() >= 1);
    let table = millstream_on(endpoints(), &["status"], "").await;
    let warning = format!("Warning: {}: ", topic.name);
    assert!(table.stdout.contains(&warning), "{}", table.stdout);
}
