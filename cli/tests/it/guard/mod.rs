//! The guard: what it lets through, what it keeps, and that nothing is lost or doubled when relays
//! are killed.

mod faults;
mod support;

use std::ops::ControlFlow;

use millstream::shutdown;
use millstream_control::Unmarked;
use millstream_control::dead_letters::{Action, DeadLetter, DeadLetters, Filter};
use millstream_guard::{Settings, headers, run};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, RequestFailed, Subscription, dlq_status::Mark};
use millstream_pipeline::observe::metrics::metrics;
use millstream_schemas::user_updates::UserUpdate;
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, client, endpoints, unique, until};
use support::{Foreign, Process};

/// Key, value and the code that it is refused with.
type Bad = (Option<&'static [u8]>, Option<Vec<u8>>, &'static str);

/// The guard of a test, stopped at its end.
struct Guard(CancellationToken, tokio::task::JoinHandle<()>);

impl Guard {
    fn start(foreign: &Foreign) -> Self {
        Self::start_with(foreign, endpoints().clone())
    }

    fn start_with(foreign: &Foreign, endpoints: Endpoints) -> Self {
        let stop = CancellationToken::new();
        let (declaration, token) = (foreign.declaration, stop.clone());
        let task = tokio::spawn(async move {
            run(&endpoints, &[declaration], &Settings::default(), token)
                .await
                .unwrap();
        });
        Self(stop, task)
    }

    async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap();
    }
}

/// Not a test: the guard as a process that can be killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by other tests"]
async fn relay_process() {
    if let Some((endpoints, declaration, instance)) = Process::task() {
        let settings = Settings {
            instance,
            ..Settings::default()
        };
        // As `millstream guard` does: no topic of the catalogue is guarded.
        let stop = shutdown::on_signal().unwrap();
        run(&endpoints, &[declaration], &settings, stop)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_records_come_through_as_they_were_and_bad_ones_are_kept() {
    let foreign = Foreign::apply(None, &[]).await;
    let mut bad: Vec<Bad> = Vec::new();
    let good = foreign.value("r").await;
    let bench = crate::support::Bench::new(endpoints()).await;
    let deep = crate::hostile::deep(&bench).await;
    bad.push((Some(b"deep"), Some(deep), "undecodable"));
    bad.push((Some(&[b'k'; 7_000]), Some(good.clone()), "invalid-key"));
    bad.push((None, Some(good.clone()), "invalid-key"));
    bad.push((Some(b""), Some(good.clone()), "invalid-key"));
    bad.push((Some(b"\xc3\x28"), Some(good.clone()), "invalid-key"));
    bad.push((
        Some(b"\0\0\0\0\x01\x02k"),
        Some(good.clone()),
        "invalid-key",
    ));
    bad.push((Some(b"k"), None, "undecodable"));
    bad.push((Some(b"k"), Some(b"{}".to_vec()), "undecodable"));
    let truncated = good[..good.len() - 2].to_vec();
    bad.push((Some(b"k"), Some(truncated), "undecodable"));
    let unknown_id = [&[0, 0x7f, 0xff, 0xff, 0xff], &good[5..]].concat();
    bad.push((Some(b"k"), Some(unknown_id), "unknown-schema"));
    let other = foreign.value_of(&UserUpdate::default(), None).await;
    bad.push((Some(b"k"), Some(other), "unknown-type"));

    for (number, (key, value, _)) in bad.iter().enumerate() {
        foreign.send(*key, value.clone()).await;
        let value = foreign.value(&format!("{number}")).await;
        foreign.send(Some(b"good"), Some(value)).await;
    }
    let guard = Guard::start(&foreign);
    foreign.guarded_count(bad.len()).await;
    foreign.letter_count(bad.len()).await;
    guard.stop().await;

    let (originals, guarded) = (foreign.foreign().await, foreign.guarded().await);
    let wanted: Vec<_> = originals
        .iter()
        .filter(|seen| seen.key.as_deref() == Some("good"))
        .collect();
    assert_eq!(guarded.len(), wanted.len());
    for (seen, original) in guarded.iter().zip(wanted) {
        assert_eq!(
            (&seen.raw_key, &seen.value, seen.timestamp),
            (&original.raw_key, &original.value, original.timestamp)
        );
        let (own, added) = seen.raw_headers.split_at(original.raw_headers.len());
        assert_eq!(own, original.raw_headers);
        let text = |text: String| Some(text.into());
        assert_eq!(
            added,
            [
                (headers::TOPIC.into(), text(original.topic.clone())),
                (
                    headers::PARTITION.into(),
                    text(original.partition.to_string())
                ),
                (headers::OFFSET.into(), text(original.offset.to_string())),
            ]
        );
    }

    let letters = foreign.letters().await;
    assert_eq!(letters.len(), bad.len());
    for (key, value, code) in bad {
        let kept = |raw: &Option<Vec<u8>>| raw.as_deref() == key;
        let letter = letters
            .iter()
            .find(|seen| kept(&seen.raw_key) && seen.value == value)
            .unwrap_or_else(|| panic!("{code}: key and value are kept as they were"));
        assert_eq!(
            letter.header("__connect.errors.exception.class.name"),
            Some(code)
        );
        assert_eq!(
            letter.header("__connect.errors.connector.name"),
            Some("guard")
        );
        assert_eq!(
            letter.header("__connect.errors.topic"),
            Some(foreign.declaration.name)
        );
        assert_eq!(
            letter.raw_headers[0],
            ("own".into(), Some(b"\xffheader"[..].into()))
        );
    }
}

/// As a Debezium source has them. The key of a null value is not looked at.
#[tokio::test(flavor = "multi_thread")]
async fn null_values_are_passed_over_where_the_topic_says_so() {
    let foreign = Foreign::with_tombstones().await;
    let key = |text: &[u8]| [&[0, 0, 0, 0, 0], text].concat();
    foreign.send(Some(&key(b"k")), None).await;
    foreign.send(None, None).await;
    // No bytes are no null.
    foreign.send(Some(b"last"), Some(Vec::new())).await;
    let guard = Guard::start(&foreign);
    let letters = foreign.letter_count(1).await;
    let code = letters[0].header("__connect.errors.exception.class.name");
    assert_eq!((letters.len(), code), (1, Some("invalid-key")));
    let passed_over = metrics()
        .guard_records
        .with_label_values(&[foreign.declaration.name, "tombstone"]);
    until("what was passed over is counted", async || {
        (passed_over.get() == 2).then_some(())
    })
    .await;
    guard.stop().await;
    assert_eq!(foreign.guarded().await.len(), 0);
    assert_eq!(foreign.letters().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_avro_becomes_its_declared_field() {
    let foreign = Foreign::apply(Some("id"), &[]).await;
    let record = serde_json::json!({"type": "record", "name": "Key", "fields": [
        {"name": "tenant", "type": "string"}, {"name": "id", "type": "long"}]});
    let mut ids = Vec::new();
    for (subject, schema) in [
        ("record", record.to_string()),
        ("text", r#""string""#.into()),
    ] {
        let url = format!(
            "{}/subjects/{}-{subject}-key/versions",
            endpoints().schema_registry,
            foreign.declaration.name
        );
        let body = serde_json::json!({ "schema": schema });
        let answer = millstream_pipeline::http::client()
            .post(url)
            .json(&body)
            .send()
            .await;
        let answer: serde_json::Value = answer.unwrap().json().await.unwrap();
        ids.push(u32::try_from(answer["id"].as_u64().unwrap()).unwrap());
    }
    let key = |id: u32, body: &[u8]| [&[0], &id.to_be_bytes()[..], body].concat();
    let good = foreign.value("r").await;
    // Avro: a string is its length, doubled, and its bytes; 7 is 14.
    let keys = [key(ids[0], b"\x02t\x0e"), key(ids[1], b"\x06abc")];
    for key in &keys {
        foreign.send(Some(key), Some(good.clone())).await;
    }
    for bad in [
        &b"text"[..],
        &key(ids[0], b"\x02t"),
        &key(ids[1], b"\0"),
        &key(0x7fff_ffff, b""),
    ] {
        foreign.send(Some(bad), Some(good.clone())).await;
    }
    let guard = Guard::start(&foreign);
    let letters = foreign.letter_count(4).await;
    let mut guarded = foreign.guarded_count(2).await;
    guard.stop().await;
    assert_eq!((guarded.len(), letters.len()), (2, 4));
    assert!(letters.iter().all(|letter| {
        letter.header("__connect.errors.exception.class.name") == Some("invalid-key")
    }));
    guarded.sort_by(|a, b| a.key.cmp(&b.key));
    let found: Vec<_> = guarded.iter().map(|seen| seen.key.as_deref()).collect();
    assert_eq!(found, [Some("7"), Some("abc")]);
    let before: Vec<_> = guarded
        .iter()
        .map(|seen| seen.raw_headers.last().unwrap().clone())
        .collect();
    assert_eq!(
        before,
        keys.map(|key| (headers::KEY.into(), Some(key.into())))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_registry_the_guard_waits() {
    let foreign = Foreign::apply(None, &[]).await;
    foreign
        .send(Some(b"k"), Some(foreign.value("r").await))
        .await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let schema_registry = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let cut_off = Endpoints {
        schema_registry,
        ..endpoints().clone()
    };
    let guard = Guard::start_with(&foreign, cut_off);
    let waits = || {
        metrics()
            .retries
            .with_label_values(&[foreign.declaration.name])
            .get()
    };
    until("the guard to ask again", async || {
        (waits() > 2).then_some(())
    })
    .await;
    assert!(foreign.guarded().await.is_empty() && foreign.letters().await.is_empty());
    // It stops although it waits, and the next one finds the record where it was.
    guard.stop().await;
    let guard = Guard::start(&foreign);
    assert_eq!(foreign.guarded_count(1).await.len(), 1);
    guard.stop().await;
    assert!(foreign.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_does_not_stop_the_subscription_behind_the_guard() {
    let client = client().await;
    let to = &[Subscription {
        service: "ProductReservations",
        handler: "onEvent",
    }];
    let foreign = Foreign::apply(None, to).await;
    let guard = Guard::start(&foreign);
    let product = unique("product");
    foreign
        .send(Some(b"\xff"), Some(foreign.value("r1").await))
        .await;
    let (partition, offset) = foreign
        .send(Some(product.as_bytes()), Some(foreign.value("r1").await))
        .await;
    let answer = client
        .wait_for("the answer", LIMIT, |seen| {
            seen.topic == "product-reservations-results" && seen.key.as_ref() == Some(&product)
        })
        .await
        .unwrap();
    assert_eq!(
        answer
            .full_name
            .as_deref()
            .and_then(|name| name.rsplit('.').next()),
        Some("ProductReserved")
    );
    let origin = foreign.guarded().await;
    assert_eq!(
        support::origins(&origin),
        [(partition, vec![offset])].into()
    );

    // A command that can be answered is: by its handler, which keeps it too.
    let meta = EventMeta {
        id: unique("event"),
        ..client.meta()
    };
    let value = foreign.value_of(&UserUpdate::default(), Some(&meta)).await;
    foreign.send(Some(product.as_bytes()), Some(value)).await;
    let failed = client.result_of(&meta, LIMIT).await.unwrap();
    assert_eq!(
        failed.event::<RequestFailed>().unwrap().code,
        "unknown-type"
    );
    guard.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_lag_and_of_letters_that_nobody_has_dealt_with() {
    let foreign = Foreign::apply(None, &[]).await;
    let good = foreign.value("r").await;
    for key in [&b"\xff1"[..], b"\xff2", b"\xff3", b"good"] {
        foreign.send(Some(key), Some(good.clone())).await;
    }
    let look = async || {
        let settings = millstream_control::Settings::default();
        let status =
            millstream_control::status(&[foreign.declaration], endpoints(), &settings).await;
        let status = status.unwrap();
        (status.guards[0].lag, status.topics[0].unmarked)
    };
    let unmarked = |count| {
        Some(Unmarked {
            count,
            at_least: false,
        })
    };
    // A machine that is busy does not tell of the letters in time.
    let shows = async |expected| {
        until("what status tells", async || {
            (look().await == expected).then_some(())
        })
        .await;
    };
    shows((Some(4), unmarked(0))).await;
    let guard = Guard::start(&foreign);
    foreign.letter_count(3).await;
    foreign.guarded_count(1).await;
    guard.stop().await;
    shows((Some(0), unmarked(3))).await;

    let letters = DeadLetters::new(endpoints(), &[foreign.declaration], &unique("test")).unwrap();
    let filter = Filter {
        topics: vec![foreign.declaration.name.into()],
        ..Filter::default()
    };
    let mut ids = Vec::new();
    // One by one, and no more than are wanted.
    let take_two = |letter: DeadLetter| {
        ids.push(letter.id);
        match ids.len() {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    letters.each(&filter, take_two).await.unwrap();
    assert_eq!(ids.len(), 2);
    let these = Filter { ids, ..filter };
    let action = Action::default();
    letters.mark(&these, Mark::Handled, &action).await.unwrap();
    assert_eq!(look().await, (Some(0), unmarked(1)));
}
