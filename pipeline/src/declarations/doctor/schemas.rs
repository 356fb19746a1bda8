//! The registry and the declared schemas.

use millstream_topics::Declaration;

use super::Check;
use crate::config::Endpoints;
use crate::declarations::Error;
use crate::declarations::schemas::{self, Registry, SubjectState};

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
    for (declared, state) in subjects.iter().zip(registry.states(&subjects).await?) {
        let subject = &declared.subject;
        match state {
            SubjectState::Registered => {}
            SubjectState::Missing { .. } => {
                checks.push(Check::fail(
                    "schemas",
                    format!("{subject} is not registered; run `millstream apply`"),
                ));
            }
            SubjectState::Incompatible { reasons } => {
                let reasons = reasons.join("; ");
                checks.push(Check::fail(
                    "schemas",
                    format!("{subject} holds an incompatible version: {reasons}"),
                ));
            }
        }
    }
    if checks.len() == 1 {
        checks.push(Check::ok(
            "schemas",
            format!("all {} are registered", subjects.len()),
        ));
    }
    Ok(checks)
}
