//! AsyncAPI 3: all topics, with the Avro schemas of what is on them.

use millstream_events::{Access, Declaration, EventSchema};
use serde_json::{Map, Value, json};

/// The document for these topics.
pub fn asyncapi(declarations: &[&'static Declaration]) -> Value {
    let mut parts = Parts::default();
    for declaration in declarations {
        let events = declaration.events.iter().map(|event| (event.schema)());
        let events: Vec<_> = events.collect();
        parts.channel(
            declaration.name,
            declaration.description,
            (declaration.key, declaration.access),
            &events,
        );
        let handled = declaration.subscriptions.iter();
        let by: Vec<_> = handled
            .map(|it| format!("{}/{}", it.service, it.handler))
            .collect();
        let reply = declaration.results.as_ref().map(|results| results.name);
        parts.operation("receive", declaration.name, &by.join(", "), reply);
        if let Some(results) = &declaration.results {
            let schemas: Vec<_> = results.schemas.iter().map(|schema| schema()).collect();
            let about = format!("Results of the commands on {}.", declaration.name);
            let key = (declaration.key, Access::Service);
            parts.channel(results.name, &about, key, &schemas);
            parts.operation("send", results.name, &by.join(", "), None);
            if let Some(once) = &results.once {
                let about = format!("The records of {}, each exactly once.", results.name);
                let key = (declaration.key, Access::Library);
                parts.channel(once.name, &about, key, &schemas);
                parts.operation("send", once.name, once.service, None);
            }
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Millstream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every topic with its events. Keys are UTF-8 text; values are in Confluent's wire format.",
        },
        "defaultContentType": "application/vnd.apache.avro",
        "channels": parts.channels,
        "operations": parts.operations,
        "components": { "messages": parts.messages },
    })
}

#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Parts {
    fn channel(
        &mut self,
        name: &str,
        about: &str,
        (key, access): (&str, Access),
        events: &[&'static EventSchema],
    ) {
        let mut messages = Map::new();
        for schema in events {
            let reference = format!("#/components/messages/{}", schema.full_name);
            messages.insert(schema.full_name.to_owned(), json!({ "$ref": reference }));
            self.messages
                .entry(schema.full_name)
                .or_insert_with(|| message(schema));
        }
        self.channels.insert(
            name.to_owned(),
            json!({
                "address": name,
                "description": format!("{about} Key: {key}."),
                "messages": messages,
                "bindings": { "kafka": { "topic": name } },
                "x-millstream-access": access.as_str(),
            }),
        );
    }

    fn operation(&mut self, action: &str, topic: &str, by: &str, reply: Option<&str>) {
        let channel = |topic: &str| json!({ "$ref": format!("#/channels/{topic}") });
        let mut operation = json!({ "action": action, "channel": channel(topic) });
        if !by.is_empty() {
            operation["summary"] = format!("By {by}.").into();
        }
        if let Some(reply) = reply {
            operation["reply"] = json!({ "channel": channel(reply) });
        }
        self.operations
            .insert(format!("{action}-{topic}"), operation);
    }
}

fn message(schema: &EventSchema) -> Value {
    json!({
        "name": schema.full_name,
        "contentType": "application/vnd.apache.avro",
        "payload": {
            "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0",
            "schema": serde_json::from_str::<Value>(schema.json).unwrap_or_default(),
        },
        "examples": [{
            "payload": serde_json::from_str::<Value>(schema.example).unwrap_or_default(),
        }],
        "bindings": { "kafka": { "key": { "type": "string" } } },
    })
}
