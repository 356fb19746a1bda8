//! A schema of a request: parsed, with its references resolved.

use crate::registry::avro::{self, Tree};
use crate::registry::error::Refusal;
use crate::registry::record::{Reference, SchemaValue};
use crate::registry::state::{Identity, State};

/// A valid schema.
#[derive(Debug)]
pub struct Schema {
    /// The schema with the types of its references.
    pub tree: Tree,
    /// The text to store.
    pub text: String,
    /// The references, their versions resolved.
    pub references: Vec<Reference>,
    /// What it is compared by.
    pub identity: Identity,
}

impl Schema {
    /// Reads a schema that a client sent.
    pub fn parse(
        state: &State,
        kind: Option<&str>,
        text: &str,
        references: &[Reference],
        normalize: bool,
    ) -> Result<Self, Refusal> {
        if let Some(kind) = kind.filter(|kind| !kind.is_empty() && *kind != "AVRO") {
            return Err(Refusal::InvalidSchema(format!(
                "this registry stores AVRO only, not {kind}; send schemaType AVRO"
            )));
        }
        if text.trim().is_empty() {
            return Err(Refusal::InvalidSchema("Empty schema".into()));
        }
        let references = resolve(state, references)?;
        let mut used = Vec::new();
        collect(state, &references, &mut used)?;
        let tree = Tree::parse(text).map_err(Refusal::InvalidSchema)?;
        let tree = match normalize {
            true => Tree::parse(&avro::normalized(&tree)).map_err(Refusal::InvalidSchema)?,
            false => tree,
        };
        let text = avro::canonical(&tree);
        let texts = used
            .iter()
            .map(|value| value.schema.clone())
            .collect::<Vec<_>>();
        avro::validate(&text, &texts).map_err(Refusal::InvalidSchema)?;
        let identity = Identity::new(&text, &references);
        Ok(Schema {
            tree: with_types(tree, &used),
            text,
            references,
            identity,
        })
    }
}

/// A stored schema with the types of its references; the reason when it cannot be read.
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

/// The same references with `-1` replaced by the version that is the latest now.
fn resolve(state: &State, references: &[Reference]) -> Result<Vec<Reference>, Refusal> {
    references
        .iter()
        .map(|reference| {
            let found = match reference.version {
                -1 => state.versions(&reference.subject, false).next_back(),
                version => state
                    .version(&reference.subject, version)
                    .filter(|value| !value.deleted),
            };
            let version = found.ok_or_else(|| missing(reference))?.version;
            Ok(Reference {
                version,
                ..reference.clone()
            })
        })
        .collect()
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
