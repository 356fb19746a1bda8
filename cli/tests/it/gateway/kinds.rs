//! Who may write which kind of topic: every cell of the table in docs/security.md, for every topic.

use std::collections::BTreeMap;
use std::process::Command;

use millstream_pipeline::codec::json::{JsonEncoder, JsonEvent, Meta};
use millstream_pipeline::events::{
    Access, Bytes, Declaration, EventMeta, HttpRoute, Timers, Topic,
    timers::{CancelTimer, SetTimer},
};
use millstream_topics::{Flights, TOPICS};
use reqwest::Method;
use serde_json::{Map, json};

use super::access::Keys;
use super::got;
use super::replica::Replica;
use crate::support::{Bench, endpoints, letter_code, sql, unique, until};

const PAGE: &str = include_str!("../../../../docs/security.md");
const WAYS: [&str; 5] = [
    "its routes",
    "`/v1/topics`",
    "timers from outside",
    "`millstream-gateway`",
    "`millstream-handlers`",
];
/// Micros: the year 2095.
const FAR: i64 = 3_944_678_400_000_000;

/// The cells of the table: by access and by way.
fn table() -> BTreeMap<(&'static str, &'static str), &'static str> {
    let cells = |line: &'static str| -> Vec<&'static str> {
        let line = line.trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(str::trim).collect()
    };
    let mut lines = PAGE
        .lines()
        .skip_while(|line| !line.starts_with("| access |"));
    let head = cells(lines.next().unwrap());
    assert_eq!(head[1..], WAYS);
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let mut table = BTreeMap::new();
    for row in rows.map(cells) {
        for (way, cell) in head.iter().zip(&row).skip(1) {
            table.insert((row[0].trim_matches('`'), *way), *cell);
        }
    }
    table
}

/// What a cell says of a topic.
fn says(access: Access, way: &'static str) -> &'static str {
    table()[&(access.as_str(), way)]
}

/// Topics that have a file: results are not written by anybody but handlers.
fn topics() -> impl Iterator<Item = &'static Declaration> {
    let topics = TOPICS.iter().copied();
    topics.filter(|topic| !topic.is_of_results())
}

#[test]
fn every_kind_has_a_row() {
    let table = table();
    assert_eq!(table.len(), Access::ALL.len() * WAYS.len());
    for access in Access::ALL {
        assert!(topics().any(|topic| topic.access == access), "{access:?}");
        for way in WAYS {
            assert!(
                table.contains_key(&(access.as_str(), way)),
                "{access:?} {way}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    let keys = Keys::new();
    let all = keys.create("all", &["*:*"], &[]);
    let gateway = keys.gateway(&[]).await;
    for topic in topics() {
        let path = format!("/v1/topics/{}/{}", topic.name, unique("key"));
        // Nothing of the kind is declared, so nothing is sent.
        let request = gateway.http.post(&path).bearer_auth(&all);
        let answer = got(request.json(&json!({ "type": "Nothing" }))).await;
        match says(topic.access, "`/v1/topics`") {
            "yes" => answer.problem(400, "invalid-request"),
            "no" => answer.problem(404, "not-found"),
            other => panic!("{other}"),
        };
        for route in topic.http {
            let is_signed = route.signature.is_some();
            match says(topic.access, "its routes") {
                "yes" => assert!(!is_signed, "{}", route.path),
                "signature" => assert!(is_signed, "{}", route.path),
                other => panic!("{other}: {}", route.path),
            }
            let status = asked(&gateway, route, &all).await;
            assert_eq!(status == 401, is_signed, "{}: {status}", route.path);
            assert!(
                ![403, 404, 405].contains(&status),
                "{}: {status}",
                route.path
            );
        }
    }
}

/// The status of a request with a key, in which nothing fits.
async fn asked(gateway: &Replica, route: &HttpRoute, key: &str) -> u16 {
    let path = route.path.replace(['{', '}'], "");
    let method: Method = route.method.parse().unwrap();
    let request = gateway.http.request(method, &path).bearer_auth(key);
    let request = request.header("millstream-expires", "never");
    got(request.body("{")).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn by_timers_from_outside() {
    let bench = Bench::new(endpoints()).await;
    let mut names = Vec::new();
    for topic in topics() {
        // On `replies` there is any result.
        let of = match topic.events {
            [] => Flights::DECLARATION,
            _ => topic,
        };
        let name = unique("timer");
        let set = SetTimer {
            topic: topic.name.into(),
            key: unique("key"),
            value: Bytes(example(of).await),
        };
        let meta = EventMeta {
            not_before: Some(FAR),
            ..bench.client.meta()
        };
        let sent = bench.client.send::<Timers>(&name, set, Some(&meta)).await;
        names.push((topic, name, sent.unwrap()));
    }
    for (topic, name, at) in names {
        match says(topic.access, "timers from outside") {
            "yes" => {
                until(&format!("a timer for {}", topic.name), async || {
                    let entries = sql::state(endpoints(), "Timers", &name).await;
                    let (_, entry) = entries.first()?;
                    (entry["timer"]["topic"] == topic.name).then_some(())
                })
                .await;
                let cancel = bench.client.send::<Timers>(&name, CancelTimer {}, None);
                cancel.await.unwrap();
            }
            "no" => {
                let letter = bench.dead_letter(Timers::DECLARATION.name, at).await;
                assert_eq!(letter_code(&letter), "forbidden", "{}", topic.name);
            }
            other => panic!("{other}"),
        }
    }
}

/// The example of a topic's first event, encoded.
async fn example(topic: &Declaration) -> Vec<u8> {
    let event = &topic.events[0];
    let registry = &endpoints().schema_registry;
    let mut encoder = JsonEncoder::new(registry, topic.name, TOPICS).unwrap();
    let event = JsonEvent {
        key: "key".into(),
        name: Some(event.full_name.into()),
        data: serde_json::from_str((event.schema)().example).unwrap(),
        meta: Map::new(),
    };
    let record = encoder.encode(event, &Meta::Absent).await.unwrap();
    record.value.unwrap()
}

#[test]
fn by_rights_in_kafka() {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .arg("acls")
        .output()
        .unwrap();
    let commands = String::from_utf8(output.stdout).unwrap();
    let may_write = |user: &str, topic: &str| {
        let (user, topic) = (format!("'User:{user}'"), format!("--topic '{topic}'"));
        let mut lines = commands.lines();
        lines.any(|line| {
            line.contains(&user) && line.contains("--operation Write") && line.contains(&topic)
        })
    };
    for topic in topics() {
        for (way, user) in [
            ("`millstream-gateway`", "millstream-gateway"),
            ("`millstream-handlers`", "millstream-handlers"),
        ] {
            let expected = match says(topic.access, way) {
                "yes" => true,
                "no" => false,
                "routes" => !topic.http.is_empty(),
                "handled" => !topic.subscriptions.is_empty() || topic.is_of_states(),
                other => panic!("{other}"),
            };
            assert_eq!(
                may_write(user, topic.name),
                expected,
                "{user} {}",
                topic.name
            );
        }
        for derived in [format!("{}-results", topic.name), topic.dead_letter_topic()] {
            assert!(!may_write("millstream-gateway", &derived), "{derived}");
        }
    }
}
