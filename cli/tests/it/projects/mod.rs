//! Two projects on one installation: one serves the library's services for both.

mod project;

use std::collections::BTreeMap;

use millstream_control::restate::Restate;
use millstream_control::{Outcome, Settings, doctor};
use millstream_devstack::{DevStack, Options, Part, Progress};
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use project::{Project, north, south};

use crate::support::{BROKER, own_stack_permit};

const NORTH: &Project = &north::PROJECT;
const SOUTH: &Project = &south::PROJECT;

/// Kafka, Restate and a registry, without handlers.
async fn start(folder: &std::path::Path) -> DevStack {
    let broker = [(BROKER.0.to_owned(), BROKER.1.to_owned())];
    let options = Options {
        folder: folder.join("stack"),
        parts: [Part::Kafka, Part::Restate, Part::Registry].into(),
        variables: [(Part::Kafka, broker.into())].into(),
        announce: false,
        usual_ports: false,
        progress: Progress::silent(),
        ..Options::new(env!("CARGO_BIN_EXE_millstream"))
    };
    DevStack::start(options).await.unwrap()
}

/// Where each service is served.
async fn served_at(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let restate = Restate::new(&endpoints.restate_admin).unwrap();
    let deployments = restate.deployments().await.unwrap();
    let address = |id: &str| {
        let known = deployments.iter().find(|it| it.id == id).unwrap();
        known.uri.clone().unwrap().trim_end_matches('/').to_owned()
    };
    let services = restate.services().await.unwrap();
    let services = services.into_iter();
    let services = services.map(|it| (it.name, address(&it.deployment_id)));
    services.collect()
}

/// The groups of the subscriptions of a service.
async fn groups(endpoints: &Endpoints, service: &str) -> Vec<String> {
    let restate = Restate::new(&endpoints.restate_admin).unwrap();
    let subscriptions = restate.subscriptions().await.unwrap().into_iter();
    let subscribed =
        subscriptions.filter(|it| it.sink.starts_with(&format!("service://{service}/")));
    subscribed
        .map(|it| it.options["group.id"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projects_share_an_installation() {
    let _permit = own_stack_permit().await;
    let folder = tempfile::tempdir().unwrap();
    let stack = start(folder.path()).await;
    let endpoints = &stack.endpoints();

    // Who comes first serves the library's services; who comes second leaves them there.
    let first = NORTH.serve(endpoints).await;
    NORTH.apply(endpoints, &first, false).await;
    let second = SOUTH.serve(endpoints).await;
    let done = SOUTH.apply(endpoints, &second, false).await;
    assert!(
        !done.contains("/system") && !done.contains("Timers"),
        "{done}"
    );
    let system = format!("{}/system", first.url());
    let at = served_at(endpoints).await;
    assert_eq!((&at["Timers"], &at["Replies"]), (&system, &system));
    assert_eq!(at["SouthOrders"], second.url());
    let group = "test-north.timers.Timers.onEvent";
    assert_eq!(groups(endpoints, "Timers").await, [group]);

    let mut topics = [NORTH.topics, SOUTH.topics].concat();
    // Both have those of the library.
    topics.sort_unstable_by_key(|topic| topic.name);
    topics.dedup_by_key(|topic| topic.name);
    let client = &Client::new(endpoints, &topics, "test").await.unwrap();
    let both_work = async || {
        NORTH.works(client).await;
        SOUTH.works(client).await;
    };
    both_work().await;
    for (project, served) in [(NORTH, &first), (SOUTH, &second)] {
        let again = project.plan(endpoints, served, false).await;
        assert!(
            again.is_empty() && again.problems.iter().all(|it| !it.refused),
            "{again}"
        );
        well(endpoints, project).await;
    }

    // Restarted in one order and in the other; what is asked meanwhile waits.
    let (north, south) = (first.end().await, second.end().await);
    let first = NORTH.serve_at(endpoints, north).await;
    let second = SOUTH.serve_at(endpoints, south).await;
    both_work().await;
    let north = first.end().await;
    let south = second.end().await;
    let second = SOUTH.serve_at(endpoints, south).await;
    let (first, ()) = tokio::join!(NORTH.serve_at(endpoints, north), SOUTH.works(client));
    both_work().await;

    // An upgrade of the one moves what it serves, an upgrade of the other does not.
    let south = SOUTH.serve(endpoints).await;
    SOUTH.apply(endpoints, &south, false).await;
    second.end().await;
    assert_eq!(served_at(endpoints).await["Timers"], system);
    both_work().await;
    let north = NORTH.serve(endpoints).await;
    let done = NORTH.apply(endpoints, &north, false).await;
    first.end().await;
    let at = served_at(endpoints).await;
    let system = format!("{}/system", north.url());
    assert_eq!(
        (&at["Timers"], &at["Replies"]),
        (&system, &system),
        "{done}"
    );
    assert_eq!(at["SouthStock"], south.url());
    both_work().await;

    // One is gone for good: the other takes the services over, and all that waited for them goes on.
    north.end().await;
    let done = SOUTH.apply(endpoints, &south, true).await;
    assert!(
        done.contains("takes Timers from the project test-north"),
        "{done}"
    );
    let system = format!("{}/system", south.url());
    assert_eq!(served_at(endpoints).await["Timers"], system);
    let group = "test-south.timers.Timers.onEvent";
    assert_eq!(groups(endpoints, "Timers").await, [group]);
    SOUTH.works(client).await;
    // And when it comes back it is a guest.
    let north = NORTH.serve(endpoints).await;
    NORTH.apply(endpoints, &north, false).await;
    assert_eq!(served_at(endpoints).await["Timers"], system);
    both_work().await;
    well(endpoints, SOUTH).await;
    stack.stop().await;
}

/// The project's own checks find nothing but deployments that were left.
async fn well(endpoints: &Endpoints, project: &Project) {
    let settings = Settings {
        prefix: project.prefix.into(),
        cluster: project.prefix.into(),
        ..Settings::default()
    };
    let checks = doctor(project.topics, endpoints, &settings).await;
    let failed: Vec<_> = checks
        .iter()
        .filter(|it| it.outcome == Outcome::Fail)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_not_taken_from_another_project() {
    let _permit = own_stack_permit().await;
    let folder = tempfile::tempdir().unwrap();
    let stack = start(folder.path()).await;
    let endpoints = &stack.endpoints();
    let served = NORTH.serve(endpoints).await;
    NORTH.apply(endpoints, &served, false).await;

    // The same services, of somebody who calls himself otherwise.
    let other = Project {
        prefix: "test-other",
        ..north::PROJECT
    };
    let theirs = other.serve(endpoints).await;
    let plan = other.plan(endpoints, &theirs, false).await;
    let refused: Vec<_> = plan.refusals().map(|it| it.message.clone()).collect();
    for service in ["NorthOrders", "NorthStock"] {
        let told = format!("{service} is a service of the project test-north, served at");
        let told = refused.iter().filter(|it| it.starts_with(&told));
        assert_eq!(told.count(), 1, "{refused:?}");
    }
    let taken = other.plan(endpoints, &theirs, true).await;
    assert_eq!(taken.refusals().count(), 0, "{taken}");
    let taken = taken.to_string();
    for what in [
        "takes NorthOrders from the project test-north",
        "takes Timers",
    ] {
        assert!(taken.contains(what), "{taken}");
    }
    // Whoever names another prefix than the handlers have is told so.
    let wrong = other.plan(endpoints, &served, false).await;
    let refused: Vec<_> = wrong.refusals().map(ToString::to_string).collect();
    let told = "served with the prefix test-north, and this is a plan for test-other";
    assert!(refused.concat().contains(told), "{refused:?}");
    stack.stop().await;
}
