//! Whether a schema may follow the versions that a subject has.

use super::VersionName;
use super::register::Registration;
use super::schema::{Draft, stored};
use crate::error::Refusal;
use crate::level::Level;
use crate::record::SchemaValue;
use crate::state::State;
use millstream_avro::Tree;
use millstream_avro::compatibility::{Problem, problems};

/// What keeps a schema from following the versions that the subject's level names; empty if nothing.
pub fn check_all(
    state: &State,
    subject: &str,
    request: &Registration,
) -> Result<Vec<String>, Refusal> {
    let draft = draft(state, subject, request)?;
    incompatibilities(state, subject, &draft)
}

/// What keeps a schema from following one version; empty if nothing. A subject without versions is
/// compatible with everything.
pub fn check_version(
    state: &State,
    subject: &str,
    version: VersionName,
    request: &Registration,
) -> Result<Vec<String>, Refusal> {
    let draft = draft(state, subject, request)?;
    let old = match version.find(state, subject, false) {
        Err(_) if version == VersionName::Latest => return Ok(Vec::new()),
        found => found?,
    };
    Ok(against(
        state,
        &draft.tree(state)?,
        old,
        state.level(subject),
    ))
}

fn draft(state: &State, subject: &str, request: &Registration) -> Result<Draft, Refusal> {
    let latest = state.versions(subject, false).next_back();
    let draft = Draft::new(state, subject, request, latest);
    draft.check(state)?;
    Ok(draft)
}

/// As [`check_all`], for a schema that is read already.
pub fn incompatibilities(
    state: &State,
    subject: &str,
    draft: &Draft,
) -> Result<Vec<String>, Refusal> {
    let level = state.level(subject);
    let count = match level {
        Level::None => 0,
        level if level.transitive() => usize::MAX,
        _ => 1,
    };
    let newest_first = state.versions(subject, false).rev().take(count);
    let mut newest_first = newest_first.peekable();
    if newest_first.peek().is_none() {
        return Ok(Vec::new());
    }
    let tree = draft.tree(state)?;
    let found = newest_first.flat_map(|old| against(state, &tree, old, level));
    Ok(found.collect())
}

fn against(state: &State, new: &Tree, old: &SchemaValue, level: Level) -> Vec<String> {
    if level == Level::None {
        return Vec::new();
    }
    let mut found = match stored(state, old) {
        Ok(tree) => {
            let backward = if level.backward() {
                problems(new, &tree)
            } else {
                Vec::new()
            };
            let forward = if level.forward() {
                problems(&tree, new)
            } else {
                Vec::new()
            };
            let say = |problem: &Problem, reader: &str, writer: &str| {
                format!(
                    "{{errorType:'{}', description:'The {reader} schema cannot read what the {writer} one writes: {} (path '{}' in the {reader} schema)'}}",
                    problem.kind, problem.reason, problem.path
                )
            };
            let backward = backward.iter().map(|problem| say(problem, "new", "old"));
            backward
                .chain(forward.iter().map(|problem| say(problem, "old", "new")))
                .collect::<Vec<_>>()
        }
        Err(reason) => vec![format!(
            "{{errorType:'UNREADABLE_VERSION', description:'The old schema cannot be compared: {reason}'}}"
        )],
    };
    if !found.is_empty() {
        found.push(format!("{{oldSchemaVersion: {}}}", old.version));
        found.push(format!("{{oldSchema: '{}'}}", old.schema));
        found.push(format!("{{compatibility: '{}'}}", level.name()));
    }
    found
}
