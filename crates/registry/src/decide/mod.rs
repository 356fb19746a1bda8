//! What a request leads to: a pure function of the state and the request that gives the records to
//! write and the answer, or the refusal.

mod compatible;
mod delete;
mod register;
mod schema;
mod settings;

pub use compatible::{check_all, check_version};
pub use delete::{delete_subject, delete_version};
pub use register::{Registration, lookup, register, registered};
pub use schema::Draft;
pub use settings::{delete_config, delete_mode, set_config, set_mode};

use super::error::Refusal;
use super::record::Record;
use super::state::State;

/// What to write, and what to answer once it is written and read back.
#[derive(Debug)]
pub struct Decision<T> {
    /// Records in the order in which they are written.
    pub records: Vec<Record>,
    /// The answer.
    pub answer: T,
}

impl<T> Decision<T> {
    /// An answer that needs nothing written.
    pub fn answer(answer: T) -> Self {
        Decision {
            records: Vec::new(),
            answer,
        }
    }
}

/// A version as a client names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionName {
    /// The newest one.
    Latest,
    /// By number.
    Number(i32),
}

impl VersionName {
    /// Reads `latest`, `-1` or a number from 1.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match (text.trim(), text.trim().parse::<i32>()) {
            ("latest" | "-1", _) => Ok(VersionName::Latest),
            (_, Ok(number)) if number >= 1 => Ok(VersionName::Number(number)),
            _ => Err(Refusal::InvalidVersion(text.to_owned())),
        }
    }

    /// The version in the state, the deleted ones too if `deleted`.
    pub fn find<'a>(
        self,
        state: &'a State,
        subject: &str,
        deleted: bool,
    ) -> Result<&'a super::record::SchemaValue, Refusal> {
        let found = match self {
            VersionName::Latest => state.versions(subject, deleted).next_back(),
            VersionName::Number(number) => state
                .version(subject, number)
                .filter(|value| deleted || !value.deleted),
        };
        found.ok_or_else(|| match self {
            VersionName::Number(number) if state.versions(subject, deleted).next().is_some() => {
                Refusal::VersionNotFound(number)
            }
            _ => Refusal::SubjectNotFound(subject.to_owned()),
        })
    }
}

/// Refuses when nothing may be written under the subject.
fn writable(state: &State, subject: &str) -> Result<(), Refusal> {
    if state.mode_in_scope(Some(subject)).read_only() {
        return Err(Refusal::NotPermitted(format!(
            "Subject {subject} is in read-only mode"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
