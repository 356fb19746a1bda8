//! What the registry knows: the log, applied record by record. No HTTP and no Kafka in here.
//!
//! Whatever the order of the records, a schema id means one text for good; a record that would give
//! it another is refused, as Confluent's registry does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::contract;
use super::level::{Level, Mode};
use super::record::{ConfigValue, DeleteSubjectValue, Record, Reference, SchemaValue};
use millstream_avro::{Tree, canonical};

/// The registry's state.
#[derive(Debug, Default)]
pub struct State {
    subjects: BTreeMap<String, BTreeMap<i32, SchemaValue>>,
    ids: BTreeMap<i32, Owners>,
    identities: HashMap<Identity, i32>,
    configs: BTreeMap<Option<String>, ConfigValue>,
    modes: BTreeMap<Option<String>, Mode>,
    highest_id: i32,
}

/// What makes two schemas the same: the canonical text, the references that it builds on, and the
/// metadata and rules that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Empty for Avro.
    kind: String,
    text: String,
    references: Vec<Reference>,
    metadata: String,
    rules: String,
}

#[derive(Debug)]
struct Owners {
    identity: Identity,
    versions: BTreeSet<(String, i32)>,
}

/// A record that contradicts an earlier one and was left out.
#[derive(Debug, thiserror::Error)]
#[error(
    "version {version} of {subject} has the id {id}, which means another schema already; it is left out. Two registries write at once: let one of them"
)]
pub struct Conflict {
    subject: String,
    version: i32,
    id: i32,
}

impl Identity {
    /// Of a version, wherever it comes from. Text of Avro that differs in form alone is the same;
    /// text that is no Avro counts as it stands.
    pub fn of(value: &SchemaValue) -> Self {
        let text = match Tree::parse(&value.schema) {
            Ok(tree) if value.is_avro() => canonical(&tree),
            _ => value.schema.clone(),
        };
        let kind = value.schema_type.clone().filter(|_| !value.is_avro());
        let mut references = value.references.clone();
        references.sort();
        Identity {
            kind: kind.unwrap_or_default(),
            text,
            references,
            metadata: contract::canonical::<contract::Metadata>(value.metadata.as_ref()),
            rules: contract::canonical::<contract::RuleSet>(value.rule_set.as_ref()),
        }
    }
}

impl State {
    /// Takes a record of the log.
    pub fn apply(&mut self, record: Record) -> Result<(), Conflict> {
        match record {
            Record::Schema(value) => return self.put(value),
            Record::NoSchema { subject, version } => self.remove(&subject, version),
            Record::Config(value) => {
                self.configs.insert(value.subject.clone(), value);
            }
            Record::NoConfig(subject) => {
                self.configs.remove(&subject);
            }
            Record::Mode(value) => {
                self.modes.insert(value.subject, value.mode);
            }
            Record::NoMode(subject) => {
                self.modes.remove(&subject);
            }
            Record::DeleteSubject(DeleteSubjectValue { subject, version }) => {
                if let Some(versions) = self.subjects.get_mut(&subject) {
                    versions
                        .range_mut(..=version)
                        .for_each(|(_, value)| value.deleted = true);
                }
            }
            Record::Noop => {}
        }
        Ok(())
    }

    fn put(&mut self, value: SchemaValue) -> Result<(), Conflict> {
        let identity = Identity::of(&value);
        if self
            .ids
            .get(&value.id)
            .is_some_and(|owners| owners.identity != identity)
        {
            return Err(Conflict {
                subject: value.subject,
                version: value.version,
                id: value.id,
            });
        }
        self.remove(&value.subject, value.version);
        self.highest_id = self.highest_id.max(value.id);
        self.identities.entry(identity.clone()).or_insert(value.id);
        self.ids
            .entry(value.id)
            .or_insert_with(|| Owners {
                identity,
                versions: BTreeSet::new(),
            })
            .versions
            .insert((value.subject.clone(), value.version));
        self.subjects
            .entry(value.subject.clone())
            .or_default()
            .insert(value.version, value);
        Ok(())
    }

    fn remove(&mut self, subject: &str, version: i32) {
        let Some(versions) = self.subjects.get_mut(subject) else {
            return;
        };
        let Some(value) = versions.remove(&version) else {
            return;
        };
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let Some(owners) = self.ids.get_mut(&value.id) else {
            return;
        };
        owners.versions.remove(&(value.subject, value.version));
        if owners.versions.is_empty() {
            let identity = owners.identity.clone();
            self.ids.remove(&value.id);
            self.identities.remove(&identity);
            // An import can have given the same text two ids.
            let other = self
                .ids
                .iter()
                .find(|(_, owners)| owners.identity == identity)
                .map(|(id, _)| *id);
            if let Some(other) = other {
                self.identities.insert(identity, other);
            }
        }
    }

    /// All subjects, those with deleted versions only too if `deleted`.
    pub fn subjects(&self, deleted: bool) -> impl Iterator<Item = &str> {
        self.subjects
            .iter()
            .filter(move |(_, versions)| versions.values().any(|value| deleted || !value.deleted))
            .map(|(subject, _)| subject.as_str())
    }

    /// Versions of a subject in ascending order, the deleted ones too if `deleted`.
    pub fn versions(
        &self,
        subject: &str,
        deleted: bool,
    ) -> impl DoubleEndedIterator<Item = &SchemaValue> {
        self.subjects
            .get(subject)
            .into_iter()
            .flat_map(|versions| versions.values())
            .filter(move |value| deleted || !value.deleted)
    }

    /// A version of a subject, deleted or not.
    pub fn version(&self, subject: &str, version: i32) -> Option<&SchemaValue> {
        self.subjects.get(subject)?.get(&version)
    }

    /// The schema of an id, under one of its subjects.
    pub fn schema(&self, id: i32) -> Option<&SchemaValue> {
        self.uses(id).next()
    }

    /// All versions that have this id.
    pub fn uses(&self, id: i32) -> impl Iterator<Item = &SchemaValue> {
        self.ids
            .get(&id)
            .into_iter()
            .flat_map(|owners| owners.versions.iter())
            .filter_map(|(subject, version)| self.version(subject, *version))
    }

    /// The id of a schema that is registered somewhere.
    pub fn id(&self, identity: &Identity) -> Option<i32> {
        self.identities.get(identity).copied()
    }

    /// Whether the id means this schema, or nothing yet.
    pub fn id_fits(&self, id: i32, identity: &Identity) -> bool {
        self.ids
            .get(&id)
            .is_none_or(|owners| owners.identity == *identity)
    }

    /// The newest version of the subject that is this schema.
    pub fn find(&self, subject: &str, identity: &Identity, deleted: bool) -> Option<&SchemaValue> {
        self.versions(subject, deleted).rev().find(|value| {
            self.ids
                .get(&value.id)
                .is_some_and(|owners| owners.identity == *identity)
        })
    }

    /// The versions that reference one, the deleted ones too if `deleted`.
    pub fn referrers(&self, subject: &str, version: i32, deleted: bool) -> Vec<&SchemaValue> {
        let refers = |value: &&SchemaValue| {
            value
                .references
                .iter()
                .any(|r| r.subject == subject && r.version == version)
        };
        self.all(deleted).filter(refers).collect()
    }

    /// All versions of all subjects.
    pub fn all(&self, deleted: bool) -> impl Iterator<Item = &SchemaValue> {
        self.subjects
            .values()
            .flat_map(|versions| versions.values())
            .filter(move |value| deleted || !value.deleted)
    }

    /// The id that the next new schema gets.
    pub fn next_id(&self) -> i32 {
        self.highest_id + 1
    }

    /// The highest id that was ever given out, as far as the log says.
    pub fn highest_id(&self) -> i32 {
        self.highest_id
    }

    /// The setting of a subject itself, or the global one for `None`.
    pub fn config(&self, subject: Option<&str>) -> Option<&ConfigValue> {
        self.configs.get(&subject.map(str::to_owned))
    }

    /// The compatibility level that counts for a subject.
    pub fn level(&self, subject: &str) -> Level {
        [Some(subject), None]
            .into_iter()
            .find_map(|scope| self.config(scope)?.compatibility_level)
            .unwrap_or_default()
    }

    /// Whether schemas of a subject are normalized unasked.
    pub fn normalizes(&self, subject: &str) -> bool {
        [Some(subject), None]
            .into_iter()
            .find_map(|scope| self.config(scope)?.normalize)
            .unwrap_or_default()
    }

    /// The mode of a subject itself, or the global one for `None`.
    pub fn mode(&self, subject: Option<&str>) -> Option<Mode> {
        self.modes.get(&subject.map(str::to_owned)).copied()
    }

    /// The mode that counts for a subject.
    pub fn mode_in_scope(&self, subject: Option<&str>) -> Mode {
        match self.mode(None) {
            Some(Mode::ReadonlyOverride) => Mode::ReadonlyOverride,
            global => subject
                .and_then(|s| self.mode(Some(s)))
                .or(global)
                .unwrap_or_default(),
        }
    }
}
