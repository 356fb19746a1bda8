//! The Kafka cluster, subscriptions, retries and invocations.

use millstream_events::Declaration;

use super::Check;
use super::deployments::check_deployments;
use super::invocations::check_invocations;
use crate::restate::{ActualSubscription, Restate, Service};
use crate::subscriptions::DeclaredSubscription;
use crate::{Error, Settings, cluster, owners, status, subscriptions};
use millstream_pipeline::config::Endpoints;

pub(super) async fn check_restate(
    restate: &Restate,
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
) -> Result<(Vec<Check>, Vec<ActualSubscription>), Error> {
    let mut checks = vec![Check::ok(
        "restate",
        format!("answers, version {}", restate.version().await?),
    )];
    let properties = settings.cluster_properties(endpoints);
    let (change, problem) =
        cluster::compare(&settings.cluster, &properties, &restate.clusters().await?);
    checks.push(match (change, problem) {
        (Some(change), _) => Check::fail(
            "Kafka cluster",
            format!(
                "{change}; run `{program} apply`",
                program = millstream_pipeline::program::name()
            ),
        ),
        (_, Some(problem)) => Check::problem("Kafka cluster", problem),
        _ => Check::ok("Kafka cluster", "is as declared"),
    });
    let actual = restate.subscriptions().await?;
    let services = restate.services().await?;
    let declared = owners::of_project(declarations, settings, &services, &actual);
    let (_, changes, problems) = subscriptions::compare(&declared, &actual, settings);
    let changes = changes.iter().map(|change| {
        Check::fail(
            "subscriptions",
            format!(
                "{change}; run `{program} apply`",
                program = millstream_pipeline::program::name()
            ),
        )
    });
    let sinks = declared
        .iter()
        .filter_map(|wanted| subscriptions::check_sink(wanted, &services))
        // What a kind of handler does not guarantee is said by `plan`; it is no illness.
        .filter(|problem| problem.refused);
    let problems = problems
        .into_iter()
        .chain(sinks)
        .map(|problem| Check::problem("subscriptions", problem));
    let found: Vec<Check> = changes.chain(problems).collect();
    if found.is_empty() {
        checks.push(Check::ok(
            "subscriptions",
            format!(
                "all {} of {} are as declared",
                declared.len(),
                settings.prefix
            ),
        ));
    }
    checks.extend(found);
    let deployments = check_deployments(restate, &services).await;
    checks.extend(deployments.unwrap_or_else(|e| vec![Check::error("deployments", &e)]));
    checks.push(retries(&declared, &services));
    let services = status::by_service(restate.invocation_counts().await?);
    let invocations = check_invocations(restate, &services).await;
    checks.extend(invocations.unwrap_or_else(|e| vec![Check::error("invocations", &e)]));
    Ok((checks, actual))
}

/// A limited number of attempts ends in a pause, which holds the key until somebody comes.
fn retries(declared: &[DeclaredSubscription], services: &[Service]) -> Check {
    let limited: Vec<String> = services
        .iter()
        .filter(|service| {
            declared
                .iter()
                .any(|wanted| wanted.to.service == service.name)
        })
        .filter_map(|service| {
            Some(format!(
                "{} ({})",
                service.name, service.retry_policy.max_attempts?
            ))
        })
        .collect();
    if limited.is_empty() {
        return Check::ok("retries", "are unlimited");
    }
    Check::fail(
        "retries",
        format!(
            "attempts are limited: {}; set max-attempts = \"unlimited\" in the top-level table \
             [default-retry-policy] of restate.toml, start Restate again",
            limited.join(", ")
        ),
    )
}
