//! A schema of a request: what it is looked up by, and whether it may be registered.

use std::collections::HashSet;

use super::register::Registration;
use crate::contract;
use crate::error::Refusal;
use crate::level::Mode;
use crate::record::{Reference, SchemaValue};
use crate::state::{Identity, State};
use millstream_avro::limits;
use millstream_avro::{Tree, valid};

/// References that lead on and on end here: they are followed one into the other.
const MAX_REFERENCES: usize = 100;

/// A schema of a request, as a version that has no place and no number yet. Nothing is asked of it:
/// what is registered is found, whatever is wrong with it.
#[derive(Debug)]
pub struct Draft {
    /// The version.
    pub value: SchemaValue,
    /// What it is looked up by.
    pub identity: Identity,
}

impl Draft {
    /// The schema that a client sent. Metadata and rules that it does not speak of are those of
    /// `before`, as in Confluent's registry: who knows nothing of them does not take them away.
    pub fn new(
        state: &State,
        subject: &str,
        request: &Registration,
        before: Option<&SchemaValue>,
    ) -> Self {
        let kind = request.schema_type.clone();
        let kind = kind.filter(|kind| !kind.is_empty() && kind != "AVRO");
        let text = request.schema.as_deref().unwrap_or_default();
        let text = match Tree::parse(text) {
            Ok(tree) if kind.is_none() => {
                let normalize = request.normalize || state.normalizes(subject);
                let normal =
                    normalize.then(|| Tree::parse(&millstream_avro::normalized(&tree)).ok());
                millstream_avro::canonical(normal.flatten().as_ref().unwrap_or(&tree))
            }
            _ => text.to_owned(),
        };
        let references = request.references.as_deref().unwrap_or_default();
        let references = references.iter().map(|it| resolved(state, it));
        let value = SchemaValue {
            subject: subject.to_owned(),
            version: 0,
            id: 0,
            schema_type: kind,
            references: references.collect(),
            metadata: match &request.metadata {
                Some(metadata) => contract::stored(metadata),
                None => before.and_then(|before| before.metadata.clone()),
            },
            rule_set: match &request.rule_set {
                Some(rules) => contract::stored(rules),
                None => before.and_then(|before| before.rule_set.clone()),
            },
            schema: text,
            deleted: false,
            other: serde_json::Map::new(),
        };
        let identity = Identity::of(&value);
        Draft { value, identity }
    }

    /// The same as this version of its subject, where its metadata counts them.
    pub fn counted(mut self, version: i32) -> Self {
        let properties = self
            .value
            .metadata
            .as_mut()
            .and_then(|it| it.get_mut("properties"));
        if let Some(count) = properties.and_then(|it| it.get_mut(contract::VERSION)) {
            *count = version.to_string().into();
            self.identity = Identity::of(&self.value);
        }
        self
    }

    /// Whether it may be registered. What is registered somewhere is taken as it is, and so is what
    /// comes with an import, as long as it is a schema; what is new is checked.
    pub fn check(&self, state: &State) -> Result<(), Refusal> {
        let value = &self.value;
        if state.id(&self.identity).is_some() {
            return Ok(());
        }
        if let Some(kind) = &value.schema_type {
            return Err(Refusal::InvalidSchema(format!(
                "this registry stores AVRO only, not {kind}; send schemaType AVRO"
            )));
        }
        match state.mode_in_scope(Some(&value.subject)) {
            Mode::Import => self.tree(state).map(|_| ()),
            _ => check(state, value),
        }
    }

    /// The schema with the types of its references.
    pub fn tree(&self, state: &State) -> Result<Tree, Refusal> {
        stored(state, &self.value).map_err(Refusal::InvalidSchema)
    }
}

/// Whether a schema that is new may be registered.
fn check(state: &State, value: &SchemaValue) -> Result<(), Refusal> {
    if value.schema.trim().is_empty() {
        return Err(Refusal::InvalidSchema("Empty schema".into()));
    }
    for reference in &value.references {
        state
            .version(&reference.subject, reference.version)
            .filter(|referred| !referred.deleted)
            .ok_or_else(|| missing(reference))?;
    }
    let mut used = Vec::new();
    collect(state, &value.references, &mut used)?;
    let texts = used.iter().map(|value| value.schema.as_str());
    let quoted = millstream_avro::quoted(&value.schema);
    limits::fits_together(texts.chain([quoted.as_ref()])).map_err(Refusal::InvalidSchema)?;
    let tree = Tree::parse(&value.schema).map_err(Refusal::InvalidSchema)?;
    let own = tree.named.keys().cloned().collect::<HashSet<_>>();
    valid::check(&with_types(tree, &used), &own).map_err(Refusal::InvalidSchema)
}

/// A version with the types of its references; the reason when it cannot be read.
pub fn stored(state: &State, value: &SchemaValue) -> Result<Tree, String> {
    if !value.is_avro() {
        return Err(format!(
            "it is {}",
            value.schema_type.as_deref().unwrap_or("no Avro")
        ));
    }
    let mut used = Vec::new();
    collect(state, &value.references, &mut used).map_err(|refusal| refusal.to_string())?;
    Ok(with_types(Tree::parse(&value.schema)?, &used))
}

fn with_types(mut tree: Tree, used: &[&SchemaValue]) -> Tree {
    for value in used {
        if let Ok(types) = Tree::parse(&value.schema) {
            tree.import(&types);
        }
    }
    tree
}

/// A reference to version `-1` is one to the version that is the latest now.
fn resolved(state: &State, reference: &Reference) -> Reference {
    let latest = state.versions(&reference.subject, false).next_back();
    match latest {
        Some(latest) if reference.version == -1 => Reference {
            version: latest.version,
            ..reference.clone()
        },
        _ => reference.clone(),
    }
}

/// All schemas that these references lead to, each once.
fn collect<'a>(
    state: &'a State,
    references: &[Reference],
    used: &mut Vec<&'a SchemaValue>,
) -> Result<(), Refusal> {
    for reference in references {
        let value = state
            .version(&reference.subject, reference.version)
            .ok_or_else(|| missing(reference))?;
        let known = used
            .iter()
            .any(|u| u.subject == value.subject && u.version == value.version);
        if !known {
            if used.len() == MAX_REFERENCES {
                return Err(Refusal::InvalidSchema(format!(
                    "the references lead to more than {MAX_REFERENCES} schemas"
                )));
            }
            used.push(value);
            collect(state, &value.references, used)?;
        }
    }
    Ok(())
}

fn missing(reference: &Reference) -> Refusal {
    Refusal::InvalidSchema(format!(
        "no version {} of subject {} for the reference {}; register it first",
        reference.version, reference.subject, reference.name
    ))
}
