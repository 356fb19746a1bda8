//! Metadata and rules of a schema: a client that is not given them back writes plain text.

use serde_json::json;

use super::api::{Api, record, unique};
use super::log;
use crate::support::endpoints;

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_rules_are_kept_and_given_back() {
    let kafka = &endpoints().kafka;
    let topic = unique("schemas");
    let (api, running, token) = log::own(kafka, &topic).await;
    let rule = json!({ "name": "encrypt", "type": "ENCRYPT", "tags": ["PII"],
        "params": { "encrypt.kek.name": "kek" }, "onFailure": "ERROR,NONE" });
    let body = json!({
        "schema": record("s", ""),
        "metadata": { "properties": { "owner": "me" }, "sensitive": ["owner"] },
        "ruleSet": { "domainRules": [rule] },
    });
    let mut stored = rule.clone();
    // As Confluent's registry fills them in.
    for (name, value) in [
        ("kind", json!("TRANSFORM")),
        ("mode", json!("WRITEREAD")),
        ("disabled", json!(false)),
    ] {
        stored[name] = value;
    }
    let stored = json!({ "domainRules": [stored] });
    let (status, answer) = api.post("/subjects/s/versions", body.clone()).await;
    assert_eq!(
        (status, &answer["id"], &answer["ruleSet"]),
        (200, &json!(1), &stored)
    );

    // Who registers the same without them is told what to do with it, too.
    let (_, answer) = api.register("s", &record("s", "")).await;
    assert_eq!((&answer["id"], &answer["ruleSet"]), (&json!(1), &stored));
    let newer = record("s", r#",{"name":"b","type":"int","default":0}"#);
    let (_, answer) = api.register("s", &newer).await;
    assert_eq!(
        (&answer["version"], &answer["ruleSet"]),
        (&json!(2), &stored)
    );

    let shown = [
        "/schemas/ids/1",
        "/subjects/s/versions/1",
        "/subjects/s/versions/latest",
        "/subjects/s/metadata?key=owner&value=me",
    ];
    let check = async |api: &Api| {
        for path in shown {
            let (status, answer) = api.get(path).await;
            assert_eq!((status, &answer["ruleSet"]), (200, &stored), "{path}");
            assert_eq!(answer["metadata"], body["metadata"], "{path}");
        }
        let found = api.post("/subjects/s", body.clone()).await;
        assert_eq!((found.0, &found.1["version"]), (200, &json!(1)));
        let none = "/subjects/s/metadata?key=owner&value=you";
        assert_eq!(Api::code(api.get(none).await), 40403);
        // Of several versions the latest.
        let (_, latest) = api.get(shown[3]).await;
        assert_eq!(latest["version"], 2);
    };
    check(&api).await;
    log::stop(running, token).await;
    let (api, running, token) = log::own(kafka, &topic).await;
    check(&api).await;
    log::stop(running, token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_is_refused() {
    let api = Api::new(&endpoints().schema_registry);
    let subject = unique("contract");
    let versions = format!("/subjects/{subject}/versions");
    let schema = record(&subject, "");
    let bad = json!({ "schema": schema, "ruleSet": { "domainRules": [{ "name": "a" }] } });
    assert_eq!(Api::code(api.post(&versions, bad).await), 42210);
    let tags = json!({ "schema": schema, "schemaTagsToAdd": [{ "tags": ["PII"] }] });
    assert_eq!(Api::code(api.post(&versions, tags).await), 42205);
    for (name, value) in [
        ("overrideRuleSet", json!({ "domainRules": [] })),
        ("defaultMetadata", json!({})),
        ("compatibilityGroup", json!("major")),
        ("alias", json!("other")),
        ("validateFields", json!(true)),
    ] {
        let config = json!({ "compatibility": "NONE", name: value });
        let refused = api.put(&format!("/config/{subject}"), config).await;
        assert!(
            refused.1["message"].as_str().unwrap().contains(name),
            "{refused:?}"
        );
        assert_eq!(Api::code(refused), 42205);
    }
    let as_it_is = json!({ "compatibility": "NONE", "alias": null, "validateFields": false });
    assert_eq!(
        api.put(&format!("/config/{subject}"), as_it_is).await.0,
        200
    );
}
