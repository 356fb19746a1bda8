//! Topics that nobody has declared: their events are written with the newest schema that the registry
//! has for them.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use apache_avro::writer::datum::GenericDatumWriter;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_subjects, get_schema_by_subject_and_version,
};
use serde_json::{Map, Value};

use super::{JsonError, Meta, is_called, made_up, refused, which};
use crate::codec::fields::{self, FieldError};
use crate::codec::{RegistryError, registry_error, registry_settings};
use crate::failure::Failure;
use crate::record::wire;
use millstream_avro::limits::{self, MAX_JSON_DEPTH, MAX_SCHEMA_DEPTH};

/// One topic, and what is known of its schemas.
pub(super) struct Foreign {
    url: String,
    registry: SrSettings,
    topic: String,
    schemas: HashMap<Option<String>, (u32, Schema)>,
}

impl Foreign {
    /// A topic with the schemas of the registry at `url`.
    pub fn new(url: &str, topic: &str) -> Result<Self, RegistryError> {
        Ok(Self {
            url: url.to_owned(),
            registry: registry_settings(url)?,
            topic: topic.to_owned(),
            schemas: HashMap::new(),
        })
    }

    /// The value of an event that nobody has declared.
    pub async fn value(
        &mut self,
        name: Option<&str>,
        mut data: Map<String, Value>,
        given: Map<String, Value>,
        meta: &Meta,
        mut errors: Vec<FieldError>,
    ) -> Result<Vec<u8>, JsonError> {
        let topic = self.topic.clone();
        let (id, schema) = match self.schema(name).await {
            Ok(found) => found,
            Err(JsonError::Event(failure)) if !errors.is_empty() => {
                errors.push(FieldError::new("", failure.message));
                return Err(refused(&topic, errors).into());
            }
            Err(error) => return Err(error),
        };
        match meta_field(schema) {
            Some(field) => {
                let known = |name: &str| fields::has_member(field, name);
                let meta = made_up(given, meta, known);
                if data.insert("meta".into(), meta).is_some() {
                    errors.push(FieldError::new("data.meta", "stands beside `data`"));
                }
            }
            None if given.is_empty() => {}
            None => errors.push(FieldError::new("meta", "is not in the event's schema")),
        }
        let full_name = schema.name().map(|name| name.fullname(None));
        let encode = || {
            let value = fields::value(schema, &Value::Object(data), "data")?;
            let written = GenericDatumWriter::builder(schema)
                .build()
                .and_then(|writer| writer.write_value_to_vec(value));
            written.map_err(|error| vec![FieldError::new("", error.to_string())])
        };
        // Of each level there may be a union, a map or an array, and a record.
        match limits::with_stack(4 * MAX_JSON_DEPTH, encode) {
            Ok(body) if errors.is_empty() => Ok([&wire::header(*id)[..], &body].concat()),
            encoded => {
                for mut error in encoded.err().unwrap_or_default() {
                    if error.field.split('.').nth(1) == Some("meta") {
                        error.field = error.field.replacen("data.", "", 1);
                    }
                    errors.push(error);
                }
                Err(refused(&full_name.unwrap_or_default(), errors).into())
            }
        }
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
            let message = match kinds.is_empty() {
                true => format!(
                    "the registry has no schema for topic {topic}, and nobody has declared it; is its \
                     name right, and was `{program} apply` run?",
                    program = crate::program::name()
                ),
                false => which(topic, name, &kinds).detail,
            };
            return Err(Failure::invalid_request(message).into());
        };
        let subject = format!("{prefix}{kind}");
        let found = get_schema_by_subject_and_version(&self.registry, &subject, None)
            .await
            .map_err(registry)?;
        let unusable = |error| {
            Failure::invalid_request(format!("the schema of {subject} cannot be used: {error}"))
        };
        limits::check(&found.schema).map_err(unusable)?;
        let parse = || Schema::parse_str(&found.schema);
        let schema = limits::with_stack(MAX_SCHEMA_DEPTH, parse);
        let schema = schema.map_err(|error| unusable(error.to_string()))?;
        let full_name = schema
            .name()
            .map(|name| name.fullname(None))
            .unwrap_or_default();
        if !name.is_none_or(|name| is_called(&full_name, name)) {
            let message = format!(
                "topic {} carries {full_name}; say that as `type`",
                self.topic
            );
            return Err(Failure::invalid_request(message).into());
        }
        Ok((found.id, schema))
    }
}

/// The schema of the field `meta`.
fn meta_field(schema: &Schema) -> Option<&Schema> {
    let Schema::Record(RecordSchema { fields, .. }) = schema else {
        return None;
    };
    let field = fields.iter().find(|field| field.name == "meta")?;
    Some(&field.schema)
}
