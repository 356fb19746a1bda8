//! The registry and the declared schemas.

use millstream_events::Declaration;

use super::Check;
use crate::Error;
use crate::registry::Registry;
use crate::schemas::{self, DeclaredSubject, LEVEL, SubjectState};
use millstream_pipeline::config::Endpoints;

/// Subjects that are named of many.
const NAMED: usize = 3;

pub(super) async fn check_schemas(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
) -> Result<Vec<Check>, Error> {
    let registry = Registry::new(&endpoints.schema_registry)?;
    let count = registry.subject_count().await?;
    let mut checks = vec![Check::ok(
        "registry",
        format!("answers, holds {count} subjects"),
    )];
    let subjects = schemas::declared(declarations);
    let states = registry.states(&subjects).await?;
    let found: Vec<_> = subjects.iter().zip(&states).collect();
    checks.extend(compare(&found));
    Ok(checks)
}

/// What the registry has of the declared subjects.
fn compare(found: &[(&DeclaredSubject, &SubjectState)]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (declared, state) in found {
        let subject = &declared.subject;
        if !state.registered && state.misfits.is_empty() {
            checks.push(Check::fail(
                "schemas",
                format!(
                    "{subject} is not registered; run `{program} apply`",
                    program = millstream_pipeline::program::name()
                ),
            ));
        }
        for misfit in &state.misfits {
            let (what, remedy) = (misfit.describe(subject), misfit.remedy(subject));
            let message = format!("{what}. {remedy}");
            // What is registered goes on working; what is not cannot be.
            checks.push(match state.registered {
                true => Check::warn("schemas", message),
                false => Check::fail("schemas", format!("{subject} is not registered: {message}")),
            });
        }
    }
    let open: Vec<String> = found
        .iter()
        .filter(|(_, state)| state.is_open())
        .map(|(declared, state)| {
            let level = state.level.as_deref().unwrap_or_default();
            format!("{} ({level})", declared.subject)
        })
        .collect();
    if !open.is_empty() {
        let more = match open.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = open[..open.len().min(NAMED)].join(", ");
        checks.push(Check::warn(
            "schemas",
            format!(
                "anybody may register versions that handlers cannot read under {named}{more}; `{program} \
                 apply` holds them to {LEVEL}",
                program = millstream_pipeline::program::name()
            ),
        ));
    }
    let hidden = found
        .iter()
        .find_map(|(_, state)| state.level.as_ref().err());
    if let Some(reason) = hidden {
        checks.push(Check::warn(
            "schemas",
            format!(
                "compatibility levels are not known ({reason}); see to it that they are {LEVEL}"
            ),
        ));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            "schemas",
            format!("all {} are registered, and held to {LEVEL}", found.len()),
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use crate::schemas::Misfit;

    fn told(change: impl FnOnce(&mut SubjectState)) -> Vec<(Outcome, String)> {
        let subjects = schemas::declared(millstream_topics::TOPICS);
        let good = SubjectState {
            registered: true,
            first: false,
            level: Ok(LEVEL.into()),
            misfits: Vec::new(),
        };
        let mut states = vec![good; subjects.len()];
        change(&mut states[0]);
        let found: Vec<_> = subjects.iter().zip(&states).collect();
        let checks = compare(&found).into_iter();
        checks.map(|it| (it.outcome, it.message)).collect()
    }

    #[test]
    fn what_others_have_registered_is_told_with_what_to_do() {
        let well = told(|_| {});
        assert!(
            matches!(&well[..], [(Outcome::Ok, message)] if message.contains("all ")),
            "{well:?}"
        );
        let misfit = Misfit {
            version: 2,
            unreadable: vec!["the field a is not written".into()],
            unreading: Vec::new(),
        };
        let foreign = told(|state| state.misfits.push(misfit.clone()));
        let [(Outcome::Warn, message)] = &foreign[..] else {
            panic!("{foreign:?}")
        };
        assert!(
            message.contains("version 2 of") && message.contains("DELETE /subjects/"),
            "{message}"
        );
        let blocked = told(|state| {
            state.registered = false;
            state.misfits.push(misfit);
        });
        assert!(matches!(&blocked[..], [(Outcome::Fail, _)]), "{blocked:?}");
        let missing = told(|state| state.registered = false);
        assert!(
            matches!(&missing[..], [(Outcome::Fail, message)] if message.contains("millstream apply"))
        );
        let open = told(|state| state.level = Ok("BACKWARD".into()));
        assert!(
            matches!(&open[..], [(Outcome::Warn, message)] if message.contains("(BACKWARD)")),
            "{open:?}"
        );
        let hidden = told(|state| state.level = Err("403".into()));
        assert!(matches!(&hidden[..], [(Outcome::Warn, message)] if message.contains("403")));
    }
}
