//! docs/api is what the declarations say.

use std::collections::BTreeSet;

use millstream_gateway::documents::{asyncapi, openapi};
use millstream_topics::TOPICS;
use serde_json::Value;

#[test]
fn the_descriptions_of_the_interfaces_are_up_to_date() {
    for (name, made) in [("openapi", openapi(TOPICS)), ("asyncapi", asyncapi(TOPICS))] {
        let path = format!("{}/../../docs/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == format!("{made:#}\n"),
            "docs/api/{name}.json is not what the declarations say; run \
             `cargo run -p millstream-gateway --example api` and commit it"
        );
    }
}

/// References within a document lead somewhere, and every operation has a name of its own.
#[test]
fn the_descriptions_of_the_interfaces_hold_together() {
    for document in [openapi(TOPICS), asyncapi(TOPICS)] {
        let (mut references, mut ids) = (BTreeSet::new(), Vec::new());
        collect(&document, &mut references, &mut ids);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>, ids: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("$ref", Value::String(text)) => drop(references.insert(text.clone())),
                    ("operationId", Value::String(text)) => ids.push(text.clone()),
                    _ => collect(value, references, ids),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, references, ids)),
        _ => {}
    }
}
