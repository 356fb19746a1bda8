//! Registering a schema, and finding a registered one.

use serde::Deserialize;

use super::compatible::incompatibilities;
use super::schema::Schema;
use super::{Decision, writable};
use crate::registry::error::Refusal;
use crate::registry::level::Mode;
use crate::registry::record::{Record, Reference, SchemaValue};
use crate::registry::state::State;

/// A schema that a client sends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// The text.
    #[serde(default)]
    pub schema: Option<String>,
    /// AVRO when absent.
    #[serde(default)]
    pub schema_type: Option<String>,
    /// The schemas that it uses types of.
    #[serde(default)]
    pub references: Option<Vec<Reference>>,
    /// The id to register it with, in the mode IMPORT.
    #[serde(default)]
    pub id: Option<i32>,
    /// The version to register it as, in the mode IMPORT.
    #[serde(default)]
    pub version: Option<i32>,
    /// `normalize=true` of the query.
    #[serde(skip)]
    pub normalize: bool,
}

impl Registration {
    pub(super) fn parse(&self, state: &State, subject: &str) -> Result<Schema, Refusal> {
        Schema::parse(
            state,
            self.schema_type.as_deref(),
            self.schema.as_deref().unwrap_or_default(),
            self.references.as_deref().unwrap_or_default(),
            self.normalize || state.normalizes(subject),
        )
    }

    fn id(&self) -> Option<i32> {
        self.id.filter(|id| *id > 0)
    }

    fn version(&self) -> Option<i32> {
        self.version.filter(|version| *version > 0)
    }
}

/// The version under which exactly this schema is registered.
pub fn lookup<'a>(
    state: &'a State,
    subject: &str,
    request: &Registration,
    deleted: bool,
) -> Result<&'a SchemaValue, Refusal> {
    if state.versions(subject, deleted).next().is_none() {
        return Err(Refusal::SubjectNotFound(subject.to_owned()));
    }
    let schema = request.parse(state, subject)?;
    state
        .find(subject, &schema.identity, deleted)
        .ok_or(Refusal::SchemaNotFound)
}

/// The id under which this schema is registered already, when registering it again changes nothing.
pub fn registered(
    state: &State,
    subject: &str,
    request: &Registration,
) -> Result<Option<i32>, Refusal> {
    let schema = request.parse(state, subject)?;
    let id = state
        .find(subject, &schema.identity, false)
        .map(|value| value.id);
    Ok(id.filter(|id| request.id().is_none_or(|wanted| wanted == *id)))
}

/// Registers a schema and answers its id: that of the same schema under another subject, or the
/// next one.
pub fn register(
    state: &State,
    subject: &str,
    request: &Registration,
) -> Result<Decision<i32>, Refusal> {
    if let Some(id) = registered(state, subject, request)? {
        return Ok(Decision::answer(id));
    }
    let mode = permitted(state, subject, request)?;
    let schema = request.parse(state, subject)?;
    if mode != Mode::Import {
        let details = incompatibilities(state, subject, &schema);
        if !details.is_empty() {
            return Err(Refusal::Incompatible {
                subject: subject.to_owned(),
                details,
            });
        }
    }
    let id = request
        .id()
        .or_else(|| state.id(&schema.identity))
        .unwrap_or_else(|| state.next_id());
    if !state.id_fits(id, &schema.identity) {
        return Err(Refusal::NotPermitted(format!(
            "Overwrite new schema with id {id} is not permitted."
        )));
    }
    let newest = state
        .versions(subject, true)
        .next_back()
        .map_or(0, |value| value.version);
    let version = request.version().unwrap_or(newest + 1);
    if state.version(subject, version).is_some() {
        return Err(Refusal::NotPermitted(format!(
            "Version {version} of subject {subject} is another schema; name a free version."
        )));
    }
    let mut records = vec![Record::Schema(SchemaValue {
        subject: subject.to_owned(),
        version,
        id,
        schema_type: None,
        references: schema.references,
        schema: schema.text,
        deleted: false,
        other: serde_json::Map::new(),
    })];
    // The deleted versions of this schema are no longer needed to look up its id.
    let replaced = state
        .versions(subject, true)
        .filter(|v| v.deleted && v.id == id && v.version < version);
    records.extend(replaced.map(|value| Record::NoSchema {
        subject: subject.to_owned(),
        version: value.version,
    }));
    Ok(Decision {
        records,
        answer: id,
    })
}

fn permitted(state: &State, subject: &str, request: &Registration) -> Result<Mode, Refusal> {
    if subject.chars().any(char::is_control) {
        return Err(Refusal::InvalidSubject(subject.to_owned()));
    }
    writable(state, subject)?;
    let mode = state.mode_in_scope(Some(subject));
    let import = request.id().is_some() || request.version().is_some();
    match (import, mode) {
        (true, Mode::Import) | (false, Mode::Readwrite) => Ok(mode),
        (true, _) => Err(Refusal::NotPermitted(format!(
            "Subject {subject} is not in import mode"
        ))),
        (false, _) => Err(Refusal::NotPermitted(format!(
            "Subject {subject} is not in read-write mode"
        ))),
    }
}
