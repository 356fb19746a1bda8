//! The schema step: which subjects are declared, what the registry has of them, and which of their
//! versions do not go together with the declared schema.

use millstream_events::{Declaration, EventSchema, Subjects};

use millstream_avro::Tree;
use millstream_avro::compatibility::{Problem, problems};

/// The level that declared subjects are held to: every version reads what every other one wrote, so
/// that events outlive programs in both directions.
pub(crate) const LEVEL: &str = "FULL_TRANSITIVE";
/// Reasons of one version that are told.
const TOLD: usize = 3;

/// A subject and the schema that it should hold.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredSubject {
    pub subject: String,
    pub schema: &'static EventSchema,
}

/// What the registry says about a declared subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubjectState {
    /// Whether this very schema is registered.
    pub registered: bool,
    /// Whether no schema is registered.
    pub first: bool,
    /// The level that decides what others may register; an error says why it is not told.
    pub level: Result<String, String>,
    /// Versions that do not go together with the declared schema.
    pub misfits: Vec<Misfit>,
}

/// A version that does not go together with the declared schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub version: i64,
    /// Why handlers cannot read what is written with it.
    pub unreadable: Vec<String>,
    /// Why it cannot read what the declared schema writes.
    pub unreading: Vec<String>,
}

/// A version of a subject, read from the registry.
#[derive(Debug)]
pub(crate) struct Version {
    pub version: i64,
    /// The schema; an error says why it cannot be compared.
    pub tree: Result<Tree, String>,
}

impl SubjectState {
    /// Whether others may register what does not go together with the declared schema.
    pub fn is_open(&self) -> bool {
        self.level.as_ref().is_ok_and(|level| level != LEVEL)
    }
}

impl Misfit {
    /// Compares a version with the declared schema; `None`: they go together.
    pub fn of(declared: &DeclaredSubject, found: &Version) -> Option<Self> {
        let ours = Tree::parse(declared.schema.json);
        let (unreadable, unreading) = match (&ours, &found.tree) {
            (Ok(ours), Ok(theirs)) => (
                reasons(&problems(ours, theirs)),
                reasons(&problems(theirs, ours)),
            ),
            (_, Err(reason)) | (Err(reason), _) => (vec![reason.clone()], Vec::new()),
        };
        let fits = unreadable.is_empty() && unreading.is_empty();
        (!fits).then_some(Self {
            version: found.version,
            unreadable,
            unreading,
        })
    }

    /// What is wrong with it.
    pub fn describe(&self, subject: &str) -> String {
        let mut parts = Vec::new();
        if !self.unreadable.is_empty() {
            let why = self.unreadable.join(", ");
            parts.push(format!(
                "handlers cannot read what is written with it ({why})"
            ));
        }
        if !self.unreading.is_empty() {
            let why = self.unreading.join(", ");
            parts.push(format!(
                "it cannot read what the declared schema writes ({why})"
            ));
        }
        let version = self.version;
        format!("version {version} of {subject}: {}", parts.join("; "))
    }

    /// How it is got rid of.
    pub fn remedy(&self, subject: &str) -> String {
        let version = self.version;
        format!(
            "As long as it is there the registry takes no next version of the declared schema. If \
             nobody should write with it, let its producer use the declared schema and delete it: \
             `DELETE /subjects/{subject}/versions/{version}` at the registry; what was written with it \
             keeps its id"
        )
    }
}

fn reasons(problems: &[Problem]) -> Vec<String> {
    let told = problems.iter().take(TOLD);
    let mut told: Vec<String> = told.map(|problem| problem.reason.clone()).collect();
    if problems.len() > TOLD {
        told.push(format!("and {} more", problems.len() - TOLD));
    }
    told
}

/// The subjects of all topics and their result topics, each once.
pub(crate) fn declared(declarations: &[&Declaration]) -> Vec<DeclaredSubject> {
    let mut subjects: Vec<DeclaredSubject> = Vec::new();
    let mut add = |subject: String, schema: &'static EventSchema| {
        if !subjects.iter().any(|known| known.subject == subject) {
            subjects.push(DeclaredSubject { subject, schema });
        }
    };
    for declaration in declarations {
        for event in declaration.events {
            let subject = declaration
                .subjects
                .subject(declaration.name, event.full_name);
            add(subject, (event.schema)());
        }
        for results in declaration.results.iter() {
            for schema in results.schemas {
                let schema = schema();
                add(
                    Subjects::TopicRecord.subject(results.name, schema.full_name),
                    schema,
                );
            }
        }
    }
    subjects
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The subject of `ReserveProduct`, and a version that is its schema after a change.
    fn changed(change: impl FnOnce(&mut Vec<Value>)) -> Option<Misfit> {
        let mut subjects = declared(millstream_topics::TOPICS).into_iter();
        let subject = subjects.find(|it| it.subject == "product-reservations-value");
        let subject = subject.unwrap();
        let mut schema: Value = serde_json::from_str(subject.schema.json).unwrap();
        change(schema["fields"].as_array_mut().unwrap());
        let found = Version {
            version: 2,
            tree: Tree::parse(&schema.to_string()),
        };
        Misfit::of(&subject, &found)
    }

    #[test]
    fn a_version_fits_if_both_read_each_other() {
        assert_eq!(changed(|_| {}), None);
        let plain = |fields: &mut Vec<Value>| drop(fields.pop());
        assert_eq!(changed(plain), None, "without meta");
        let note = json!({ "name": "note", "type": "string", "default": "" });
        assert_eq!(
            changed(|fields| fields.push(note)),
            None,
            "with a field more"
        );

        // What BACKWARD, the registries' default, lets in beside a schema without such a field.
        let nope = json!({ "name": "nope", "type": ["null", "string"] });
        let misfit = changed(|fields| fields[0] = nope.clone()).unwrap();
        assert!(
            misfit.unreadable[0].contains("reservation_id"),
            "{misfit:?}"
        );
        assert!(misfit.unreading[0].contains("nope"), "{misfit:?}");
        let told = misfit.describe("s-value");
        assert!(
            told.starts_with("version 2 of s-value: handlers cannot read"),
            "{told}"
        );
        let remedy = misfit.remedy("s-value");
        assert!(
            remedy.contains("DELETE /subjects/s-value/versions/2"),
            "{remedy}"
        );

        let blocking = changed(|fields| fields.push(nope)).unwrap();
        assert_eq!(blocking.unreadable, Vec::<String>::new());
        assert!(blocking.unreading[0].contains("nope"), "{blocking:?}");
    }

    #[test]
    fn what_cannot_be_compared_does_not_fit() {
        let subject = declared(millstream_topics::TOPICS).remove(0);
        let tree = Err("it is PROTOBUF".to_owned());
        let misfit = Misfit::of(&subject, &Version { version: 1, tree }).unwrap();
        assert_eq!(misfit.unreadable, ["it is PROTOBUF"]);
    }
}
