use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::codec::{Codec, DecodeError};
use crate::failure;
use millstream_avro::limits::MAX_REFERENCES;

/// What a registry has: schemas by id, and versions 1 of subjects.
#[derive(Default)]
struct Has {
    ids: BTreeMap<u32, Value>,
    subjects: BTreeMap<String, Value>,
    asked: AtomicUsize,
}

fn reference(subject: &str) -> Value {
    json!({"name": subject, "subject": subject, "version": 1})
}

/// A record with a field of each of these types, and references to them.
fn record(name: &str, uses: &[&str]) -> Value {
    let fields: Vec<_> = uses
        .iter()
        .map(|it| json!({"name": it.replace(['.', '/'], "_"), "type": it}))
        .collect();
    let schema = json!({"type": "record", "name": name, "fields": fields});
    let references: Vec<_> = uses.iter().map(|it| reference(it)).collect();
    json!({"schema": schema.to_string(), "references": references, "id": 0, "version": 1})
}

type Answer = (StatusCode, Json<Value>);

fn answer(found: Option<&Value>, code: u32) -> Answer {
    match found {
        Some(found) => (StatusCode::OK, Json(found.clone())),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({"error_code": code, "message": "none"})),
        ),
    }
}

async fn codec(has: Arc<Has>) -> Codec {
    let by_id =
        async |State(has): State<Arc<Has>>, Path(id): Path<u32>| answer(has.ids.get(&id), 40403);
    let version = async |State(has): State<Arc<Has>>,
                         Path((subject, version)): Path<(String, u32)>,
                         RawQuery(query): RawQuery| {
        has.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!((version, query.as_deref()), (1, Some("deleted=true")));
        answer(has.subjects.get(&subject), 40402)
    };
    let router = Router::new()
        .route("/schemas/ids/{id}", get(by_id))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .with_state(has);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    Codec::new(&url, &[]).unwrap()
}

fn has(ids: &[(u32, Value)], subjects: &[(&str, Value)]) -> Arc<Has> {
    Arc::new(Has {
        ids: ids.iter().cloned().collect(),
        subjects: subjects
            .iter()
            .map(|(name, it)| ((*name).to_owned(), it.clone()))
            .collect(),
        asked: AtomicUsize::new(0),
    })
}

#[tokio::test]
async fn what_a_schema_refers_to_is_asked_for_once() {
    // Two ways to one of them, and a subject whose name is no part of a path.
    let has = has(
        &[(1, record("t.Order", &["t.Money", "t.Fee"]))],
        &[
            ("t.Money", record("t.Money", &["t.Currency"])),
            ("t.Fee", record("t.Fee", &["t.Currency"])),
            (
                "t.Currency",
                json!({
                "schema": r#"{"type": "enum", "name": "t.Currency", "symbols": ["EUR"]}"#,
                "references": [{"name": "t.Other", "subject": "a/b?c#d", "version": 1}]}),
            ),
            ("a/b?c#d", record("t.Other", &[])),
        ],
    );
    let codec = codec(Arc::clone(&has)).await;
    for _ in 0..2 {
        let writer = codec.writer(1).await.unwrap();
        assert_eq!(writer.full_names().collect::<Vec<_>>(), ["t.Order"]);
    }
    assert_eq!(
        has.asked.load(Ordering::Relaxed),
        4,
        "each once, and never again"
    );
    let (name, _, json) = crate::kafka::reader::generic(&codec, &[0, 0, 0, 0, 1, 0, 0])
        .await
        .unwrap();
    assert_eq!(
        (name.as_str(), json),
        (
            "t.Order",
            json!({
        "t_Money": {"t_Currency": "EUR"}, "t_Fee": {"t_Currency": "EUR"}})
        )
    );
    // Keys, too.
    let key = codec.key(&[0, 0, 0, 0, 1, 0, 0], "none").await.unwrap_err();
    assert!(key.to_string().contains("no field none"), "{key}");
}

#[tokio::test]
async fn a_reference_that_is_not_there_is_asked_for_again_and_one_that_is_wrong_is_not() {
    let protobuf =
        json!({"schema": "message M {}", "schemaType": "PROTOBUF", "id": 0, "version": 1});
    let has = has(
        &[
            (1, record("t.A", &["t.Missing"])),
            (2, record("t.B", &["t.Protobuf"])),
            (3, record("t.C", &[".."])),
        ],
        &[("t.Protobuf", protobuf)],
    );
    let codec = codec(Arc::clone(&has)).await;
    for (id, expected, says, asked) in [
        (
            1,
            failure::UNKNOWN_SCHEMA,
            "no version 1 of subject t.Missing",
            4,
        ),
        (2, failure::UNDECODABLE, "PROTOBUF", 1),
        (3, failure::UNDECODABLE, "\"..\"", 0),
    ] {
        for _ in 0..2 {
            let Err(DecodeError::Value(failure)) = codec.writer(id).await else {
                panic!("{says}");
            };
            assert_eq!(failure.code, expected);
            assert!(failure.message.contains(says), "{failure}");
        }
        assert_eq!(has.asked.swap(0, Ordering::Relaxed), asked, "{says}");
    }
}

#[tokio::test]
async fn references_are_bounded() {
    // A circle, which no honest registry has, ends where it began.
    let circle = [
        ("t.A", record("t.A", &["t.B"])),
        ("t.B", record("t.B", &["t.A"])),
    ];
    let names: Vec<_> = (0..=MAX_REFERENCES).map(|it| format!("t.R{it}")).collect();
    let chain: Vec<_> = names
        .windows(2)
        .map(|pair| (pair[0].as_str(), record(&pair[0], &[&pair[1]])))
        .collect();
    let long = json!({"schema": format!("\"{}\"", "n".repeat(600_000))});
    let has = has(
        &[
            (1, record("t.Root", &["t.A"])),
            (2, record("t.Root", &["t.R0"])),
            (3, record("t.Root", &["t.Long", "t.Longer"])),
        ],
        &[
            &circle[..],
            &chain,
            &[("t.Long", long.clone()), ("t.Longer", long)],
        ]
        .concat(),
    );
    let codec = codec(Arc::clone(&has)).await;
    let refused = async |id: u32| codec.writer(id).await.unwrap_err().to_string();
    // The types hold one another without an end that a value could reach.
    assert!(codec.writer(1).await.is_ok());
    assert_eq!(has.asked.swap(0, Ordering::Relaxed), 2);
    assert!(refused(2).await.contains("more than 256 schemas"));
    assert!(refused(2).await.contains("more than 256 schemas"));
    assert_eq!(has.asked.swap(0, Ordering::Relaxed), MAX_REFERENCES);
    assert!(refused(3).await.contains("more than 1048576 bytes"));
}
