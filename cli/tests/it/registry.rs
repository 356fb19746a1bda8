//! The schema registry as its clients see it: API, log, take-over. Tests share a registry, so
//! their subjects are unique.

mod api;
mod contract;
mod http;
mod log;

use serde_json::{Value, json};

use crate::support::endpoints;
use api::{Api, record, unique};

#[tokio::test(flavor = "multi_thread")]
async fn one_text_has_one_id() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let (one, other) = (unique("one"), unique("other"));
    let schema = record(&one, "");
    let (status, first) = api.register(&one, &schema).await;
    assert_eq!(status, 200, "{first}");
    let id = first["id"].as_i64().unwrap();
    let pretty =
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&schema).unwrap()).unwrap();
    assert_eq!(
        api.register(&one, &pretty).await,
        (200, json!({ "id": id })),
        "white space"
    );
    assert_eq!(
        api.register(&other, &schema).await,
        (200, json!({ "id": id })),
        "another subject"
    );

    let version = json!({ "subject": one, "version": 1, "id": id, "schema": schema });
    let lookup = api
        .post(&format!("/subjects/{one}"), json!({ "schema": pretty }))
        .await;
    assert_eq!(lookup, (200, version.clone()));
    for name in ["1", "latest", "-1"] {
        assert_eq!(
            api.get(&format!("/subjects/{one}/versions/{name}")).await,
            (200, version.clone())
        );
    }
    let text: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(
        api.get(&format!("/subjects/{one}/versions/1/schema")).await,
        (200, text.clone())
    );
    assert_eq!(
        api.get(&format!("/schemas/ids/{id}/schema")).await,
        (200, text)
    );
    assert_eq!(
        api.get(&format!("/schemas/ids/{id}")).await,
        (200, json!({ "schema": schema }))
    );
    let mut subjects = [one.clone(), other.clone()];
    subjects.sort();
    assert_eq!(
        api.get(&format!("/schemas/ids/{id}/subjects")).await,
        (200, json!(subjects))
    );
    let listed = api.get(&format!("/subjects?subjectPrefix={one}")).await;
    assert_eq!(listed, (200, json!([one])));
    let (_, max) = api.get(&format!("/schemas/ids/{id}?fetchMaxId=true")).await;
    assert!(max["maxId"].as_i64().unwrap() >= id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_routes_answer() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    assert_eq!(api.get("/").await, (200, json!({})));
    assert_eq!(api.get("/health").await.0, 200);
    assert_eq!(api.get("/schemas/types").await, (200, json!(["AVRO"])));
    assert_eq!(api.get("/contexts").await, (200, json!(["."])));
    assert_eq!(Api::code(api.get("/no/such/route").await), 404);
    assert_eq!(Api::code(api.put("/subjects", json!({})).await), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_confluents_codes() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let subject = unique("errors");
    let versions = format!("/subjects/{subject}/versions");
    assert_eq!(Api::code(api.get(&versions).await), 40401);
    assert_eq!(Api::code(api.get(&format!("{versions}/1")).await), 40401);
    api.register(&subject, &record(&subject, "")).await;
    assert_eq!(Api::code(api.get(&format!("{versions}/2")).await), 40402);
    assert_eq!(Api::code(api.get(&format!("{versions}/0")).await), 42202);
    assert_eq!(Api::code(api.get("/schemas/ids/2147483647").await), 40403);
    let unknown = json!({ "schema": record(&unique("unknown"), "") });
    assert_eq!(
        Api::code(api.post(&format!("/subjects/{subject}"), unknown).await),
        40403
    );
    assert_eq!(
        Api::code(api.register(&subject, r#"{"type":"nonsense"}"#).await),
        42201
    );
    assert_eq!(
        Api::code(
            api.post(&versions, json!({ "schema": "x", "schemaType": "JSON" }))
                .await
        ),
        42201
    );
    assert_eq!(Api::code(api.post(&versions, json!([])).await), 400);
    assert_eq!(
        Api::code(api.get(&format!("/config/{subject}")).await),
        40408
    );
    assert_eq!(Api::code(api.get(&format!("/mode/{subject}")).await), 40409);
    let level = json!({ "compatibility": "SOME" });
    assert_eq!(
        Api::code(api.put(&format!("/config/{subject}"), level).await),
        42203
    );
    assert_eq!(
        Api::code(
            api.put(&format!("/mode/{subject}"), json!({ "mode": "SOME" }))
                .await
        ),
        42204
    );
    let named = json!({ "schema": "\"int\"", "id": 77, "version": 5 });
    assert_eq!(Api::code(api.post(&versions, named).await), 42205);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let subject = unique("fit");
    api.register(&subject, &record(&subject, "")).await;
    let bad = record(&subject, r#",{"name":"b","type":"string"}"#);
    let (status, body) = api.register(&subject, &bad).await;
    assert_eq!((status, &body["error_code"]), (409, &json!(409)));
    let message = body["message"].as_str().unwrap();
    assert!(
        message.contains("READER_FIELD_MISSING_DEFAULT_VALUE")
            && message.contains("oldSchemaVersion: 1")
    );
    let check = format!("/compatibility/subjects/{subject}/versions/latest?verbose=true");
    let (_, verdict) = api.post(&check, json!({ "schema": bad })).await;
    assert_eq!(verdict["is_compatible"], json!(false));
    assert!(!verdict["messages"].as_array().unwrap().is_empty());
    let check = format!("/compatibility/subjects/{subject}/versions");
    let verdict = api.post(&check, json!({ "schema": bad })).await;
    assert_eq!(verdict, (200, json!({ "is_compatible": false })));

    // Python's clients write True.
    let set = api
        .put(
            &format!("/config/{subject}"),
            json!({ "compatibility": "FORWARD_TRANSITIVE" }),
        )
        .await;
    assert_eq!(set, (200, json!({ "compatibility": "FORWARD_TRANSITIVE" })));
    let shown = api
        .get(&format!("/config/{subject}?defaultToGlobal=True"))
        .await;
    assert_eq!(
        shown,
        (200, json!({ "compatibilityLevel": "FORWARD_TRANSITIVE" }))
    );
    assert_eq!(api.register(&subject, &bad).await.0, 200);
    assert_eq!(api.delete(&format!("/config/{subject}")).await.0, 200);
    assert_eq!(
        Api::code(api.get(&format!("/config/{subject}")).await),
        40408
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_is_soft_then_permanent() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let subject = unique("deleted");
    let path = format!("/subjects/{subject}");
    let id = api.register(&subject, &record(&subject, "")).await.1["id"].clone();
    api.register(
        &subject,
        &record(&subject, r#",{"name":"b","type":"int","default":0}"#),
    )
    .await;
    assert_eq!(
        Api::code(
            api.delete(&format!("{path}/versions/1?permanent=true"))
                .await
        ),
        40407
    );
    assert_eq!(
        api.delete(&format!("{path}/versions/1")).await,
        (200, json!(1))
    );
    assert_eq!(
        Api::code(api.delete(&format!("{path}/versions/1")).await),
        40406
    );
    assert_eq!(
        api.get(&format!("{path}/versions")).await,
        (200, json!([2]))
    );
    assert_eq!(
        api.get(&format!("{path}/versions?deleted=true")).await,
        (200, json!([1, 2]))
    );
    assert_eq!(
        api.get(&format!("/schemas/ids/{id}")).await.0,
        200,
        "consumers still read with it"
    );
    assert_eq!(
        Api::code(api.delete(&format!("{path}?permanent=true")).await),
        40405
    );
    assert_eq!(api.delete(&path).await, (200, json!([2])));
    assert_eq!(Api::code(api.delete(&path).await), 40404);
    assert_eq!(
        api.delete(&format!("{path}?permanent=true")).await,
        (200, json!([1, 2]))
    );
    assert_eq!(Api::code(api.delete(&path).await), 40401);
    assert_eq!(
        Api::code(api.get(&format!("/schemas/ids/{id}")).await),
        40403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_subject_is_not_written() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let subject = unique("mode");
    api.register(&subject, &record(&subject, "")).await;
    let set = api
        .put(&format!("/mode/{subject}"), json!({ "mode": "READONLY" }))
        .await;
    assert_eq!(set, (200, json!({ "mode": "READONLY" })));
    let other = record(&subject, r#",{"name":"b","type":"int","default":0}"#);
    assert_eq!(Api::code(api.register(&subject, &other).await), 42205);
    assert_eq!(
        Api::code(api.delete(&format!("/subjects/{subject}")).await),
        42205
    );
    assert_eq!(
        api.register(&subject, &record(&subject, "")).await.0,
        200,
        "it is there already"
    );
    assert_eq!(
        api.delete(&format!("/mode/{subject}")).await,
        (200, json!({ "mode": "READONLY" }))
    );
    assert_eq!(api.register(&subject, &other).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_come_percent_encoded() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let name = unique("ns/a b:ü");
    let encoded = name
        .replace('/', "%2F")
        .replace(' ', "%20")
        .replace('ü', "%C3%BC");
    assert_eq!(api.register(&encoded, "\"string\"").await.0, 200);
    assert_eq!(
        api.get(&format!("/subjects/{encoded}/versions/1")).await.1["subject"],
        json!(name)
    );
    assert_eq!(
        api.delete(&format!("/subjects/{encoded}")).await,
        (200, json!([1]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_followed() {
    let base = &endpoints().schema_registry;
    let api = Api::new(base);
    let (item, order) = (unique("item"), unique("order"));
    let name = format!("n.I{}", item.replace('-', "_"));
    let schema = format!(r#"{{"type":"record","name":"{name}","fields":[]}}"#);
    api.register(&item, &schema).await;
    let outer = record(&order, &format!(r#",{{"name":"item","type":"{name}"}}"#));
    let body =
        json!({ "schema": outer, "references": [{ "name": name, "subject": item, "version": 1 }] });
    assert_eq!(Api::code(api.register(&order, &outer).await), 42201);
    let (status, answer) = api
        .post(&format!("/subjects/{order}/versions"), body.clone())
        .await;
    assert_eq!(status, 200, "{answer}");
    let used_by = api
        .get(&format!("/subjects/{item}/versions/1/referencedby"))
        .await;
    assert_eq!(used_by, (200, json!([answer["id"]])));
    let (_, shown) = api.get(&format!("/schemas/ids/{}", answer["id"])).await;
    assert_eq!(shown["references"], body["references"]);
    assert_eq!(
        Api::code(api.delete(&format!("/subjects/{item}")).await),
        42206
    );
}

/// The client that the pipeline itself uses, as a stranger would.
#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_encodes_and_decodes() {
    let base = &endpoints().schema_registry;
    use apache_avro::types::Value as Avro;
    use schema_registry_converter::async_impl::avro::{AvroDecoder, AvroEncoder};
    use schema_registry_converter::async_impl::schema_registry::SrSettings;
    use schema_registry_converter::schema_registry_common::{
        SchemaType, SubjectNameStrategy, SuppliedSchema,
    };
    let topic = unique("rust");
    let schema = SuppliedSchema::new(None, SchemaType::Avro, record(&topic, ""));
    let settings = SrSettings::new(base.to_owned());
    let strategy = SubjectNameStrategy::TopicNameStrategyWithSchema(topic.clone(), false, schema);
    let bytes = AvroEncoder::new(settings.clone())
        .encode(vec![("a", Avro::Int(7))], strategy)
        .await
        .unwrap();
    let decoded = AvroDecoder::new(settings)
        .decode(Some(&bytes))
        .await
        .unwrap();
    assert_eq!(
        decoded.value,
        Avro::Record(vec![("a".into(), Avro::Int(7))])
    );
    let (_, version) = Api::new(base)
        .get(&format!("/subjects/{topic}-value/versions/latest"))
        .await;
    assert_eq!(
        version["id"],
        json!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()))
    );
}

/// What clients send makes no series of its own.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route() {
    let base = &endpoints().schema_registry;
    let (api, subject) = (Api::new(base), unique("counted"));
    let path = format!("/subjects/{subject}/versions");
    assert_eq!(api.get(&path).await.0, 404);
    assert_eq!(api.get(&format!("/nothing/{subject}")).await.0, 404);
    let page = millstream_pipeline::http::client()
        .get(format!("{base}/metrics"))
        .send()
        .await
        .unwrap();
    let text = page.text().await.unwrap();
    for route in ["/subjects/{subject}/versions", "other"] {
        let series = format!(
            r#"millstream_registry_requests_total{{method="GET",route="{route}",status="404"}}"#
        );
        assert!(text.contains(&series), "{series} in {text}");
    }
    assert!(!text.contains(&subject), "{text}");
}
