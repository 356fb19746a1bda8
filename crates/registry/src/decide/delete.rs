//! Deleting versions and subjects: softly first, which keeps the ids readable, then for good.

use super::{Decision, VersionName, writable};
use crate::error::Refusal;
use crate::record::{DeleteSubjectValue, Record, SchemaValue};
use crate::state::State;

/// Deletes a version and answers its number.
pub fn delete_version(
    state: &State,
    subject: &str,
    version: VersionName,
    permanent: bool,
) -> Result<Decision<i32>, Refusal> {
    writable(state, subject)?;
    let value = match version {
        VersionName::Latest => version.find(state, subject, permanent)?,
        VersionName::Number(_) => version.find(state, subject, true)?,
    };
    unreferenced(state, value, permanent)?;
    let number = value.version;
    let records = match (permanent, value.deleted) {
        (true, false) => return Err(Refusal::VersionNotDeleted(subject.to_owned(), number)),
        (false, true) => return Err(Refusal::VersionDeleted(subject.to_owned(), number)),
        (true, true) => vec![Record::NoSchema {
            subject: subject.to_owned(),
            version: number,
        }],
        (false, false) => {
            let mut records = vec![Record::Schema(SchemaValue {
                deleted: true,
                ..value.clone()
            })];
            if state.versions(subject, false).count() == 1 {
                records.extend(settings(state, subject));
            }
            records
        }
    };
    Ok(Decision {
        records,
        answer: number,
    })
}

/// Deletes a subject and answers the versions that are deleted by this.
pub fn delete_subject(
    state: &State,
    subject: &str,
    permanent: bool,
) -> Result<Decision<Vec<i32>>, Refusal> {
    writable(state, subject)?;
    if state.versions(subject, true).next().is_none() {
        return Err(Refusal::SubjectNotFound(subject.to_owned()));
    }
    let versions = state.versions(subject, permanent).collect::<Vec<_>>();
    let answer = versions
        .iter()
        .map(|value| value.version)
        .collect::<Vec<_>>();
    let Some(last) = answer.last().copied() else {
        return Err(Refusal::SubjectDeleted(subject.to_owned()));
    };
    for value in &versions {
        unreferenced(state, value, permanent)?;
        if permanent && !value.deleted {
            return Err(Refusal::SubjectNotDeleted(subject.to_owned()));
        }
    }
    let records = if permanent {
        let gone = |version: &i32| Record::NoSchema {
            subject: subject.to_owned(),
            version: *version,
        };
        answer.iter().map(gone).collect()
    } else {
        let value = DeleteSubjectValue {
            subject: subject.to_owned(),
            version: last,
        };
        std::iter::once(Record::DeleteSubject(value))
            .chain(settings(state, subject))
            .collect()
    };
    Ok(Decision { records, answer })
}

fn unreferenced(state: &State, value: &SchemaValue, permanent: bool) -> Result<(), Refusal> {
    if state
        .referrers(&value.subject, value.version, permanent)
        .is_empty()
    {
        return Ok(());
    }
    Err(Refusal::Referenced(value.subject.clone(), value.version))
}

/// Removes the settings of a subject that has no versions left.
fn settings(state: &State, subject: &str) -> impl Iterator<Item = Record> {
    let mode = state
        .mode(Some(subject))
        .map(|_| Record::NoMode(Some(subject.to_owned())));
    let config = state
        .config(Some(subject))
        .map(|_| Record::NoConfig(Some(subject.to_owned())));
    mode.into_iter().chain(config)
}
