//! Checks whether an installation is healthy: one line each, with what to do.

use std::collections::{BTreeMap, BTreeSet};

use millstream_topics::Declaration;
use serde::Serialize;

use super::kafka::{ActualTopic, Kafka};
use super::plan::Problem;
use super::restate::{ActualSubscription, Restate};
use super::schemas::{self, Registry, SubjectState};
use super::state::{self, Actual};
use super::subscriptions::DeclaredSubscription;
use super::{Error, Settings, build, cluster, status, subscriptions, topics};
use crate::config::Endpoints;

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
        Self { check, outcome: Outcome::Ok, message: message.into() }
    }

    fn warn(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Warn, message: message.into() }
    }

    fn fail(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Fail, message: message.into() }
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
        if problem.refused { Self::fail(check, problem.message) } else { Self::warn(check, problem.message) }
    }
}

/// Checks everything; a part that does not answer fails its own checks only.
pub async fn doctor(declarations: &[&Declaration], endpoints: &Endpoints, settings: &Settings) -> Vec<Check> {
    let kafka = Kafka::new(&endpoints.kafka);
    let mut checks = Vec::new();
    let topics = check_topics(&kafka, declarations, &mut checks).await;
    checks.extend(check_schemas(declarations, endpoints).await.unwrap_or_else(|e| vec![Check::error("registry", &e)]));
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
                let found = check_offsets(&kafka, declarations, settings, topics, subscriptions).await;
                checks.extend(found.unwrap_or_else(|e| vec![Check::error("offsets", &e)]));
            }
        }
    }
    checks
}

async fn check_topics(
    kafka: &Kafka,
    declarations: &[&Declaration],
    checks: &mut Vec<Check>,
) -> Option<BTreeMap<String, ActualTopic>> {
    let declared = topics::declared(declarations);
    let names: BTreeSet<String> = declared.iter().map(|topic| topic.name.clone()).collect();
    let (actual, default_replication) = match kafka.topics(&names).await {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::error("kafka", &error));
            return None;
        }
    };
    checks.push(Check::ok("kafka", "answers"));
    let before = checks.len();
    for topic in &declared {
        let (change, problems) = topics::compare(topic, actual.get(&topic.name), default_replication);
        checks.extend(change.map(|_| match actual.contains_key(&topic.name) {
            true => Check::warn("topics", format!("{} has other settings; run `millstream apply`", topic.name)),
            false => Check::fail("topics", format!("{} is missing; run `millstream apply`", topic.name)),
        }));
        checks.extend(problems.into_iter().map(|problem| Check::problem("topics", problem)));
    }
    if checks.len() == before {
        checks.push(Check::ok("topics", format!("all {} are as declared", declared.len())));
    }
    let dead = dead_letters(kafka, declarations, &actual).await;
    checks.push(dead.unwrap_or_else(|error| Check::error("dead letters", &error)));
    Some(actual)
}

async fn dead_letters(
    kafka: &Kafka,
    declarations: &[&Declaration],
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Check, Error> {
    let names: BTreeSet<String> =
        declarations.iter().filter(|d| d.dead_letters).map(|d| d.dead_letter_topic()).collect();
    let kept = topics.iter().filter(|(name, _)| names.contains(*name)).map(|(n, t)| (n.clone(), t.clone())).collect();
    let found: Vec<String> = status::records(kafka, &kept)
        .await?
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} on {name}"))
        .collect();
    Ok(match found.is_empty() {
        true => Check::ok("dead letters", "none"),
        false => {
            let found = found.join(", ");
            Check::warn("dead letters", format!("{found}; `millstream tail <topic>` shows why each is there"))
        }
    })
}

async fn check_schemas(declarations: &[&Declaration], endpoints: &Endpoints) -> Result<Vec<Check>, Error> {
    let registry = Registry::new(&endpoints.schema_registry)?;
    let count = registry.subject_count().await?;
    let mut checks = vec![Check::ok("registry", format!("answers, holds {count} subjects"))];
    let subjects = schemas::declared(declarations);
    for (declared, state) in subjects.iter().zip(registry.states(&subjects).await?) {
        let subject = &declared.subject;
        match state {
            SubjectState::Registered => {}
            SubjectState::Missing { .. } => {
                checks.push(Check::fail("schemas", format!("{subject} is not registered; run `millstream apply`")));
            }
            SubjectState::Incompatible { reasons } => {
                let reasons = reasons.join("; ");
                checks.push(Check::fail("schemas", format!("{subject} holds an incompatible version: {reasons}")));
            }
        }
    }
    if checks.len() == 1 {
        checks.push(Check::ok("schemas", format!("all {} are registered", subjects.len())));
    }
    Ok(checks)
}

async fn check_restate(
    restate: &Restate,
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<(Vec<Check>, Vec<ActualSubscription>), Error> {
    let mut checks = vec![Check::ok("restate", format!("answers, version {}", restate.version().await?))];
    let properties = settings.cluster_properties(endpoints);
    let (change, problem) = cluster::compare(&settings.cluster, &properties, &restate.clusters().await?);
    checks.push(match (change, problem) {
        (Some(change), _) => Check::fail("Kafka cluster", format!("{change}; run `millstream apply`")),
        (_, Some(problem)) => Check::problem("Kafka cluster", problem),
        _ => Check::ok("Kafka cluster", "is as declared"),
    });
    let declared = subscriptions::declared(declarations, &settings.prefix, &settings.cluster);
    let actual = restate.subscriptions().await?;
    let services = restate.services().await?;
    let (_, changes, problems) = subscriptions::compare(&declared, &actual, &settings.prefix, false);
    let changes = changes.iter().map(|change| Check::fail("subscriptions", format!("{change}; run `millstream apply`")));
    let sinks = declared.iter().filter_map(|wanted| subscriptions::check_sink(wanted, &services));
    let problems = problems.into_iter().chain(sinks).map(|problem| Check::problem("subscriptions", problem));
    let found: Vec<Check> = changes.chain(problems).collect();
    if found.is_empty() {
        checks.push(Check::ok("subscriptions", format!("all {} are as declared", declared.len())));
    }
    checks.extend(found);
    checks.push(retries(&declared, &services));
    checks.extend(invocations(status::by_service(restate.invocation_counts().await?)));
    Ok((checks, actual))
}

/// A limited number of attempts ends in a pause, which holds the key until somebody comes.
fn retries(declared: &[DeclaredSubscription], services: &[super::restate::Service]) -> Check {
    let limited: Vec<String> = services
        .iter()
        .filter(|service| declared.iter().any(|wanted| wanted.to.service == service.name))
        .filter_map(|service| Some(format!("{} ({})", service.name, service.retry_policy.max_attempts?)))
        .collect();
    if limited.is_empty() {
        return Check::ok("retries", "are unlimited");
    }
    Check::fail(
        "retries",
        format!(
            "attempts are limited: {}; set max-attempts = \"unlimited\" in the top-level table \
             [default-retry-policy] of restate.toml, start Restate again and register the handlers again",
            limited.join(", ")
        ),
    )
}

fn invocations(services: Vec<status::InvocationStatus>) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for service in &services {
        if service.paused > 0 {
            checks.push(Check::fail(
                "invocations",
                format!(
                    "{} of {} are paused and hold their keys; find the cause with `restate invocations list \
                     --status paused`, remove it and resume them",
                    service.paused, service.service
                ),
            ));
        }
        if service.backing_off > 0 {
            checks.push(Check::warn(
                "invocations",
                format!(
                    "{} of {} fail and are tried again; `restate invocations list --status backing-off` says why",
                    service.backing_off, service.service
                ),
            ));
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok("invocations", "none is paused or failing"));
    }
    checks
}

async fn check_offsets(
    kafka: &Kafka,
    declarations: &[&Declaration],
    settings: &Settings,
    topics: BTreeMap<String, ActualTopic>,
    subscriptions: Vec<ActualSubscription>,
) -> Result<Vec<Check>, Error> {
    let declared = subscriptions::declared(declarations, &settings.prefix, &settings.cluster);
    let offsets = state::offsets(kafka, &declared, &topics).await?;
    let lag: i64 = offsets.values().flatten().map(super::PartitionOffsets::lag).sum();
    let named = topics::declared(declarations);
    let actual = Actual { topics, subscriptions, offsets, ..Actual::default() };
    let mut checks: Vec<Check> = Vec::new();
    for wanted in &declared {
        let found = actual.topics.get(&wanted.topic);
        let topic = named.iter().find(|topic| topic.name == wanted.topic);
        let foreign = found.zip(topic).is_some_and(|(found, topic)| topic.is_foreign(found));
        let problem = build::generation_problem(wanted, found.is_some(), foreign, &actual);
        checks.extend(problem.map(|problem| Check::problem("offsets", problem)));
    }
    if checks.is_empty() {
        checks.push(Check::ok("offsets", format!("no group is beyond the end of its topic; lag {lag}")));
    }
    Ok(checks)
}
