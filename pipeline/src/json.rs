//! Events out of JSON, by the schemas that the registry has for a topic: for command lines and
//! scripts, which know no generated types.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, schema::RecordSchema};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_subjects, get_schema_by_subject_and_version,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::code::Failure;
use crate::codec::{RegistryError, registry_error, registry_settings};
use crate::publish::Record;
use crate::wire;

/// One line of input. What `tail` prints can be read again.
#[derive(Debug, Clone, Deserialize)]
pub struct JsonEvent {
    /// The record's key.
    pub key: String,
    /// Full name of the event, or its last part; may be left out on a topic with one kind.
    #[serde(rename = "type", default)]
    pub name: Option<String>,
    /// The event's fields without `meta`.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// Fields of `meta` that are not to be made up.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

/// Whether events get a `meta` of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meta {
    /// Like a producer that knows nothing of Millstream.
    Absent,
    /// With an id, the time and this source.
    From(String),
}

/// Turns JSON into records of one topic.
pub struct JsonEncoder {
    url: String,
    registry: SrSettings,
    topic: String,
    schemas: HashMap<Option<String>, (u32, Schema)>,
}

/// Why a line is not an event of the topic.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The line itself is wrong.
    #[error(transparent)]
    Event(#[from] Failure),
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl JsonEncoder {
    /// An encoder for `topic` with the schemas of the registry at `url`.
    pub fn new(url: &str, topic: &str) -> Result<Self, RegistryError> {
        Ok(Self {
            url: url.to_owned(),
            registry: registry_settings(url)?,
            topic: topic.to_owned(),
            schemas: HashMap::new(),
        })
    }

    /// The record of one event.
    pub async fn encode(&mut self, event: JsonEvent, meta: &Meta) -> Result<Record, JsonError> {
        if event.key.is_empty() {
            return Err(Failure::invalid_request("the key is empty; name the entity").into());
        }
        let topic = self.topic.clone();
        let (id, schema) = self.schema(event.name.as_deref()).await?;
        let mut fields = event.data;
        if has_meta(schema) {
            fields.insert("meta".into(), made_up(event.meta, meta));
        }
        let body = avro(Value::Object(fields))
            .resolve(schema)
            .and_then(|value| {
                GenericDatumWriter::builder(schema)
                    .build()?
                    .write_value_to_vec(value)
            })
            .map_err(|error| {
                Failure::invalid_request(format!("the data does not fit the schema: {error}"))
            })?;
        Ok(Record {
            topic,
            key: Some(event.key.into_bytes()),
            value: Some([&wire::header(*id)[..], &body].concat()),
            headers: Vec::new(),
        })
    }

    async fn schema(&mut self, name: Option<&str>) -> Result<&(u32, Schema), JsonError> {
        let name = name.map(str::to_owned);
        if !self.schemas.contains_key(&name) {
            let found = self.find(name.as_deref()).await?;
            self.schemas.insert(name.clone(), found);
        }
        self.schemas
            .get(&name)
            .ok_or_else(|| Failure::invalid_request("no schema").into())
    }

    /// The newest schema of the topic's subject for events called `name`.
    async fn find(&self, name: Option<&str>) -> Result<(u32, Schema), JsonError> {
        let registry = |error| registry_error(&self.url, &error);
        let prefix = format!("{}-", self.topic);
        let subjects = get_all_subjects(&self.registry).await.map_err(registry)?;
        let kinds: Vec<&str> = subjects
            .iter()
            .filter_map(|subject| subject.strip_prefix(&prefix))
            // A longer topic's name starts alike; no name of an event has a hyphen.
            .filter(|kind| !kind.contains('-'))
            .collect();
        let wanted = |kind: &&&str| match name {
            Some(name) => kind.rsplit('.').next() == name.rsplit('.').next() || **kind == "value",
            None => kinds.len() == 1 || **kind == "value",
        };
        let Some(kind) = kinds.iter().find(wanted) else {
            let topic = &self.topic;
            let message = match (kinds.is_empty(), name) {
                (true, _) => format!(
                    "the registry has no schema for topic {topic}; is its name right, and was \
                     `millstream apply` run?"
                ),
                (_, None) => format!("say a `type`; topic {topic} has {}", kinds.join(", ")),
                (_, Some(name)) => {
                    format!("topic {topic} has no {name}; it has {}", kinds.join(", "))
                }
            };
            return Err(Failure::invalid_request(message).into());
        };
        let subject = format!("{prefix}{kind}");
        let found = get_schema_by_subject_and_version(&self.registry, &subject, None)
            .await
            .map_err(registry)?;
        let schema = Schema::parse_str(&found.schema).map_err(|error| {
            Failure::invalid_request(format!("the schema of {subject} cannot be used: {error}"))
        })?;
        let full_name = schema
            .name()
            .map(|name| name.fullname(None))
            .unwrap_or_default();
        let fits = |name: &str| full_name == name || full_name.ends_with(&format!(".{name}"));
        if !name.is_none_or(fits) {
            let message = format!(
                "topic {} carries {full_name}; say that as `type`",
                self.topic
            );
            return Err(Failure::invalid_request(message).into());
        }
        Ok((found.id, schema))
    }
}

/// JSON as Avro's nearest types; resolving to a schema makes them the right ones.
fn avro(json: Value) -> Avro {
    match json {
        Value::Null => Avro::Null,
        Value::Bool(value) => Avro::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Avro::Long(value),
            None => Avro::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Avro::String(text),
        Value::Array(items) => Avro::Array(items.into_iter().map(avro).collect()),
        Value::Object(fields) => Avro::Map(
            fields
                .into_iter()
                .map(|(name, value)| (name, avro(value)))
                .collect(),
        ),
    }
}

fn has_meta(schema: &Schema) -> bool {
    matches!(schema, Schema::Record(RecordSchema { lookup, .. }) if lookup.contains_key("meta"))
}

fn made_up(given: Map<String, Value>, meta: &Meta) -> Value {
    let mut fields = match meta {
        Meta::Absent if given.is_empty() => return Value::Null,
        Meta::Absent => Map::new(),
        Meta::From(source) => {
            let id = uuid::Uuid::now_v7().to_string();
            let time = jiff::Timestamp::now().as_microsecond();
            let made_up = json!({ "id": id, "source": source, "time": time, "correlation_id": id });
            made_up.as_object().cloned().unwrap_or_default()
        }
    };
    fields.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    Value::Object(fields)
}
