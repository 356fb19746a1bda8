//! Package tracking: events of three topics meet in one package.

use millstream_handlers::enrichment::PACKAGE_NOT_REGISTERED;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::Topic;
use millstream_schemas::package_location_updates::LocationUpdate;
use millstream_schemas::package_queries::{GetPackageInfo, PackageInfo};
use millstream_schemas::package_registrations::{PackageRegistered, RegisterPackage};
use millstream_topics::{PackageLocationUpdates, PackageQueries, PackageRegistrations};

use crate::support::{Bench, LIMIT, client, endpoints, failure, letter_code, sql, unique, until};

pub const DESTINATION: &str = "Bridge 6, Amsterdam";
pub const LOCATIONS: [&str; 2] = ["Pinetree Road 5, Paris", "Mountain Road 155, Brussels"];

fn seen_at(location: &str) -> LocationUpdate {
    LocationUpdate {
        timestamp: "2024-10-10 13:00".into(),
        location: location.into(),
    }
}

pub async fn register(client: &Client, package: &str) {
    let command = RegisterPackage {
        final_destination: DESTINATION.into(),
    };
    let seen = client
        .request::<PackageRegistrations>(package, command, LIMIT)
        .await
        .unwrap();
    seen.event::<PackageRegistered>().unwrap();
}

/// What is known of a package once it was seen `count` times: topics have no order between them.
pub async fn info(client: &Client, package: &str, count: usize) -> PackageInfo {
    until("the last location", async || {
        let seen = client
            .request::<PackageQueries>(package, GetPackageInfo {}, LIMIT)
            .await
            .unwrap();
        let info: PackageInfo = seen.event().unwrap();
        (info.locations.len() >= count).then_some(info)
    })
    .await
}

pub async fn update(client: &Client, package: &str, location: &str) {
    let meta = client.meta();
    client
        .send::<PackageLocationUpdates>(package, seen_at(location), Some(&meta))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_where_it_was_seen_last() {
    let client = client().await;
    let package = unique("package");
    register(&client, &package).await;
    for location in LOCATIONS {
        update(&client, &package, location).await;
    }
    let info = info(&client, &package, 2).await;
    assert_eq!(info.final_destination, DESTINATION);
    let locations: Vec<_> = info
        .locations
        .iter()
        .map(|it| it.location.as_str())
        .collect();
    assert_eq!(locations, LOCATIONS);
    let facts = PackageLocationUpdates::DECLARATION;
    assert!(facts.results.is_none(), "a fact has no result");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_before_registration_is_a_dead_letter() {
    let bench = Bench::new(endpoints()).await;
    let client = &bench.client;
    let package = unique("package");
    let topic = PackageLocationUpdates::DECLARATION.name;
    let value = bench
        .value(&seen_at(LOCATIONS[0]), Some(&client.meta()))
        .await;
    let headers = vec![
        ("own".into(), Some(vec![0, 159, 255].into())),
        ("empty".into(), None),
    ];
    let (partition, offset) = bench
        .send_with_headers(topic, Some(&package), Some(&value), headers.clone())
        .await;
    let letter = bench.dead_letter(topic, (partition, offset)).await;
    assert_eq!(letter.value, Some(value));
    assert_eq!(letter.raw_key, Some(package.clone().into_bytes()));
    assert_eq!(letter.raw_headers[..headers.len()], headers[..]);
    for (name, expected) in [
        (
            "__connect.errors.exception.class.name",
            PACKAGE_NOT_REGISTERED,
        ),
        ("__connect.errors.topic", topic),
        ("__connect.errors.partition", &partition.to_string()),
        ("__connect.errors.offset", &offset.to_string()),
        ("kafka_dlt-exception-fqcn", PACKAGE_NOT_REGISTERED),
        ("kafka_dlt-original-topic", topic),
    ] {
        assert_eq!(letter.header(name), Some(expected), "{name}");
    }
    assert!(
        letter
            .header("kafka_dlt-exception-message")
            .unwrap()
            .contains("register it")
    );

    register(client, &package).await;
    update(client, &package, LOCATIONS[1]).await;
    let info = info(client, &package, 1).await;
    assert_eq!(info.locations.len(), 1, "the dead letter left no trace");
    assert_eq!(info.locations[0].location, LOCATIONS[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_known_of_a_package_before_registration() {
    let client = client().await;
    let package = unique("package");
    let seen = client
        .request::<PackageQueries>(&package, GetPackageInfo {}, LIMIT)
        .await
        .unwrap();
    assert_eq!(failure(&seen), PACKAGE_NOT_REGISTERED);
    let letters = client
        .seen(|seen| seen.topic == "package-queries-dlq" && seen.key.as_ref() == Some(&package));
    assert!(letters.is_empty(), "a refused command is no dead letter");
}

/// Six of these are more than the four megabytes that an object may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_does_not_outgrow_its_limit() {
    let bench = Bench::new(endpoints()).await;
    let (client, package) = (&bench.client, unique("package"));
    register(client, &package).await;
    let large = "x".repeat(700_000);
    let mut last = None;
    for _ in 0..6 {
        let meta = client.meta();
        let sent = client.send::<PackageLocationUpdates>(&package, seen_at(&large), Some(&meta));
        last = Some(sent.await.unwrap());
    }
    let topic = PackageLocationUpdates::DECLARATION.name;
    let letter = bench.dead_letter(topic, last.unwrap()).await;
    assert_eq!(letter_code(&letter), "too-large");
    // What fits is taken, also behind it.
    let fits = client.meta();
    let sent = client.send::<PackageLocationUpdates>(&package, seen_at("here"), Some(&fits));
    sent.await.unwrap();
    let locations = until("the last location", async || {
        let (_, state) = sql::state(endpoints(), "PackageTracker", &package)
            .await
            .pop()?;
        let locations = state["package-info"]["locations"].as_array()?.clone();
        (locations.last()?["location"] == "here").then_some(locations)
    })
    .await;
    assert_eq!(locations.len(), 6, "five large ones and a small one");
}
