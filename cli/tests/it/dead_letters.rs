//! `millstream dlq`, and dead letters that are handled when they come again.

use std::process::{Command, Output};

use millstream_control::dead_letters::{DeadLetter, DeadLetters, Filter, REPLAY_OF};
use millstream_handlers::enrichment::PACKAGE_NOT_REGISTERED;
use millstream_pipeline::client::Client;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::Topic;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_schemas::package_location_updates::LocationUpdate;
use millstream_schemas::package_queries::{GetPackageInfo, PackageInfo};
use millstream_schemas::package_registrations::RegisterPackage;
use millstream_topics::{PackageLocationUpdates, PackageQueries, PackageRegistrations, TOPICS};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::support::{LIMIT, client, endpoints, unique, until};

const TOPIC: &str = PackageLocationUpdates::DECLARATION.name;

fn dlq(arguments: &[&str]) -> Output {
    let endpoints = endpoints();
    Command::new(env!("CARGO_BIN_EXE_millstream"))
        .arg("dlq")
        .args(arguments)
        .args(["--kafka", &endpoints.kafka])
        .args(["--schema-registry", &endpoints.schema_registry])
        // One command at a time works under a prefix, and tests run at once.
        .args(["--prefix", &unique("test")])
        .output()
        .unwrap()
}

/// Lines of a command that must succeed.
fn lines(arguments: &[&str]) -> Vec<String> {
    let output = dlq(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn letters(key: &str) -> Vec<DeadLetter> {
    let letters = DeadLetters::new(endpoints(), TOPICS, "millstream").unwrap();
    let filter = Filter {
        keys: vec![key.to_owned()],
        ..Filter::default()
    };
    letters.list(&filter).await.unwrap()
}

async fn letter_count(key: &str, count: usize) -> Vec<DeadLetter> {
    until(&format!("{count} dead letters of {key}"), async || {
        Some(letters(key).await).filter(|letters| letters.len() >= count)
    })
    .await
}

async fn sighting(client: &Client, package: &str, location: &str) {
    let update = LocationUpdate {
        timestamp: "t".into(),
        location: location.into(),
    };
    let meta = client.meta();
    client
        .send::<PackageLocationUpdates>(package, update, Some(&meta))
        .await
        .unwrap();
}

async fn register(client: &Client, package: &str) {
    let command = RegisterPackage {
        final_destination: "Bridge 6".into(),
    };
    client
        .request::<PackageRegistrations>(package, command, LIMIT)
        .await
        .unwrap();
}

/// Where the package was seen, once it was seen `count` times.
async fn seen_at(client: &Client, package: &str, count: usize) -> Vec<String> {
    until(&format!("{count} sightings"), async || {
        let info = client
            .request::<PackageQueries>(package, GetPackageInfo {}, LIMIT)
            .await
            .unwrap()
            .event::<PackageInfo>()
            .unwrap();
        let places: Vec<_> = info.locations.into_iter().map(|it| it.location).collect();
        (places.len() >= count).then_some(places)
    })
    .await
}

async fn of_key(topic: &str, key: &str) -> Vec<Seen> {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let kafka = kafka::client(&endpoints().kafka);
    let mut reader = Reader::new(kafka, &[topic.to_owned()], From::Beginning)
        .await
        .unwrap();
    let mut all = Vec::new();
    while let Next::Record(seen) = reader.next(&codec).await.unwrap() {
        all.extend(Some(*seen).filter(|seen| seen.key.as_deref() == Some(key)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_handled_when_it_is_replayed() {
    let client = client().await;
    let package = unique("package");
    for place in ["Paris", "Brussels", "Ghent"] {
        sighting(&client, &package, place).await;
    }
    let kept = letter_count(&package, 3).await;
    assert!(
        kept.iter()
            .all(|letter| letter.code == PACKAGE_NOT_REGISTERED)
    );
    register(&client, &package).await;

    // The same ids come again, and are handled now, in the same order.
    let ids: Vec<_> = kept.iter().map(|letter| letter.id.clone()).collect();
    let select = ["--key", &package, "--topic", TOPIC, "--since", "1h"];
    let replay = [
        &["replay", "--by", "ada", "--note", "registered"],
        &select[..],
    ]
    .concat();
    assert_eq!(lines(&replay), ids);
    let places = seen_at(&client, &package, 3).await;
    assert_eq!(places, ["Paris", "Brussels", "Ghent"]);
    let replayed = of_key(TOPIC, &package).await.split_off(3);
    let of: Vec<_> = replayed
        .iter()
        .map(|seen| seen.header(REPLAY_OF).unwrap())
        .collect();
    assert_eq!(of, ids);

    // They are dealt with: not listed, and not replayed again by mistake.
    assert!(lines(&[&["list", "--json"], &select[..]].concat()).is_empty());
    let listed = lines(&[&["list", "--all"], &select[..]].concat());
    assert_eq!(
        listed
            .iter()
            .filter(|line| line.contains("replayed by ada"))
            .count(),
        3
    );
    assert!(lines(&replay).is_empty());
    let refused = dlq(&["replay", &ids[0]]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("--again"),
        "{said}"
    );

    // Replayed once more on purpose they are known by their ids, for they were handled.
    assert_eq!(lines(&["replay", "--again", &ids[0]]), ids[..1]);
    sighting(&client, &package, "Antwerp").await;
    let places = seen_at(&client, &package, 4).await;
    assert_eq!(places, ["Paris", "Brussels", "Ghent", "Antwerp"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_all_of_its_original() {
    let client = client().await;
    let package = unique("package");
    let record = Record {
        topic: TOPIC.into(),
        key: Some(package.clone().into_bytes()),
        value: Some(b"\x01\xff not Avro".to_vec()),
        headers: vec![
            ("own".into(), Some(b"\xff\x00"[..].into())),
            ("own".into(), Some(b"twice"[..].into())),
            ("nothing".into(), None),
            (
                "__connect.errors.topic".into(),
                Some(b"of another system"[..].into()),
            ),
        ],
    };
    let (partition, offset) = client.send_raw(&record).await.unwrap();
    let letter = letter_count(&package, 1).await.remove(0);
    let original = of_key(TOPIC, &package).await.remove(0);
    assert_eq!(
        (letter.topic.as_str(), letter.partition, letter.offset),
        (TOPIC, partition, offset)
    );
    assert_eq!(letter.id, format!("{TOPIC}/{partition}/{offset}"));
    assert_eq!(letter.timestamp, original.timestamp);
    assert_eq!(letter.raw_key, original.raw_key);
    assert_eq!(letter.headers, original.raw_headers);
    assert_eq!(letter.headers, record.headers);
    assert_eq!(letter.value, record.value);
    assert_eq!(letter.handler, "PackageTracker/updateLocation");
    assert_eq!(
        letter.group,
        "millstream.package-location-updates.PackageTracker.updateLocation"
    );

    let shown = lines(&["show", &letter.id]).join("\n");
    for part in [
        "undecodable",
        "own = 0xff00",
        "nothing = null",
        "01 ff 20 6e",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(
        lines(&["discard", &letter.id, "--note", "no event"]),
        [letter.id.as_str()]
    );
    let json = lines(&["show", "--json", &letter.id]).remove(0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["marked"]["mark"], "DISCARDED");
    assert_eq!(json["marked"]["note"], "no event");
    assert_eq!(
        of_key(TOPIC, &package).await.len(),
        1,
        "discarding replays nothing"
    );

    // Replayed although it is not mended it is a dead letter again, with its own place.
    lines(&["replay", "--again", &letter.id]);
    let again = letter_count(&package, 2).await.remove(1);
    assert_eq!(again.headers.last().unwrap().0, REPLAY_OF);
    assert_eq!(again.headers[..4], record.headers[..]);
    assert!(again.marked.is_none() && again.id != letter.id);
}

#[test]
fn nothing_is_replayed_unasked() {
    let output = dlq(&["replay"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--all"), "{said}");
    let wrong = dlq(&["list", "--since", "yesterday"]);
    assert!(!wrong.status.success());
}

/// A topic takes larger records than its dead letter topic where somebody raised its limit.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_be_kept_whole_is_kept_in_part() {
    let (client, package) = (client().await, unique("package"));
    let kafka = kafka::client(&endpoints().kafka);
    let admin: AdminClient<DefaultClientContext> = kafka.create().unwrap();
    // All settings that `apply` made, for those that are not named are taken away.
    let config = AlterConfig::new(ResourceSpecifier::Topic(TOPIC))
        .set("cleanup.policy", "delete")
        .set("retention.ms", "604800000")
        .set("min.insync.replicas", "1")
        .set("max.message.bytes", "4000000");
    let altered = admin.alter_configs([&config], &AdminOptions::new()).await;
    altered.unwrap().remove(0).unwrap();

    let mut larger = kafka.clone();
    kafka::producer(&mut larger).set("message.max.bytes", "4000000");
    let producer: FutureProducer = larger.create().unwrap();
    let value = vec![b'x'; 3_000_000];
    // The broker takes the larger limit some time after it has answered.
    until("the larger limit", async || {
        let record = FutureRecord::to(TOPIC).key(&package).payload(&value);
        producer.send(record, LIMIT).await.ok()
    })
    .await;
    let letter = letter_count(&package, 1).await.remove(0);
    assert_eq!(letter.shortened.as_deref(), Some("value"));
    let kept = letter.value.unwrap();
    assert!(kept.len() > 1_000_000 && value.starts_with(&kept));

    let refused = dlq(&["replay", &letter.id]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("could not be kept whole"), "{said}");
    // Its key is not held up.
    register(&client, &package).await;
}
