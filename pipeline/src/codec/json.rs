//! Events out of JSON, for command lines and scripts, which know no generated types: by the declared
//! schemas on declared topics, elsewhere by those that the registry has for the topic.

mod foreign;
mod line;

use apache_avro::from_value;
use millstream_events::{Declaration, EventMeta, EventSchema};
use serde_json::{Map, Value, json};

use crate::codec::fields::{self, FieldError};
use crate::codec::{Codec, EncodeError, RegistryError};
use crate::failure::Failure;
use crate::kafka::publisher::Record;
use crate::record::key;
use foreign::Foreign;
use millstream_avro::limits::MAX_JSON_DEPTH;

pub use line::JsonEvent;

pub use crate::codec::text::{integer, parse};

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
    codec: Codec,
    topic: String,
    /// The kinds of event on the topic; empty: nobody has declared it.
    declared: Vec<&'static EventSchema>,
    foreign: Foreign,
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

impl From<EncodeError> for JsonError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Event(failure) => Self::Event(failure),
            EncodeError::Registry(error) => Self::Registry(error),
        }
    }
}

impl JsonEncoder {
    /// An encoder for `topic` with the registry at `url`. Whoever has registered what: events of a
    /// topic that is declared are written with the declared schemas, which its handlers know.
    pub fn new(
        url: &str,
        topic: &str,
        declarations: &[&'static Declaration],
    ) -> Result<Self, RegistryError> {
        Ok(Self {
            codec: Codec::new(url, declarations)?,
            topic: topic.to_owned(),
            declared: declared(topic, declarations),
            foreign: Foreign::new(url, topic)?,
        })
    }

    /// The record of one line; an error names everything that is wrong with it.
    pub async fn line(&mut self, line: Value, meta: &Meta) -> Result<Record, JsonError> {
        let (event, errors) = JsonEvent::read(line);
        self.record(event, meta, errors).await
    }

    /// The record of one event.
    pub async fn encode(&mut self, event: JsonEvent, meta: &Meta) -> Result<Record, JsonError> {
        self.record(event, meta, Vec::new()).await
    }

    async fn record(
        &mut self,
        event: JsonEvent,
        meta: &Meta,
        mut errors: Vec<FieldError>,
    ) -> Result<Record, JsonError> {
        let is_deep = |value: &Value| is_deeper(value, MAX_JSON_DEPTH - 1);
        if event.data.values().chain(event.meta.values()).any(is_deep) {
            let what = format!("it is nested deeper than {MAX_JSON_DEPTH} levels");
            errors.push(FieldError::new("", what));
            return Err(refused(&self.topic, errors).into());
        }
        let key = match errors.iter().any(|error| error.field == "key") {
            true => Ok(()),
            false => key::check(&event.key, "id of the entity"),
        };
        let name = event.name.as_deref();
        let value = if self.declared.is_empty() {
            let (data, given) = (event.data, event.meta);
            self.foreign.value(name, data, given, meta, errors).await
        } else {
            self.own(name, &event.data, event.meta, meta, errors).await
        };
        match (value, key) {
            (Ok(value), Ok(())) => Ok(Record {
                topic: self.topic.clone(),
                key: Some(event.key.into_bytes()),
                value: Some(value),
                headers: Vec::new(),
            }),
            (Ok(_), Err(failure)) => Err(failure.into()),
            (Err(JsonError::Event(other)), Err(failure)) => {
                let message = format!("{}; {}", other.message, failure.message);
                Err(Failure { message, ..other }.into())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The value of a declared event.
    async fn own(
        &self,
        name: Option<&str>,
        data: &Map<String, Value>,
        given: Map<String, Value>,
        meta: &Meta,
        mut errors: Vec<FieldError>,
    ) -> Result<Vec<u8>, JsonError> {
        let fits = |schema: &EventSchema| match name {
            Some(name) => is_called(schema.full_name, name),
            None => self.declared.len() == 1,
        };
        let Some(schema) = self.declared.iter().copied().find(|it| fits(it)) else {
            let kinds = self.declared.iter().map(|it| it.full_name);
            errors.push(which(&self.topic, name, &kinds.collect::<Vec<_>>()));
            return Err(refused(&self.topic, errors).into());
        };
        let body = fields::encode_at(schema, data, "data");
        let given = made_up(given, meta, |_| true);
        let meta = fields::value(EventMeta::field_schema(), &given, "meta");
        match (body, meta) {
            (Ok(body), Ok(meta)) if errors.is_empty() => {
                let meta: Option<EventMeta> = from_value(&meta).map_err(|error| {
                    Failure::invalid_request(format!("`meta` cannot be used: {error}"))
                })?;
                Ok(self.codec.join(&body, meta.as_ref()).await?)
            }
            (body, meta) => {
                errors.extend(body.err().unwrap_or_default());
                errors.extend(meta.err().unwrap_or_default());
                Err(refused(schema.full_name, errors).into())
            }
        }
    }
}

/// The kinds of event that are declared for a topic, or as results on it.
fn declared(topic: &str, declarations: &[&'static Declaration]) -> Vec<&'static EventSchema> {
    let mut schemas: Vec<&'static EventSchema> = Vec::new();
    for declaration in declarations {
        let events = declaration.events.iter().map(|event| event.schema);
        let results = declaration.results.iter();
        let results = results.filter(|results| results.name == topic);
        let results = results.flat_map(|results| results.schemas).copied();
        let own = events.filter(|_| declaration.name == topic);
        for schema in own.chain(results).map(|schema| schema()) {
            if !schemas.iter().any(|it| it.full_name == schema.full_name) {
                schemas.push(schema);
            }
        }
    }
    schemas
}

/// Whether `name` is the full name or its last part.
fn is_called(full_name: &str, name: &str) -> bool {
    full_name == name || full_name.rsplit('.').next() == Some(name)
}

/// The line does not say which of the topic's events it is.
fn which(topic: &str, name: Option<&str>, kinds: &[&str]) -> FieldError {
    let kinds = kinds.join(", ");
    let message = match name {
        None => format!("say a `type`; topic {topic} has {kinds}"),
        Some(name) => format!("topic {topic} has no {name}; it has {kinds}"),
    };
    FieldError::new("", message)
}

/// Everything that is wrong with a line.
fn refused(what: &str, errors: Vec<FieldError>) -> Failure {
    let more = errors.len().saturating_sub(fields::MAX_ERRORS);
    let mut listed: Vec<String> = errors
        .into_iter()
        .take(fields::MAX_ERRORS)
        .map(|FieldError { field, detail }| match field.is_empty() {
            true => detail,
            false => format!("`{field}` {detail}"),
        })
        .collect();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    let listed = listed.join("; ");
    Failure::invalid_request(format!(
        "the line does not fit the schema of {what}: {listed}"
    ))
}

/// Whether JSON is nested deeper than so many levels.
fn is_deeper(json: &Value, levels: usize) -> bool {
    match json {
        Value::Array(items) => levels == 0 || items.iter().any(|it| is_deeper(it, levels - 1)),
        Value::Object(fields) => levels == 0 || fields.values().any(|it| is_deeper(it, levels - 1)),
        _ => false,
    }
}

/// `meta` as it was given, with what is made up where that says nothing of it and a `meta` has it.
fn made_up(given: Map<String, Value>, meta: &Meta, known: impl Fn(&str) -> bool) -> Value {
    let mut fields = match meta {
        Meta::Absent if given.is_empty() => return Value::Null,
        Meta::Absent => Map::new(),
        Meta::From(source) => {
            let id = uuid::Uuid::now_v7().to_string();
            let time = jiff::Timestamp::now().as_microsecond();
            let made_up = [
                ("id", json!(id)),
                ("source", json!(source)),
                ("time", json!(time)),
                ("correlation_id", json!(id)),
            ];
            let made_up = made_up.into_iter().filter(|(name, _)| known(name));
            made_up.map(|(name, it)| (name.to_owned(), it)).collect()
        }
    };
    for (name, value) in given {
        // A null is one where nothing is made up.
        if !(value.is_null() && fields.contains_key(&name)) {
            fields.insert(name, value);
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests;
