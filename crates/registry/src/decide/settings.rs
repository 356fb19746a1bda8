//! Compatibility levels and modes, of a subject or (`None`) of all.

use super::Decision;
use crate::error::Refusal;
use crate::level::{Level, Mode};
use crate::record::{ConfigValue, ModeValue, Record};
use crate::state::State;

/// Sets the level, and whether to normalize; what is `None` stays as it is.
pub fn set_config(
    state: &State,
    subject: Option<&str>,
    level: Option<Level>,
    normalize: Option<bool>,
) -> Result<Decision<()>, Refusal> {
    changeable(state, subject)?;
    let old = state.config(subject).cloned().unwrap_or_default();
    let value = ConfigValue {
        subject: subject.map(str::to_owned),
        compatibility_level: level.or(old.compatibility_level),
        normalize: normalize.or(old.normalize),
        other: old.other,
    };
    Ok(Decision {
        records: vec![Record::Config(value)],
        answer: (),
    })
}

/// Forgets the level and answers what it was.
pub fn delete_config(
    state: &State,
    subject: Option<&str>,
) -> Result<Decision<ConfigValue>, Refusal> {
    changeable(state, subject)?;
    let old = match (state.config(subject), subject) {
        (Some(old), _) => old.clone(),
        (None, Some(subject)) => return Err(Refusal::SubjectNotFound(subject.to_owned())),
        (None, None) => {
            let level = Some(Level::default());
            return Ok(Decision::answer(ConfigValue {
                compatibility_level: level,
                ..Default::default()
            }));
        }
    };
    Ok(Decision {
        records: vec![Record::NoConfig(subject.map(str::to_owned))],
        answer: old,
    })
}

/// Sets the mode. The ids of an import must not meet others: without `force`, IMPORT needs a
/// registry or a subject without schemas.
pub fn set_mode(
    state: &State,
    subject: Option<&str>,
    mode: Mode,
    force: bool,
) -> Result<Decision<()>, Refusal> {
    let import = mode == Mode::Import && state.mode_in_scope(subject) != Mode::Import;
    let occupied = match subject {
        Some(subject) => state.versions(subject, false).next().is_some(),
        None => state.subjects(false).next().is_some(),
    };
    if import && occupied && !force {
        return Err(Refusal::NotPermitted(
            "Cannot import since found existing subjects; delete them or set force=true".into(),
        ));
    }
    let value = ModeValue {
        subject: subject.map(str::to_owned),
        mode,
    };
    Ok(Decision {
        records: vec![Record::Mode(value)],
        answer: (),
    })
}

/// Forgets the mode and answers what it was.
pub fn delete_mode(state: &State, subject: Option<&str>) -> Result<Decision<Mode>, Refusal> {
    let old = match (state.mode(subject), subject) {
        (Some(old), _) => old,
        (None, Some(subject)) => return Err(Refusal::SubjectNotFound(subject.to_owned())),
        (None, None) => return Ok(Decision::answer(Mode::default())),
    };
    Ok(Decision {
        records: vec![Record::NoMode(subject.map(str::to_owned))],
        answer: old,
    })
}

fn changeable(state: &State, subject: Option<&str>) -> Result<(), Refusal> {
    if state.mode_in_scope(subject).read_only() {
        let what = subject.map_or_else(
            || "The registry".to_owned(),
            |subject| format!("Subject {subject}"),
        );
        return Err(Refusal::NotPermitted(format!(
            "{what} is in read-only mode"
        )));
    }
    Ok(())
}
