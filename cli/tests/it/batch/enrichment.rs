//! A pattern of the catalogue changes lanes by its topic files: its handlers are the same.

use millstream_devstack::{DevStack, Options, Part, Progress};
use millstream_handlers::deciders;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::{Lane, Topic};
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_topics::{PackageLocationUpdates, PackageQueries, PackageRegistrations};

use crate::patterns::tracking::{DESTINATION, LOCATIONS, info, register, update};
use crate::support::leased::{Process, address, apply_at, leased, with_own};
use crate::support::{BROKER, own_stack_permit, unique};

const SERVICE: &str = "PackageTracker";

#[tokio::test(flavor = "multi_thread")]
async fn enrichment_works_in_the_batch_lane_as_its_topic_files_say() {
    let _permit = own_stack_permit().await;
    let folder = tempfile::tempdir().unwrap();
    let broker = [(BROKER.0.to_owned(), BROKER.1.to_owned())];
    let options = Options {
        parts: [Part::Kafka, Part::Restate, Part::Registry].into(),
        variables: [(Part::Kafka, broker.into())].into(),
        folder: folder.path().join("stack"),
        announce: false,
        usual_ports: false,
        progress: Progress::silent(),
        ..millstream_cli::application().dev_options(env!("CARGO_BIN_EXE_millstream"))
    };
    let stack = DevStack::start(options).await.unwrap();
    let endpoints = stack.endpoints();

    let files = [
        PackageRegistrations::DECLARATION,
        PackageLocationUpdates::DECLARATION,
        PackageQueries::DECLARATION,
    ];
    assert!(files.iter().all(|file| file.lane == Lane::Event));
    let topics = with_own("package-tracker", &files.map(leased));
    let address = address();
    let prefix = "test-enrichment";
    let tracker = |pipeline: &Pipeline| {
        let mut deciders = deciders(pipeline).into_iter();
        let is_it = |it: &Decider| it.settings().is_ok_and(|it| it.service == SERVICE);
        let tracker = deciders.find(is_it).unwrap();
        assert_eq!(tracker.lane(), Lane::Batch);
        tracker
    };
    let process = Process::start(&endpoints, address, (topics.clone(), prefix), tracker).await;
    let made = apply_at(&endpoints, address, (&topics, prefix)).await;
    let text = format!("{made:?}");
    assert!(
        text.contains("package-tracker-work") && !text.contains("registerPackage"),
        "{text}"
    );

    let client = Client::new(&endpoints, &topics, "test").await.unwrap();
    let package = unique("package");
    register(&client, &package).await;
    for location in LOCATIONS {
        update(&client, &package, location).await;
    }
    let info = info(&client, &package, 2).await;
    assert_eq!(info.final_destination, DESTINATION);
    let seen: Vec<_> = info
        .locations
        .iter()
        .map(|it| it.location.as_str())
        .collect();
    assert_eq!(seen, LOCATIONS);
    let states = millstream_control::states(&topics, &endpoints, SERVICE, Some(&package));
    let states = states.await.unwrap();
    let kept = &states[0].state["package-info"]["locations"];
    assert_eq!(kept.as_array().unwrap().len(), 2, "{states:?}");
    process.stop().await;
    stack.stop().await;
}
