//! Comparisons that need no server, with the catalogue's own declarations.

use std::collections::BTreeMap;

use millstream_events::Declaration;
use millstream_topics::TOPICS;
use proptest::prelude::*;

use super::kafka::{ActualSetting, ActualTopic};
use super::restate::{
    ActualCluster, ActualDeployment, ActualSubscription, Handler, InvocationCount, Service,
};
use super::schemas::{Misfit, SubjectState};
use super::state::{Actual, Deployment, Registered};
use super::topics::DeclaredTopic;
use super::*;

const TOPIC: &str = "product-reservations";
const GROUP: &str = "millstream.product-reservations.ProductReservations.onEvent";

fn declarations() -> Vec<&'static Declaration> {
    TOPICS
        .iter()
        .copied()
        .filter(|declaration| declaration.name == TOPIC)
        .collect()
}

fn cluster() -> BTreeMap<String, String> {
    Settings::default().cluster_properties(&Endpoints::default())
}

fn as_declared(topic: &DeclaredTopic) -> ActualTopic {
    let settings = topic.settings(3).into_iter();
    ActualTopic {
        partitions: topic.partitions,
        replication: 3,
        settings: settings
            .map(|(name, value)| {
                (
                    name,
                    ActualSetting {
                        value,
                        explicit: true,
                    },
                )
            })
            .collect(),
    }
}

fn service(handlers: &[(&str, Option<&str>)]) -> Service {
    let handlers = handlers.iter().map(|(name, ty)| Handler {
        name: (*name).into(),
        ty: ty.map(Into::into),
        rest: BTreeMap::new(),
    });
    Service {
        name: "ProductReservations".into(),
        ty: "VirtualObject".into(),
        handlers: handlers.collect(),
        deployment_id: "dp_1".into(),
        retry_policy: restate::RetryPolicy::default(),
        rest: BTreeMap::new(),
    }
}

/// An installation in which everything is as declared.
fn installed() -> Actual {
    let declared = subscriptions::declared(&declarations(), "millstream", "millstream");
    let topics = topics::declared(&declarations());
    Actual {
        topics: topics
            .iter()
            .map(|topic| (topic.name.clone(), as_declared(topic)))
            .collect(),
        default_replication: 3,
        clusters: vec![ActualCluster {
            name: "millstream".into(),
            properties: cluster(),
        }],
        services: vec![service(&[("onEvent", Some("Exclusive"))])],
        subscriptions: declared
            .into_iter()
            .map(|wanted| ActualSubscription {
                id: "sub_1".into(),
                source: wanted.source,
                sink: wanted.sink,
                options: wanted.options,
            })
            .collect(),
        ..Actual::default()
    }
}

fn plan_for(actual: &Actual, settings: &Settings) -> Plan {
    build::build(&declarations(), &cluster(), settings, actual)
}

fn refusals(plan: &Plan) -> Vec<&str> {
    plan.refusals()
        .map(|problem| problem.message.as_str())
        .collect()
}

#[test]
fn what_is_as_declared_is_left_alone() {
    assert_eq!(
        plan_for(&installed(), &Settings::default()),
        Plan::default()
    );
}

#[test]
fn everything_is_made_in_an_order_in_which_each_step_finds_what_it_needs() {
    let actual = Actual {
        default_replication: 3,
        services: vec![service(&[("onEvent", Some("Exclusive"))])],
        ..Actual::default()
    };
    let plan = plan_for(&actual, &Settings::default());
    let shown: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    assert!(
        shown[0].starts_with("+ topic product-reservations: 8 partitions, replication default")
    );
    assert!(shown[0].contains("min.insync.replicas=2"), "{}", shown[0]);
    assert!(shown[2].starts_with("+ topic product-reservations-dlq: 1 partition,"));
    assert!(shown[3].starts_with("+ Kafka cluster millstream"));
    assert!(
        matches!(&plan.changes[4], Change::CreateSubscription { options, .. }
        if options["group.id"] == GROUP && options["auto.offset.reset"] == "earliest")
    );
    assert_eq!((shown.len(), refusals(&plan).len()), (5, 0));
}

#[test]
fn another_partition_count_is_refused_with_what_to_do() {
    let mut actual = installed();
    actual.topics.get_mut(TOPIC).unwrap().partitions = 4;
    let plan = plan_for(&actual, &Settings::default());
    assert!(plan.is_empty());
    assert!(refusals(&plan)[0].contains("Set partitions = 4 in topics/product-reservations.toml"));
}

#[test]
fn a_default_that_happens_to_fit_is_set_nevertheless() {
    let mut actual = installed();
    actual
        .topics
        .get_mut(TOPIC)
        .unwrap()
        .settings
        .get_mut("retention.ms")
        .unwrap()
        .explicit = false;
    let plan = plan_for(&actual, &Settings::default());
    assert_eq!(
        plan.changes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["~ topic product-reservations: retention.ms=604800000 (was the default)"]
    );
}

#[test]
fn a_topic_whose_offsets_start_again_is_refused_until_its_generation_is_raised() {
    let broken = PartitionOffsets {
        partition: 3,
        start: 0,
        end: 4,
        committed: Some(9),
    };
    let made_anew = |actual: &mut Actual| {
        for setting in actual.topics.get_mut(TOPIC).unwrap().settings.values_mut() {
            setting.explicit = false;
        }
    };
    type Break = Box<dyn Fn(&mut Actual)>;
    let cases: [(&str, Break); 3] = [
        (
            "has committed 9",
            Box::new(move |actual| drop(actual.offsets.insert(GROUP.into(), vec![broken]))),
        ),
        (
            "is gone",
            Box::new(|actual| drop(actual.topics.remove(TOPIC))),
        ),
        ("was made anew", Box::new(made_anew)),
    ];
    for (reason, break_it) in cases {
        let mut actual = installed();
        break_it(&mut actual);
        let plan = plan_for(&actual, &Settings::default());
        let refused = refusals(&plan);
        assert!(
            refused[0].contains(reason) && refused[0].contains("set generation = 2"),
            "{refused:?}"
        );

        let older = |id: &mut String| *id = id.replace("generation-1", "generation-0");
        older(
            actual.subscriptions[0]
                .options
                .get_mut("client.id")
                .unwrap(),
        );
        let plan = plan_for(&actual, &Settings::default());
        assert!(refusals(&plan).is_empty());
        assert!(matches!(
            &plan.changes[plan.changes.len() - 3..],
            [Change::DeleteSubscription { .. }, Change::DeleteGroup { group }, Change::CreateSubscription { .. }]
                if group == GROUP
        ));
    }
}

#[test]
fn a_generation_never_goes_down() {
    let mut actual = installed();
    let id = actual.subscriptions[0]
        .options
        .get_mut("client.id")
        .unwrap();
    *id = id.replace("generation-1", "generation-5");
    assert!(refusals(&plan_for(&actual, &Settings::default()))[0].contains("never goes down"));
}

#[test]
fn a_changed_subscription_is_made_again_and_one_of_others_is_not_touched() {
    let mut actual = installed();
    actual.subscriptions[0]
        .options
        .insert("auto.offset.reset".into(), "latest".into());
    let mut others = actual.subscriptions[0].clone();
    others.id = "sub_2".into();
    others.options.insert("group.id".into(), "other".into());
    actual.subscriptions.push(others);
    let plan = plan_for(
        &actual,
        &Settings {
            prune: true,
            ..Settings::default()
        },
    );
    assert!(matches!(
        &plan.changes[..],
        [Change::DeleteSubscription { id, .. }, Change::CreateSubscription { .. }] if id == "sub_1"
    ));
    assert!(
        plan.problems[0]
            .message
            .contains("sub_2 delivers product-reservations")
    );
}

#[test]
fn pruning_is_asked_for_and_topics_go_last() {
    let mut actual = installed();
    actual
        .topics
        .insert("old".into(), actual.topics[TOPIC].clone());
    actual.subscriptions.push(ActualSubscription {
        id: "sub_9".into(),
        source: "kafka://millstream/old".into(),
        sink: "service://Old/onEvent".into(),
        options: BTreeMap::from([("group.id".into(), "millstream.old.Old.onEvent".into())]),
    });
    let unasked = plan_for(&actual, &Settings::default());
    assert!(unasked.is_empty() && unasked.problems[0].message.contains("--prune removes it"));
    let settings = Settings {
        prune: true,
        prune_topics: true,
        ..Settings::default()
    };
    assert!(matches!(
        &plan_for(&actual, &settings).changes[..],
        [Change::DeleteSubscription { id, .. }, Change::DeleteTopic { topic }] if id == "sub_9" && topic == "old"
    ));
}

#[test]
fn nothing_is_pruned_of_a_prefix_of_which_nothing_is_declared() {
    let mut actual = installed();
    for subscription in &mut actual.subscriptions {
        subscription
            .options
            .insert("group.id".into(), "acme.old.Old.onEvent".into());
    }
    let mut settings = Settings {
        prefix: "acme".into(),
        ..Settings::default()
    };
    let told = "none of them is declared here: it is probably the prefix of another project";
    assert!(
        plan_for(&actual, &settings).problems[0]
            .message
            .contains(told)
    );
    settings.prune = true;
    let refused = plan_for(&actual, &settings);
    assert!(refusals(&refused)[0].contains(told));
    let shown = refused.to_string();
    assert!(
        shown.contains("refused: the prefix acme has 1 subscriptions"),
        "{shown}"
    );
    assert!(
        shown.ends_with("1 change, 1 refusal: nothing is applied."),
        "{shown}"
    );
    let deletes = |change: &Change| matches!(change, Change::DeleteSubscription { .. });
    assert!(!refused.changes.iter().any(deletes), "{shown}");
}

#[test]
fn subjects_are_closed_before_they_are_filled() {
    let state = |level: Result<&str, &str>, registered| SubjectState {
        registered,
        first: !registered,
        level: level.map(Into::into).map_err(Into::into),
        misfits: Vec::new(),
    };
    let with = |states: Vec<SubjectState>| {
        let subjects = schemas::declared(&declarations()).into_iter();
        let actual = Actual {
            subjects: subjects.zip(states).collect(),
            ..installed()
        };
        plan_for(&actual, &Settings::default())
    };
    let new = with(vec![state(Ok("BACKWARD"), false), state(Ok("NONE"), false)]);
    let shown: Vec<String> = new.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[..2],
        [
            "~ compatibility of product-reservations-value: FULL_TRANSITIVE (was BACKWARD)",
            "~ compatibility of product-reservations-results-millstream.product_reservations.ProductReserved: \
             FULL_TRANSITIVE (was NONE)",
        ]
    );
    assert_eq!(shown[2], "+ schema product-reservations-value");
    assert_eq!((shown.len(), new.problems.len()), (4, 0));
    let well = with(vec![state(Ok("FULL_TRANSITIVE"), true); 2]);
    assert_eq!(well, Plan::default());
    let hidden = with(vec![state(Err("status 403"), true); 2]);
    assert!(hidden.is_empty() && refusals(&hidden).is_empty());
    let note = &hidden.problems[0].message;
    assert!(
        note.contains("2 of the declared") && note.contains("status 403"),
        "{note}"
    );
}

#[test]
fn a_version_that_does_not_fit_is_told_and_stops_only_what_it_blocks() {
    let misfit = Misfit {
        version: 2,
        unreadable: vec!["the field reservation_id is not written".into()],
        unreading: vec!["the field nope is not written".into()],
    };
    for registered in [true, false] {
        let found = SubjectState {
            registered,
            first: false,
            level: Ok("FULL_TRANSITIVE".into()),
            misfits: vec![misfit.clone()],
        };
        let subject = schemas::declared(&declarations()).remove(0);
        let actual = Actual {
            subjects: vec![(subject, found)],
            ..installed()
        };
        let plan = plan_for(&actual, &Settings::default());
        assert!(plan.is_empty());
        let [problem] = &plan.problems[..] else {
            panic!("{:?}", plan.problems)
        };
        assert_eq!(problem.refused, !registered);
        for part in [
            "version 2 of product-reservations-value",
            "handlers cannot read what is written with it (the field reservation_id",
            "it cannot read what the declared schema writes (the field nope",
            "DELETE /subjects/product-reservations-value/versions/2",
        ] {
            assert!(
                problem.message.contains(part),
                "{part}: {}",
                problem.message
            );
        }
    }
}

#[test]
fn changed_handlers_under_the_same_address_are_refused_unless_forced() {
    let mut actual = installed();
    actual.deployment = Deployment::Found {
        uri: "http://h:9080".into(),
        discovered: vec![service(&[("onEvent", Some("Shared"))])],
        registered: Some(Registered {
            id: "dp_1".into(),
            services: actual.services.clone(),
        }),
    };
    let plan = plan_for(&actual, &Settings::default());
    assert!(plan.is_empty());
    assert!(refusals(&plan)[0].contains("ProductReservations/onEvent has other settings"));
    let forced = plan_for(
        &actual,
        &Settings {
            force: true,
            ..Settings::default()
        },
    );
    assert!(matches!(
        &forced.changes[..],
        [Change::RegisterDeployment {
            replaces: true,
            force: true,
            ..
        }]
    ));
    assert!(forced.problems[0].message.contains("is a shared handler"));
}

#[test]
fn going_back_to_an_older_deployment_takes_its_services_back() {
    let mut actual = installed();
    let offered = vec![service(&[("onEvent", Some("Exclusive"))])];
    actual.deployment = Deployment::Found {
        uri: "http://old:9080".into(),
        discovered: offered.clone(),
        registered: Some(Registered {
            id: "dp_1".into(),
            services: offered,
        }),
    };
    assert!(plan_for(&actual, &Settings::default()).is_empty());
    actual.services[0].deployment_id = "dp_2".into();
    actual.deployments = vec![ActualDeployment {
        id: "dp_2".into(),
        uri: Some("http://new:9080".into()),
        created_at: String::new(),
        services: Vec::new(),
    }];
    for force in [false, true] {
        let settings = Settings {
            force,
            ..Settings::default()
        };
        let plan = plan_for(&actual, &settings);
        assert!(refusals(&plan).is_empty());
        let [
            Change::RegisterDeployment {
                uri, force: true, ..
            },
        ] = &plan.changes[..]
        else {
            panic!("{plan}");
        };
        assert_eq!(uri, "http://old:9080");
        let shown = plan.to_string();
        assert!(
            shown.contains("takes back ProductReservations, now served at http://new:9080"),
            "{shown}"
        );
    }
}

#[test]
fn a_sink_that_nobody_offers_is_refused() {
    let mut actual = installed();
    actual.services = vec![service(&[("other", Some("Exclusive"))])];
    assert!(
        refusals(&plan_for(&actual, &Settings::default()))[0]
            .contains("which no deployment offers")
    );
}

#[test]
fn a_cluster_update_never_sends_back_a_redacted_value() {
    let mut actual = installed();
    actual.clusters[0]
        .properties
        .insert("sasl.password".into(), "***".into());
    assert!(plan_for(&actual, &Settings::default()).is_empty());
    actual.clusters[0]
        .properties
        .insert("statistics.interval.ms".into(), "0".into());
    let plan = plan_for(&actual, &Settings::default());
    assert!(plan.is_empty() && refusals(&plan)[0].contains("sasl.password"));
}

#[test]
fn secrets_are_not_printed() {
    let properties = BTreeMap::from([("sasl.password".to_owned(), "pearl".to_owned())]);
    let create = Change::CreateCluster {
        name: "c".into(),
        properties,
    };
    assert!(!create.to_string().contains("pearl"));
    assert!(!serde_json::to_string(&create).unwrap().contains("pearl"));
}

#[test]
fn invocations_are_counted_by_service() {
    let count = |status: &str, count, waited_ms| InvocationCount {
        service: "S".into(),
        status: status.into(),
        count,
        waited_ms: Some(waited_ms),
    };
    let mut all = vec![
        count("paused", 2, 900_000),
        count("running", 1, 800_000),
        count("scheduled", 4, 700_000),
    ];
    let found = status::by_service(all.clone());
    assert_eq!(
        (found[0].waiting, found[0].oldest_waiting_seconds),
        (4, None)
    );
    all.extend([count("pending", 3, 5999), count("ready", 1, -1)]);
    let found = status::by_service(all);
    assert_eq!((found[0].paused, found[0].waiting, found.len()), (2, 8, 1));
    let oldest = found[0].oldest_waiting_seconds;
    assert_eq!(oldest, Some(5), "neither paused nor for another time");
}

proptest! {
    #[test]
    fn lag_is_what_is_still_there_and_not_taken(
        start in 0_i64..1000, length in 0_i64..1000, committed in proptest::option::of(0_i64..3000)
    ) {
        let offsets = PartitionOffsets { partition: 0, start, end: start + length, committed };
        prop_assert!((0..=length).contains(&offsets.lag()));
        prop_assert_eq!(offsets.is_broken(), committed.is_some_and(|at| at > start + length));
        if offsets.is_broken() {
            prop_assert_eq!(offsets.lag(), 0);
        }
    }

    #[test]
    fn a_scan_counts_exactly_the_keys_that_no_handler_takes(keys in proptest::collection::vec(any::<Option<Vec<u8>>>(), 0..50)) {
        let mut scan = Scan::default();
        for key in &keys {
            scan.count(key.as_deref(), "t", 0, 0);
        }
        let usable = keys.iter().flatten().filter(|key| !key.is_empty() && String::from_utf8(key.to_vec()).is_ok());
        prop_assert_eq!(scan.records - scan.empty_keys - scan.undecodable_keys, usable.count() as u64);
    }
}
