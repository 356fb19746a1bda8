//! The command itself: data on standard output, all else on standard error, exit statuses.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::command::{Ran, millstream, millstream_on};
use crate::support::{LIMIT, OwnStack, client, endpoints, stack_folder, unique, until};

/// The verbs that `--help` lists.
async fn verbs() -> Vec<String> {
    let help = millstream(&["--help"]).await;
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    let lines = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_explains_itself() {
    let verbs = verbs().await;
    for expected in [
        "demo", "dev", "serve", "identity", "acls", "registry", "plan", "apply", "status",
        "produce", "tail", "doctor",
    ] {
        assert!(
            verbs.iter().any(|verb| verb == expected),
            "{expected}: {verbs:?}"
        );
    }
    for verb in &verbs {
        let help = millstream(&[verb, "--help"]).await;
        assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{verb}");
        assert!(help.stdout.contains("Usage:"), "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_end_with_two() {
    for arguments in [
        &["no-such-verb"][..],
        &["tail"],
        &["produce"],
        &["status", "--no-such-flag"],
        &["apply", "--prune-topics"],
        &["plan", "--kafka-option", "no-value"],
        &["serve", "--listen", "nowhere"],
    ] {
        let ran = millstream(arguments).await;
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (2, ""),
            "{arguments:?}: {ran:?}"
        );
        assert!(!ran.stderr.is_empty());
    }
}

/// A project's schemas become the next version of those that do not change again, and what does not go
/// together with an older version is told before it is built.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_checked_and_released() {
    let folder = tempfile::tempdir().unwrap();
    let (schemas, topics) = (folder.path().join("schemas"), folder.path().join("topics"));
    let run = async |verb: &str| {
        let (schemas, topics) = (schemas.to_str().unwrap(), topics.to_str().unwrap());
        millstream(&[verb, "--schemas", schemas, "--topics", topics]).await
    };
    let nowhere = run("check").await;
    assert_eq!(nowhere.status, 1, "{nowhere:?}");
    assert!(nowhere.stderr.contains("there is no folder"), "{nowhere:?}");

    std::fs::create_dir_all(schemas.join("examples")).unwrap();
    std::fs::create_dir(&topics).unwrap();
    let write = |kind: &str| {
        let schema = json!({
            "type": "record", "namespace": "acme.parcels", "name": "ParcelLost", "doc": "Parcels are lost.", "fields": [
                {"name": "count", "type": kind, "doc": "How many."},
                {"name": "meta", "type": ["null", "millstream.EventMeta"], "default": null},
            ],
        });
        let file = schemas.join("acme.parcels.ParcelLost.avsc");
        std::fs::write(file, schema.to_string()).unwrap();
    };
    write("long");
    let example = schemas.join("examples/acme.parcels.ParcelLost.json");
    std::fs::write(example, r#"{"count": 1}"#).unwrap();
    let topic = "description = \"Parcels that are lost.\"\nkey = \"parcel id\"\naccess = \"public\"\nsubjects = \"topic\"\n\
                 [[events]]\nname = \"acme.parcels.ParcelLost\"\n";
    std::fs::write(topics.join("parcels.toml"), topic).unwrap();
    let unreleased = run("check").await;
    assert_eq!((unreleased.status, &*unreleased.stderr), (1, ""));
    assert!(
        unreleased.stdout.contains("run `millstream release`"),
        "{unreleased:?}"
    );

    let released = run("release").await;
    let written = "history/acme.parcels.ParcelLost/1.avsc\n";
    assert_eq!(
        (released.status, &*released.stdout),
        (0, written),
        "{released:?}"
    );
    let right = run("check").await;
    assert_eq!(right.status, 0, "{right:?}");

    write("string");
    for verb in ["check", "release"] {
        let refused = run(verb).await;
        assert_eq!(refused.status, 1, "{refused:?}");
        assert!(
            refused
                .stdout
                .contains("its version 1 cannot read each other"),
            "{refused:?}"
        );
    }
}

/// The events with this key on a topic.
async fn tail(topic: &str, key: &str) -> Vec<Value> {
    let arguments = [
        "tail",
        topic,
        "--from-beginning",
        "--until-end",
        "--key",
        key,
    ];
    let ran = millstream_on(endpoints(), &arguments, "").await;
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    ran.json_lines()
}

async fn produce(topic: &str, input: &str) -> Ran {
    millstream_on(endpoints(), &["produce", topic], input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tail_prints_can_be_produced_again() {
    let package = unique("package");
    let event = |n: i32| {
        json!({
            "key": package,
            "type": "LocationUpdate",
            "data": { "timestamp": format!("2024-10-10 1{n}:00"), "location": format!("Stop {n}, \u{fc}") },
        })
    };
    let input: String = (0..3).map(|n| format!("{}\n", event(n))).collect();
    let produced = produce("package-location-updates", &input).await;
    assert_eq!(
        (produced.status, produced.stdout.as_str()),
        (0, ""),
        "{produced:?}"
    );
    assert!(produced.stderr.contains("3 events"));

    let first = tail("package-location-updates", &package).await;
    assert_eq!(first.len(), 3);
    for (seen, n) in first.iter().zip(0..) {
        assert_eq!(seen["data"], event(n)["data"]);
        assert_eq!(
            seen["type"],
            "millstream.package_location_updates.LocationUpdate"
        );
        assert_eq!(seen["meta"]["source"], "millstream");
    }

    let again: String = first.iter().map(|seen| format!("{seen}\n")).collect();
    assert_eq!(produce("package-location-updates", &again).await.status, 0);
    let both = tail("package-location-updates", &package).await;
    assert_eq!(both.len(), 6);
    for (copy, original) in both[3..].iter().zip(&first) {
        assert_eq!(
            copy["meta"], original["meta"],
            "the same event, its id included"
        );
        assert_eq!(copy["data"], original["data"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_event_is_named() {
    let good = r#"{"key":"k","data":{"timestamp":"t","location":"l"}}"#;
    for (input, expected) in [
        (format!("{good}\nnonsense\n"), "line 2"),
        (
            r#"{"key":"","data":{"timestamp":"t","location":"l"}}"#.into(),
            "the key is empty",
        ),
        (
            r#"{"key":"k","data":{"timestamp":7}}"#.into(),
            "does not fit the schema",
        ),
        (
            r#"{"key":"k","type":"NoSuchEvent","data":{}}"#.into(),
            "LocationUpdate",
        ),
        (
            r#"{"key":"k","data":{"timestamp":"t","locatoin":"l"},"meta":{"idempotncy_key":"i"},"dta":1}"#
                .into(),
            "`dta` is no member of a line, which has key, type, data and meta; `data.location` is \
             missing; `data.locatoin` is not a field; `meta.idempotncy_key` is not a field",
        ),
    ] {
        let ran = produce("package-location-updates", &input).await;
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (1, ""),
            "{input}: {ran:?}"
        );
        assert!(ran.stderr.contains(expected), "{input}: {}", ran.stderr);
        let before = if input.starts_with(good) { 1 } else { 0 };
        assert!(
            ran.stderr.contains(&format!("{before} event")),
            "{}",
            ran.stderr
        );
    }
    let ran = produce("no-such-topic", good).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("no-such-topic"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_for_scripts_too() {
    let ran = millstream_on(endpoints(), &["status", "--json"], "").await;
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    let status = ran.json();
    let find = |list: &str| {
        let rows = status[list].as_array().unwrap();
        rows.iter()
            .find(|row| row["topic"] == "product-reservations")
            .unwrap()
            .clone()
    };
    let topic = find("topics");
    assert_eq!(topic["partitions"], 8);
    assert!(
        topic["records"].is_u64() && topic["results"].is_u64() && topic["dead_letters"].is_u64()
    );
    let subscription = find("subscriptions");
    assert_eq!(subscription["handler"], "ProductReservations/onEvent");
    assert!(subscription["id"].as_str().unwrap().starts_with("sub_"));
    assert_eq!(subscription["broken"], false);

    let table = millstream_on(endpoints(), &["status"], "").await;
    assert_eq!((table.status, table.stderr.as_str()), (0, ""));
    assert!(table.stdout.contains("product-reservations"));
    assert!(!table.stdout.contains('\u{1b}'), "no colours in a pipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_by_its_exit_status() {
    // On the shared stack others end handlers, which the doctor is right to report.
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let healthy = until("a healthy stack", async || {
        let told = millstream_on(&endpoints, &["doctor", "--json"], "").await;
        (told.json()["healthy"] == true).then_some(told)
    })
    .await;
    assert_eq!((healthy.status, healthy.stderr.as_str()), (0, ""));
    drop(stack);

    let nowhere = millstream_pipeline::config::Endpoints {
        kafka: "127.0.0.1:1".into(),
        schema_registry: "http://127.0.0.1:1".into(),
        restate_admin: "http://127.0.0.1:1".into(),
        ..endpoints
    };
    let begun = std::time::Instant::now();
    let ill = millstream_on(&nowhere, &["doctor", "--json"], "").await;
    assert_eq!(ill.status, 1, "{ill:?}");
    // Three seconds, and what a busy machine adds.
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    assert_eq!(ill.json()["healthy"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_before_the_input_ends() {
    let client = client().await;
    let product = unique("product");
    let mut produce = tokio::process::Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["produce", "product-reservations"])
        .args(["--kafka", &endpoints().kafka])
        .args(["--schema-registry", &endpoints().schema_registry])
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = json!({ "key": product, "data": { "reservation_id": "r1" } });
    let mut stdin = produce.stdin.take().unwrap();
    stdin
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    client
        .wait_for("the result", LIMIT, |seen| {
            seen.key.as_ref() == Some(&product)
        })
        .await
        .unwrap();
    drop(stdin);
    assert!(produce.wait().await.unwrap().success());
}

/// What a program does not know of is not empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_declared_is_told_from_an_empty_one() {
    for arguments in [
        &["dlq", "list", "--topic", "nowhere"][..],
        &["dlq", "list", "--topic", "tasks", "--topic", "nowhere"],
        &["dlq", "show", "nowhere/0/1"],
        &["dlq", "discard", "--topic", "nowhere"],
        &["subscriptions", "pause", "nowhere"],
        &["produce", "nowhere"],
    ] {
        let ran = millstream_on(endpoints(), arguments, "").await;
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{ran:?}");
        let told = "nowhere is not declared in millstream, which knows nothing of it";
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
    let without_letters = ["dlq", "list", "--topic", "dlq-status"];
    let ran = millstream_on(endpoints(), &without_letters, "").await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("keeps no dead letters"), "{ran:?}");
    for arguments in [
        &["tail", "nowhere", "--from-beginning"][..],
        &["doctor", "--scan", "nowhere"],
    ] {
        let ran = millstream_on(endpoints(), arguments, "").await;
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(ran.stderr.contains("nowhere"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_that_looks_at_an_installation_takes_the_folder_of_its_stack() {
    endpoints();
    let folder = stack_folder();
    let folder = folder.to_str().unwrap();
    for arguments in [
        &["status", "--json"][..],
        &["plan", "--json"],
        &["dlq", "list", "--topic", "tasks"],
        &["produce", "tasks"],
        &["tail", "tasks", "--from-beginning", "--until-end"],
    ] {
        let ran = millstream(&[arguments, &["--folder", folder]].concat()).await;
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    for verb in verbs().await {
        let help = millstream(&[&verb, "--help"]).await.stdout;
        if help.contains("--restate-admin") {
            assert!(help.contains("--folder"), "{verb}");
        }
    }
    let empty = tempfile::tempdir().unwrap();
    let ran = millstream(&["status", "--folder", empty.path().to_str().unwrap()]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("no dev stack runs in"), "{ran:?}");
}
