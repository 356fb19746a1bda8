//! Registering a schema, and finding a registered one.

use serde::Deserialize;
use serde_json::{Value, json};

use super::compatible::incompatibilities;
use super::schema::Draft;
use super::{Decision, writable};
use crate::contract::{Metadata, RuleSet};
use crate::error::Refusal;
use crate::level::Mode;
use crate::record::{ConfigValue, Record, Reference, SchemaValue};
use crate::state::State;
use millstream_avro::Tree;

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
    /// Words about it; absent means those of the version before.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Rules for clients; absent means those of the version before.
    #[serde(default)]
    pub rule_set: Option<RuleSet>,
    /// The id to register it with, in the mode IMPORT.
    #[serde(default)]
    pub id: Option<i32>,
    /// The version to register it as, in the mode IMPORT.
    #[serde(default)]
    pub version: Option<i32>,
    /// What is to be changed in the text while it is registered; not done here.
    #[serde(flatten)]
    pub tags: Tags,
    /// `normalize=true` of the query.
    #[serde(skip)]
    pub normalize: bool,
}

/// Changes to the tags in a schema's text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tags {
    schema_tags_to_add: Value,
    schema_tags_to_remove: Value,
    propagate_schema_tags: Value,
}

impl Tags {
    /// Whether any change is asked for.
    fn is_asked(&self) -> bool {
        let lists = [&self.schema_tags_to_add, &self.schema_tags_to_remove];
        let any = lists
            .iter()
            .any(|list| **list != Value::Null && **list != json!([]));
        any || self.propagate_schema_tags == json!(true)
    }
}

impl Registration {
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
    if let Some(found) = find(state, subject, request, deleted) {
        return Ok(found);
    }
    // Who sends what is no schema at all is told so.
    let draft = Draft::new(state, subject, request, None).value;
    match Tree::parse(&draft.schema) {
        Err(reason) if draft.is_avro() => Err(Refusal::InvalidSchema(reason)),
        _ => Err(Refusal::SchemaNotFound),
    }
}

/// Finds the schema as it was sent, or with the metadata and rules of the latest version where it
/// says nothing of them.
fn find<'a>(
    state: &'a State,
    subject: &str,
    request: &Registration,
    deleted: bool,
) -> Option<&'a SchemaValue> {
    let sent = Draft::new(state, subject, request, None);
    let found = state.find(subject, &sent.identity, deleted);
    found.or_else(|| {
        let latest = latest(state, subject)?;
        let draft = Draft::new(state, subject, request, Some(latest));
        state.find(subject, &draft.identity, deleted)
    })
}

fn latest<'a>(state: &'a State, subject: &str) -> Option<&'a SchemaValue> {
    state.versions(subject, false).next_back()
}

/// The version that has this schema already, when registering it again changes nothing.
pub fn registered<'a>(
    state: &'a State,
    subject: &str,
    request: &Registration,
) -> Option<&'a SchemaValue> {
    let found = find(state, subject, request, false)?;
    let wanted = request.id().is_none_or(|wanted| wanted == found.id);
    wanted.then_some(found)
}

/// Registers a schema and answers its id: that of the same schema under another subject, or the
/// next one.
pub fn register(
    state: &State,
    subject: &str,
    request: &Registration,
) -> Result<Decision<i32>, Refusal> {
    if let Some(found) = registered(state, subject, request) {
        return Ok(Decision::answer(found.id));
    }
    let mode = permitted(state, subject, request)?;
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
    let before = latest(state, subject).filter(|_| mode != Mode::Import);
    let mut draft = Draft::new(state, subject, request, before);
    if mode != Mode::Import {
        draft = draft.counted(version);
    }
    draft.check(state)?;
    if mode != Mode::Import {
        let details = incompatibilities(state, subject, &draft)?;
        if !details.is_empty() {
            return Err(Refusal::Incompatible {
                subject: subject.to_owned(),
                details,
            });
        }
    }
    let id = request
        .id()
        .or_else(|| state.id(&draft.identity))
        .unwrap_or_else(|| state.next_id());
    if !state.id_fits(id, &draft.identity) {
        return Err(Refusal::NotPermitted(format!(
            "Overwrite new schema with id {id} is not permitted."
        )));
    }
    let mut records = vec![Record::Schema(SchemaValue {
        version,
        id,
        ..draft.value
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
    if let Some(reason) = request.rule_set.as_ref().and_then(|it| it.check().err()) {
        return Err(Refusal::InvalidRules(reason));
    }
    if request.tags.is_asked() {
        return Err(Refusal::NotPermitted(
            "this registry does not change the tags in a schema's text; send the schema with its tags"
                .into(),
        ));
    }
    writable(state, subject)?;
    for scope in [Some(subject), None] {
        let ignored = state
            .config(scope)
            .map(ConfigValue::ignored)
            .unwrap_or_default();
        if !ignored.is_empty() {
            return Err(Refusal::NotPermitted(format!(
                "the configuration of {} has {}, which this registry does not apply, so the schema \
                 would lack them; delete that configuration and send them with the schema",
                scope.unwrap_or("the registry"),
                ignored.join(", ")
            )));
        }
    }
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
