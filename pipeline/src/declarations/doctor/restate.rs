//! The Kafka cluster, subscriptions, retries and invocations.

use millstream_topics::Declaration;

use super::Check;
use crate::config::Endpoints;
use crate::declarations::restate::{ActualSubscription, Restate, Service};
use crate::declarations::subscriptions::DeclaredSubscription;
use crate::declarations::{Error, Settings, cluster, status, subscriptions};

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
        (Some(change), _) => {
            Check::fail("Kafka cluster", format!("{change}; run `millstream apply`"))
        }
        (_, Some(problem)) => Check::problem("Kafka cluster", problem),
        _ => Check::ok("Kafka cluster", "is as declared"),
    });
    let declared = subscriptions::declared(declarations, &settings.prefix, &settings.cluster);
    let actual = restate.subscriptions().await?;
    let services = restate.services().await?;
    let (_, changes, problems) =
        subscriptions::compare(&declared, &actual, &settings.prefix, false);
    let changes = changes
        .iter()
        .map(|change| Check::fail("subscriptions", format!("{change}; run `millstream apply`")));
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
            format!("all {} are as declared", declared.len()),
        ));
    }
    checks.extend(found);
    checks.push(retries(&declared, &services));
    checks.extend(invocations(status::by_service(
        restate.invocation_counts().await?,
    )));
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
