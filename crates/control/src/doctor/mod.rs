//! Checks whether an installation is healthy: one line each, with what to do.

mod deployments;
mod invocations;
mod kafka;
mod lanes;
mod restate;
mod schemas;

use millstream_events::Declaration;
use serde::Serialize;

use self::kafka::{check_offsets, check_topics};
use self::lanes::check_lanes;
use self::restate::check_restate;
use self::schemas::check_schemas;
use super::kafka::Kafka;
use super::placement::{self, Misplaced};
use super::plan::Problem;
use super::restate::Restate;
use super::{Error, Settings};
use millstream_pipeline::config::Endpoints;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Works, and somebody should look.
    Warn,
    /// Does not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen, and what to do about it.
    pub message: String,
}

impl Check {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Ok,
            message: message.into(),
        }
    }

    fn warn(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Warn,
            message: message.into(),
        }
    }

    fn fail(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Fail,
            message: message.into(),
        }
    }

    fn error(check: &'static str, error: &Error) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            message = format!("{message}: {inner}");
            source = inner.source();
        }
        Self::fail(check, message)
    }

    fn problem(check: &'static str, problem: Problem) -> Self {
        if problem.refused {
            Self::fail(check, problem.message)
        } else {
            Self::warn(check, problem.message)
        }
    }
}

/// Checks everything; a part that does not answer fails its own checks only.
pub async fn doctor(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Vec<Check> {
    let kafka = Kafka::new(&endpoints.kafka);
    let mut checks = Vec::new();
    let topics = check_topics(&kafka, declarations, endpoints, &mut checks).await;
    checks.extend(
        check_schemas(declarations, endpoints)
            .await
            .unwrap_or_else(|e| vec![Check::error("registry", &e)]),
    );
    let restate = match Restate::new(&endpoints.restate_admin) {
        Ok(restate) => restate,
        Err(error) => {
            checks.push(Check::error("restate", &error));
            return checks;
        }
    };
    match check_restate(&restate, declarations, endpoints, settings).await {
        Err(error) => checks.push(Check::error("restate", &error)),
        Ok((found, subscriptions)) => {
            checks.extend(found);
            if let Some(topics) = topics {
                let services = restate.services().await.unwrap_or_default();
                let found = check_lanes(&kafka, &restate, declarations, settings, &topics).await;
                checks.extend(found.unwrap_or_else(|e| vec![Check::error("batch lane", &e)]));
                let found = check_offsets(
                    &kafka,
                    declarations,
                    settings,
                    topics,
                    &services,
                    subscriptions,
                );
                let found = found.await;
                checks.extend(found.unwrap_or_else(|e| vec![Check::error("offsets", &e)]));
                let misplaced = placement::misplaced(declarations, &kafka, &services).await;
                let warnings = misplaced.iter().map(Misplaced::warning);
                checks.extend(warnings.map(|warning| Check::warn("keys", warning)));
            }
        }
    }
    checks
}
