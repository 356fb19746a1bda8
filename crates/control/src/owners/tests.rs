use std::collections::BTreeMap;

use millstream_events::{SYSTEM_TOPICS, Topic};
use millstream_topics::ProductReservations;
use serde_json::json;

use super::*;
use crate::plan::{Change, Plan};
use crate::restate::{ActualDeployment, Handler, RetryPolicy};
use crate::state::Registered;
use crate::{build, deployment};

const OTHER: &str = "http://other:9080";

/// A service whose handlers said that it is of this project.
fn service(name: &str, at: &str, prefix: Option<&str>) -> Service {
    let metadata = prefix.map(|prefix| {
        (
            "metadata".to_owned(),
            json!({ "millstream-prefix": prefix }),
        )
    });
    let on_event = Handler {
        name: "onEvent".into(),
        ty: Some("Exclusive".into()),
        rest: BTreeMap::new(),
    };
    Service {
        name: name.into(),
        ty: "VirtualObject".into(),
        handlers: vec![on_event],
        deployment_id: at.into(),
        retry_policy: RetryPolicy::default(),
        rest: metadata.into_iter().collect(),
    }
}

fn subscription(group: &str, source: &str, sink: &str) -> ActualSubscription {
    ActualSubscription {
        id: format!("sub of {group}"),
        source: source.into(),
        sink: sink.into(),
        options: [("group.id".to_owned(), group.to_owned())].into(),
    }
}

fn discovered(at: &str, names: &[&str], registered: Option<Vec<Service>>) -> Deployment {
    Deployment::Found {
        uri: at.into(),
        discovered: names
            .iter()
            .map(|it| service(it, "", Some("shop")))
            .collect(),
        registered: registered.map(|services| Registered {
            id: "dp_own".into(),
            services,
        }),
    }
}

/// An installation where another project serves these.
fn others(names: &[&str]) -> Actual {
    Actual {
        services: names
            .iter()
            .map(|it| service(it, "dp_other", Some("acme")))
            .collect(),
        deployments: vec![ActualDeployment {
            id: "dp_other".into(),
            uri: Some(OTHER.into()),
            created_at: String::new(),
            services: Vec::new(),
        }],
        subscriptions: vec![
            subscription(
                "acme.replies.Replies.onEvent",
                "kafka://acme/replies",
                "service://Replies/onEvent",
            ),
            subscription(
                "acme.timers.Timers.onEvent",
                "kafka://acme/timers",
                "service://Timers/onEvent",
            ),
        ],
        ..Actual::default()
    }
}

fn settings(take_over: bool) -> Settings {
    Settings {
        prefix: "shop".into(),
        cluster: "shop".into(),
        take_over,
        ..Settings::default()
    }
}

fn deployed(actual: &Actual, take_over: bool) -> (Plan, Vec<Service>) {
    let mut plan = Plan::default();
    let services = deployment::step(&mut plan, &settings(take_over), actual);
    (plan, services)
}

fn shown(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter().map(ToString::to_string);
    changes
        .chain(plan.problems.iter().map(ToString::to_string))
        .collect()
}

#[test]
fn a_service_is_of_the_project_that_says_so_or_that_has_its_subscription() {
    let services = [
        service("Said", "dp", Some("shop")),
        service("Subscribed", "dp", None),
        service("Guarded", "dp", None),
        service("Foreign", "dp", None),
    ];
    let subscriptions = [
        subscription(
            "acme.said.Said.onEvent",
            "kafka://c/said",
            "service://Said/onEvent",
        ),
        subscription(
            "a.b.events.Subscribed.onEvent",
            "kafka://c/events",
            "service://Subscribed/onEvent",
        ),
        subscription(
            "acme.in.Guarded.on",
            "kafka://c/in-guarded",
            "service://Guarded/on",
        ),
        subscription("somebody", "kafka://c/in", "service://Foreign/on"),
    ];
    let owners = ["Said", "Subscribed", "Guarded", "Foreign", "Absent"]
        .map(|name| owner(name, &services, &subscriptions));
    assert_eq!(
        owners,
        [Some("shop"), Some("a.b"), Some("acme"), None, None]
    );
}

#[test]
fn one_project_has_the_subscriptions_of_the_librarys_services() {
    let had = |actual: &Actual| {
        let declared = [SYSTEM_TOPICS, &[ProductReservations::DECLARATION]].concat();
        let (services, subscriptions) = (&actual.services, &actual.subscriptions);
        let own = of_project(&declared, &settings(false), services, subscriptions);
        own.into_iter().map(|it| it.group).collect::<Vec<_>>()
    };
    let reservations = "shop.product-reservations.ProductReservations.onEvent";
    let replies = "shop.replies.Replies.onEvent";
    let timers = "shop.timers.Timers.onEvent";
    assert_eq!(had(&Actual::default()), [replies, timers, reservations]);
    assert_eq!(had(&others(&["Replies", "Timers"])), [reservations]);
    // One of which is told by its subscription, as of an older version.
    let mut older = others(&["Replies", "Timers"]);
    older.services[0].rest.clear();
    assert_eq!(had(&older), [reservations]);
}

#[test]
fn whoever_serves_the_librarys_services_goes_on_to() {
    let system = "http://shop:9080/system";
    let offered = || discovered(system, &["Replies", "Timers"], None);
    let first = Actual {
        system: offered(),
        ..Actual::default()
    };
    let (plan, services) = deployed(&first, false);
    assert_eq!(
        shown(&plan),
        [format!("+ deployment {system}: Replies, Timers")]
    );
    assert_eq!(owner("Timers", &services, &[]), Some("shop"));

    let second = Actual {
        system: offered(),
        ..others(&["Replies", "Timers"])
    };
    let (plan, services) = deployed(&second, false);
    assert_eq!(plan, Plan::default());
    assert_eq!(owner("Timers", &services, &[]), Some("acme"));
}

#[test]
fn the_librarys_services_move_with_the_handlers_of_their_project() {
    let (handlers, system) = ("http://shop:9080", "http://shop:9080/system");
    let all = ["Replies", "Timers"];
    let of_shop = |name: &&str| service(name, "dp_before", Some("shop"));
    let mut actual = Actual {
        deployment: discovered(handlers, &["Orders"], None),
        system: discovered(system, &all, None),
        services: [&all[..], &["Orders"]]
            .concat()
            .iter()
            .map(of_shop)
            .collect(),
        ..Actual::default()
    };
    let moved = deployed(&actual, false).0;
    let expected = [
        format!("+ deployment {system}: Replies, Timers"),
        format!("+ deployment {handlers}: Orders"),
    ];
    assert_eq!(shown(&moved), expected);

    // Of two deployments of the project neither takes them from the other.
    let registered = vec![service("Orders", "dp_own", Some("shop"))];
    actual.services[2].deployment_id = "dp_own".into();
    actual.deployment = discovered(handlers, &["Orders"], Some(registered));
    assert_eq!(deployed(&actual, false).0, Plan::default());
}

#[test]
fn taking_over_takes_the_subscriptions_as_well() {
    let system = "http://shop:9080/system";
    let actual = Actual {
        system: discovered(system, &["Replies", "Timers"], None),
        ..others(&["Replies", "Timers"])
    };
    let plan = build::build(SYSTEM_TOPICS, &BTreeMap::new(), &settings(true), &actual);
    let of_restate = |change: &&Change| {
        !matches!(
            change,
            Change::CreateTopic { .. } | Change::CreateCluster { .. }
        )
    };
    let shown: Vec<_> = plan
        .changes
        .iter()
        .filter(of_restate)
        .map(ToString::to_string)
        .collect();
    let [gone @ .., deployment, replies, timers] = &shown[..] else {
        panic!("{shown:?}");
    };
    for (gone, service) in gone.iter().zip(["Replies", "Timers"]) {
        assert!(gone.starts_with("- subscription kafka://acme/"), "{gone}");
        assert!(gone.ends_with(": shop takes the service over"), "{gone}");
        assert!(gone.contains(service), "{gone}");
    }
    let taken = format!("takes Timers from the project acme, served at {OTHER}");
    assert!(deployment.contains(&taken), "{deployment}");
    assert!(
        replies.ends_with("group shop.replies.Replies.onEvent"),
        "{replies}"
    );
    assert!(
        timers.ends_with("group shop.timers.Timers.onEvent"),
        "{timers}"
    );
    assert_eq!((gone.len(), plan.refusals().count()), (2, 0));
}

#[test]
fn a_service_of_another_project_is_taken_only_if_that_is_said() {
    let actual = Actual {
        deployment: discovered("http://shop:9080", &["Orders"], None),
        ..others(&["Orders"])
    };
    let (refused, services) = deployed(&actual, false);
    assert!(refused.is_empty());
    let told = format!(
        "refused: Orders is a service of the project acme, served at {OTHER}, and Restate has one of each \
         name"
    );
    assert!(
        shown(&refused)[0].starts_with(&told),
        "{:?}",
        shown(&refused)
    );
    assert_eq!(services[0].prefix(), Some("acme"));

    let (taken, services) = deployed(&actual, true);
    let told = format!(
        "+ deployment http://shop:9080: Orders, takes Orders from the project acme, served at {OTHER}"
    );
    assert_eq!(shown(&taken), [told]);
    assert_eq!(services[0].prefix(), Some("shop"));
}

#[test]
fn events_are_not_sent_to_a_service_of_another_project() {
    let actual = others(&["ProductReservations"]);
    let declared = [ProductReservations::DECLARATION];
    let refusals = |settings: &Settings| {
        let plan = build::build(&declared, &BTreeMap::new(), settings, &actual);
        plan.refusals().map(ToString::to_string).collect::<Vec<_>>()
    };
    let told = refusals(&settings(false)).concat();
    assert!(
        told.contains("a service of the project acme, served at http://other:9080"),
        "{told}"
    );
    let theirs = Settings {
        prefix: "acme".into(),
        ..settings(false)
    };
    assert_eq!(refusals(&theirs), Vec::<String>::new());
}

#[test]
fn handlers_of_an_older_version_are_registered_anew_to_say_whose_they_are() {
    let registered = vec![service("Orders", "", None)];
    let mut actual = Actual {
        deployment: discovered("http://shop:9080", &["Orders"], Some(registered)),
        services: vec![service("Orders", "dp_own", None)],
        ..Actual::default()
    };
    let (plan, services) = deployed(&actual, false);
    assert_eq!(
        shown(&plan),
        ["~ deployment http://shop:9080: says that they are of the project shop"]
    );
    assert_eq!(services[0].prefix(), Some("shop"));
    let registered = vec![service("Orders", "", Some("shop"))];
    actual.deployment = discovered("http://shop:9080", &["Orders"], Some(registered));
    actual.services = services;
    assert_eq!(deployed(&actual, false).0, Plan::default());
}

#[test]
fn handlers_with_another_prefix_than_the_plan_are_refused() {
    let actual = Actual {
        deployment: discovered("http://shop:9080", &["Orders"], None),
        ..Actual::default()
    };
    let mut plan = Plan::default();
    let settings = Settings {
        prefix: "acme".into(),
        ..settings(true)
    };
    deployment::step(&mut plan, &settings, &actual);
    let told = "refused: the handlers at http://shop:9080 are served with the prefix shop, and this is a plan \
                for acme: give --prefix shop, or serve them with --prefix acme";
    assert_eq!(shown(&plan), [told]);
}
